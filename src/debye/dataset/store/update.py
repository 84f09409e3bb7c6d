"""A store and its search recipe → the store with the entries that were released or revised since its date.

Search, fetch and append, in this order; only the last changes the store, in one step. If an update ends earlier, the
store is unchanged, and the next update downloads only what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel, PositiveInt, ValidationError

from debye.archives.catalog import read_ids
from debye.archives.download_journal import outdated
from debye.archives.http import RemoteSettings
from debye.archives.mirror import FetchSettings, fetch_list
from debye.dataset.curate.build_recipe import BuildRecipe
from debye.dataset.curate.mmseqs import find_mmseqs
from debye.dataset.search.rcsb import Rcsb
from debye.dataset.search.recipes import SearchRecipe
from debye.dataset.search.search import clusters_file, run_search
from debye.dataset.store.append import append_entries, settle, stored_assignments
from debye.dataset.store.build import stored_recipe
from debye.dataset.store.index import IndexRow
from debye.dataset.store.resumable_map import Progress
from debye.dataset.store.store import Store
from debye.errors import DownloadError, StoreError
from debye.files import make_folder, write_csv

FOLDER = "update"
"""Folder in the store with the list, the reports and the default mirror of the last update."""
LIST = "found.csv"
REPORT_COLUMNS = ("id", "outcome", "split", "reason")


class UpdateSettings(BaseModel, frozen=True, extra="forbid"):
    """First date, folder of the files, and what to do about failed downloads."""

    since: date | None = None
    """Find entries that were released or revised on this day or later; None: the store's date."""
    mirror: Path | None = None
    """Folder of downloaded files; None: ``update/mirror`` in the store."""
    skip_failed: bool = False
    """Append the rest if some downloads fail. The store then keeps its old date, so that the next update tries
    again."""
    connections: PositiveInt = 8
    """Downloads at a time."""
    workers: PositiveInt = 1
    """Processes, and threads of MMseqs2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated:
    """The result of :func:`update_store`."""

    store: Store
    since: date
    before: dict[str, int]
    """Entries of each split before the update."""
    is_changed: bool
    """False: there was nothing to append."""
    outcomes: list[dict[str, str]]
    """Id, outcome, split and reason of each entry; the outcomes, in their order:

    - added, revised, refused: see :class:`debye.dataset.store.append.Appended`
    - unavailable: the archive has no such file
    - failed: not downloaded; the next update tries again
    - obsolete: an entry of the store that the archive has withdrawn; it stays, and the reason names its successors
    - unchanged: this revision was considered before
    """
    report: Path
    """The outcomes as a CSV file."""


def update_store(
    path: Path,
    settings: UpdateSettings | None = None,
    *,
    recipe: SearchRecipe | None = None,
    build_recipe: BuildRecipe | None = None,
    remote: RemoteSettings | None = None,
    progress: Progress | None = None,
) -> Updated:
    """Find, download and append entries that were released or revised since a store's date; no old entry moves.

    New entries pass the search recipe, which chooses among the new entries only, and then the rules of
    :func:`debye.dataset.store.append.append_entries`. Revised entries of the store are always considered. Obsolete
    ones are reported and stay; their successors are found like any new entry.

    Args:
        path: The store.
        recipe: Which entries; None: the search that the store was made from, or its last update. It is recorded.
        build_recipe: How splits are continued; None: as the store was built.
        remote: Addresses, timeouts and retries; from the environment if not given.
        progress: Called in each step with the number of things that are done, and of all.

    Raises:
        StoreError: There is no finished store, it records no date or recipe, or another update is running.
        DownloadError: Servers are down, or some downloads failed: the store is unchanged.
        ConfigError: MMseqs2 is not on PATH, or a recipe cannot be used.
    """
    settings = settings or UpdateSettings()
    remote = remote or RemoteSettings.from_environment()
    Store.open(path)  # before a folder is made in what may not be a store
    with _own(path / FOLDER) as work:
        store = settle(path)
        recipe = recipe or recorded_search(store)
        _refuse_folder(path, recipe)
        since = settings.since or recorded_date(store)
        build_recipe = build_recipe or stored_recipe(store)
        today = datetime.now(UTC).date()
        mirror = settings.mirror or work / "mirror"
        found, unchanged = _search(store, recipe, since, work, remote, progress)
        obsolete = _obsolete(store, remote)
        rows, unavailable, failed = [], {}, {}
        if found:
            find_mmseqs()
            rows, unavailable, failed = _fetch(found, mirror, work, settings, remote, progress)
        if failed and not settings.skip_failed:
            _refuse_failed(path, failed)
        outcomes: dict[str, Mapping[str, str]] = {}
        if rows:
            appended = append_entries(
                path,
                rows,
                mirror,
                date=str(since if failed else max(today, since)),
                recipe=with_new_clusters(build_recipe, recipe, work),
                search={"recipe": recipe.model_dump(mode="json"), "date": str(today)},
                workers=settings.workers,
                progress=progress,
            )
            outcomes = {
                "added": dict.fromkeys(appended.added, ""),
                "revised": dict.fromkeys(appended.revised, ""),
                "refused": appended.refused,
            }
        outcomes |= {"unavailable": unavailable, "failed": failed, "obsolete": obsolete}
        outcomes["unchanged"] = dict.fromkeys(unchanged, "")
        updated = Store.open(path)
        report = work / "report.csv"
        return Updated(
            store=updated,
            since=since,
            before={name: size["entries"] for name, size in store.manifest["splits"].items()},
            is_changed=bool(rows),
            outcomes=_write_outcomes(report, outcomes, updated),
            report=report,
        )


def recorded_search(store: Store) -> SearchRecipe:
    """Return the recipe of the search that a store was made from, or of its last update.

    Raises:
        StoreError: None is recorded.
    """
    record = store.manifest.get("search")
    if record is None:
        raise StoreError(
            str(store.path),
            "does not record which search its entries come from",
            "Give the search recipe (--recipe); it is recorded for the next update",
        )
    try:
        return SearchRecipe.model_validate(record["recipe"])
    except ValidationError as error:
        raise StoreError(
            str(store.path),
            "its recorded search recipe is not valid in this version",
            "Give the search recipe (--recipe)",
        ) from error


def recorded_date(store: Store) -> date:
    """Return the date of the archive that a store's files come from.

    Raises:
        StoreError: None is recorded, or it is not a date.
    """
    text = store.manifest.get("date")
    try:
        return date.fromisoformat(text or "")
    except ValueError as error:
        raise StoreError(
            str(store.path),
            f"its date {text!r} is not a date" if text else "does not record its date",
            "Give the first day of the search (--since 2026-01-31); debye data build --as-of records a date",
        ) from error


def _search(
    store: Store,
    recipe: SearchRecipe,
    since: date,
    work: Path,
    remote: RemoteSettings,
    progress: Progress | None,
) -> tuple[list[dict[str, str]], list[str]]:
    """Return the lines of new entries and new revisions, and the found ids that the store considered before."""
    first = max(since, recipe.entries.revised_from or since)
    entries = recipe.entries.model_copy(update={"revised_from": first})
    recipe = recipe.model_copy(update={"entries": entries})
    result = run_search(recipe, work / LIST, remote, progress=progress)
    old = stored_assignments(store)
    rows, unchanged = [], []
    for row in read_ids(result.decisions):
        known = old.get(row["id"])
        is_stored = known is not None and bool(known.split)
        if row["decision"] == "excluded" or not (row["decision"] == "chosen" or is_stored):
            continue
        if known is not None and known.revised and known.revised == row["revised"]:
            unchanged.append(row["id"])
        else:
            rows.append(row)
    return rows, unchanged


def _obsolete(store: Store, remote: RemoteSettings) -> dict[str, str]:
    """Return the entries of a store that the archive has withdrawn, and their successors."""
    stored = {entry.id for split in store.splits for entry in store.entries(split)}
    found = {}
    with Rcsb(remote) as rcsb:
        for name in sorted(stored & rcsb.removed()):
            successors = ", ".join(rcsb.successors(name) or ())
            found[name] = f"replaced by {successors}" if successors else "nothing replaced it"
    return found


def _fetch(
    rows: Sequence[dict[str, str]],
    mirror: Path,
    work: Path,
    settings: UpdateSettings,
    remote: RemoteSettings,
    progress: Progress | None,
) -> tuple[list[IndexRow], dict[str, str], dict[str, str]]:
    """Download the files that the mirror lacks, or has only in an older revision.

    Returns the entries whose files are there, and why the others are unavailable, or failed.
    """
    missing = outdated({row["id"]: row["revised"] for row in rows}, mirror)
    records: dict[str, dict[str, str]] = {}
    if missing:
        wanted = work / "wanted.csv"
        write_csv(wanted, [*rows[0]], (row.values() for row in rows if row["id"] in missing))
        result = fetch_list(
            wanted,
            mirror,
            FetchSettings(connections=settings.connections, refresh=True),
            remote,
            reports=work,
            progress=lambda done, total, **_: progress(done, total) if progress else None,
        )
        records = {record["id"]: record for record in read_ids(result.files.report)}
    stored, unavailable, failed = [], {}, {}
    for row in rows:
        name, record = row["id"], records.get(row["id"], {"status": "stored"})
        if record["status"] == "stored":
            stored.append(IndexRow(id=name, split="", columns=row))
        else:
            reasons = failed if record["status"] == "failed" else unavailable
            reasons[name] = f"{record['status']}: {record['problem']}"
    return stored, unavailable, failed


def _refuse_folder(path: Path, recipe: SearchRecipe) -> None:
    if recipe.structures is not None:
        raise StoreError(
            str(path),
            f"its recipe reads the folder {recipe.structures}, whose files have no dates",
            "Give a recipe that searches (--recipe), or add files with debye.dataset.store.append.append_entries",
        )


def _write_outcomes(
    report: Path, outcomes: Mapping[str, Mapping[str, str]], store: Store
) -> list[dict[str, str]]:
    """Write and return a line for each entry, from the reasons by outcome and id."""
    split = {entry.id: name for name in store.splits for entry in store.entries(name)}
    lines: list[dict[str, str]] = [
        {"id": name, "outcome": kind, "split": split.get(name, ""), "reason": reason}
        for kind, reasons in outcomes.items()
        for name, reason in reasons.items()
    ]
    write_csv(report, REPORT_COLUMNS, (line.values() for line in lines))
    return lines


def _refuse_failed(path: Path, failed: Mapping[str, str]) -> None:
    name, reason = next(iter(failed.items()))
    raise DownloadError(
        str(path),
        f"{len(failed)} {'entry' if len(failed) == 1 else 'entries'} could not be downloaded, {name} because of "
        f"{reason}; the store is unchanged",
        "Run again, which downloads only what is missing, or continue without them (--skip-failed)",
    )


def with_new_clusters(recipe: BuildRecipe, search: SearchRecipe, work: Path) -> BuildRecipe:
    """Return a recipe whose cluster file of the RCSB is that of the new date, if the search downloaded it."""
    clusters, identity = recipe.clusters, search.choose.identity
    file = clusters_file(work / LIST, identity)
    is_needed = clusters.source == "rcsb" and clusters.file is None
    if not (is_needed and identity == round(100 * clusters.identity) and file.is_file()):
        return recipe
    return recipe.model_copy(update={"clusters": clusters.model_copy(update={"file": file})})


@contextmanager
def _own(work: Path) -> Iterator[Path]:
    """Lock the working folder of a store against other updates."""
    make_folder(work, StoreError)
    try:
        with FileLock(work / "lock", timeout=0):
            yield work
    except Timeout:
        raise StoreError(str(work.parent), "another update is running", "Wait for it") from None
