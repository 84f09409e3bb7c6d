"""A store and its search recipe → the store with the entries that were released or revised since its date.

Search, fetch and append, in this order; only the last changes the store, in one step. If an update ends earlier, the
store is unchanged, and the next update downloads only what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
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
from debye.dataset.search.search import run_search
from debye.dataset.store.append import Appended, append_entries, settle, stored_assignments
from debye.dataset.store.build import stored_recipe
from debye.dataset.store.index import IndexRow
from debye.dataset.store.store import Store
from debye.errors import DownloadError, StoreError
from debye.files import make_folder, write_csv

FOLDER = "update"
"""Folder in the store with the list, the reports and the default mirror of the last update."""
REPORT_COLUMNS = ("id", "outcome", "split", "reason")
Progress = Callable[[str, int, int], None]
"""Called with the name of the step, the number of things that are done, and of all."""


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
    appended: Appended | None
    """None: there was nothing to append, and the store is unchanged."""
    unchanged: tuple[str, ...]
    """Found, but this revision was considered before."""
    unavailable: dict[str, str]
    """Found, but the archive has no such file; the reason by id."""
    failed: dict[str, str]
    """Downloads that failed; the next update tries again."""
    obsolete: dict[str, str]
    """Entries of the store that the archive has withdrawn, and their successors; they stay."""
    report: Path
    """CSV file with a line an entry: id, outcome, split, reason."""


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
        settings: First date, mirror, number of connections.
        recipe: Which entries; None: the search that the store was made from, or its last update. It is recorded.
        build_recipe: How splits are continued; None: as the store was built.
        remote: Addresses, timeouts and retries; from the environment if not given.
        progress: Called as the work proceeds.

    Raises:
        StoreError: There is no finished store, it records no date or recipe, or another update is running.
        DownloadError: Servers are down, or some downloads failed: the store is unchanged.
        ConfigError: MMseqs2 is not on PATH, or a recipe cannot be used.
    """
    settings = settings or UpdateSettings()
    remote = remote or RemoteSettings.from_environment()
    tell = progress or (lambda *_: None)
    Store.open(path)  # before a folder is made in what may not be a store
    with _own(path / FOLDER) as work:
        store = settle(path)
        recipe = _searchable(path, recipe or recorded_search(store))
        since = settings.since or recorded_date(store)
        build_recipe = build_recipe or stored_recipe(store)
        today = datetime.now(UTC).date()
        mirror = settings.mirror or work / "mirror"
        found = _search(store, recipe, since, work, remote, tell)
        obsolete = _obsolete(store, remote)
        fetched = _Fetched()
        if found.rows:
            find_mmseqs()
            fetched = _fetch(found.rows, mirror, work, settings, remote, tell)
            _check(path, fetched, settings)
        appended = None
        if fetched.rows:
            appended = append_entries(
                path,
                fetched.rows,
                mirror,
                date=str(since if fetched.failed else max(today, since)),
                recipe=_with_clusters(build_recipe, found.clusters),
                search={"recipe": recipe.model_dump(mode="json"), "date": str(today)},
                workers=settings.workers,
                progress=lambda done, total: tell("Appending", done, total),
            )
        updated = Updated(
            store=Store.open(path),
            since=since,
            before={split: size["entries"] for split, size in store.manifest["splits"].items()},
            appended=appended,
            unchanged=found.unchanged,
            unavailable=fetched.unavailable,
            failed=fetched.failed,
            obsolete=obsolete,
            report=work / "report.csv",
        )
        _write_table(updated.report, outcomes(updated), REPORT_COLUMNS)
        return updated


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


@dataclass(frozen=True, slots=True)
class _Found:
    rows: list[dict[str, str]]
    """Lines of the list that are new to the store, or newer than it."""
    unchanged: tuple[str, ...]
    clusters: Path
    """RCSB's file of clusters, if the recipe uses one."""


def _searchable(path: Path, recipe: SearchRecipe) -> SearchRecipe:
    if recipe.structures is not None:
        raise StoreError(
            str(path),
            f"its recipe reads the folder {recipe.structures}, whose files have no dates",
            "Give a recipe that searches (--recipe), or add files with debye.dataset.store.append.append_entries",
        )
    return recipe


def _search(
    store: Store,
    recipe: SearchRecipe,
    since: date,
    work: Path,
    remote: RemoteSettings,
    tell: Progress,
) -> _Found:
    """Search for entries that were released or revised, without those that the store considered before."""
    first = max(since, recipe.entries.revised_from or since)
    entries = recipe.entries.model_copy(update={"revised_from": first})
    result = run_search(
        recipe.model_copy(update={"entries": entries}),
        work / "found.csv",
        remote,
        progress=lambda done, total: tell("Searching", done, total),
    )
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
    clusters = work / f"clusters-by-entity-{recipe.choose.identity}.txt"
    return _Found(rows, tuple(unchanged), clusters)


def _obsolete(store: Store, remote: RemoteSettings) -> dict[str, str]:
    """Return the entries of a store that the archive has withdrawn, and their successors."""
    stored = {entry.id for split in store.splits for entry in store.entries(split)}
    found = {}
    with Rcsb(remote) as rcsb:
        for name in sorted(stored & rcsb.removed()):
            successors = ", ".join(rcsb.successors(name) or ())
            found[name] = f"replaced by {successors}" if successors else "nothing replaced it"
    return found


@dataclass(slots=True)
class _Fetched:
    rows: list[IndexRow] = field(default_factory=list)
    """Entries whose files are in the mirror, in the revision that the search found."""
    unavailable: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def _fetch(
    rows: Sequence[dict[str, str]],
    mirror: Path,
    work: Path,
    settings: UpdateSettings,
    remote: RemoteSettings,
    tell: Progress,
) -> _Fetched:
    """Download the files that the mirror lacks, or has only in an older revision."""
    missing = outdated({row["id"]: row["revised"] for row in rows}, mirror)
    records: dict[str, dict[str, str]] = {}
    if missing:
        wanted = work / "wanted.csv"
        _write_table(wanted, [row for row in rows if row["id"] in missing], tuple(rows[0]))
        result = fetch_list(
            wanted,
            mirror,
            FetchSettings(connections=settings.connections, refresh=True),
            remote,
            reports=work,
            progress=lambda done, total, **_: tell("Fetching", done, total),
        )
        records = {record["id"]: record for record in read_ids(result.files.report)}
    fetched = _Fetched()
    for row in rows:
        name, record = row["id"], records.get(row["id"], {"status": "stored"})
        if record["status"] == "stored":
            fetched.rows.append(IndexRow(id=name, split="", columns=row))
        else:
            reasons = fetched.failed if record["status"] == "failed" else fetched.unavailable
            reasons[name] = f"{record['status']}: {record['problem']}"
    return fetched


def _check(path: Path, fetched: _Fetched, settings: UpdateSettings) -> None:
    if fetched.failed and not settings.skip_failed:
        name, reason = next(iter(fetched.failed.items()))
        count = len(fetched.failed)
        raise DownloadError(
            str(path),
            f"{count} {'entry' if count == 1 else 'entries'} could not be downloaded, {name} because of {reason}; "
            "the store is unchanged",
            "Run again, which downloads only what is missing, or continue without them (--skip-failed)",
        )


def _with_clusters(recipe: BuildRecipe, file: Path) -> BuildRecipe:
    """Return a recipe whose cluster file of the RCSB is that of the new date, if the search downloaded it."""
    clusters = recipe.clusters
    if clusters.source != "rcsb" or clusters.file is not None or not file.is_file():
        return recipe
    if file.name != f"clusters-by-entity-{round(100 * clusters.identity)}.txt":
        return recipe
    return recipe.model_copy(update={"clusters": clusters.model_copy(update={"file": file})})


def outcomes(updated: Updated) -> list[dict[str, str]]:
    """Return the outcome of each entry, with its split and the reason, in the order of outcomes."""
    store, appended = updated.store, updated.appended
    split = {entry.id: name for name in store.splits for entry in store.entries(name)}
    parts: list[tuple[str, Iterable[str], dict[str, str]]] = [
        ("added", appended.added if appended else (), {}),
        ("revised", appended.revised if appended else (), {}),
        ("refused", appended.refused if appended else (), appended.refused if appended else {}),
        ("unavailable", updated.unavailable, updated.unavailable),
        ("failed", updated.failed, updated.failed),
        ("obsolete", updated.obsolete, updated.obsolete),
        ("unchanged", updated.unchanged, {}),
    ]
    return [
        {"id": name, "outcome": what, "split": split.get(name, ""), "reason": reason.get(name, "")}
        for what, names, reason in parts
        for name in names
    ]


def _write_table(path: Path, rows: Iterable[Mapping[str, str]], names: tuple[str, ...]) -> None:
    write_csv(path, names, ([row[name] for name in names] for row in rows))


@contextmanager
def _own(work: Path) -> Iterator[Path]:
    """Lock the working folder of a store against other updates."""
    make_folder(work, StoreError)
    try:
        with FileLock(work / "lock", timeout=0):
            yield work
    except Timeout:
        raise StoreError(str(work.parent), "another update is running", "Wait for it") from None
