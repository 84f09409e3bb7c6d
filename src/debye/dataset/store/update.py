"""A store and its search recipe → the store with what was released or revised since its date.

Search, download and append, in this order; only the last changes the store, in one step. Whatever ends an update
before, the store is as it was, and the next one downloads only what is missing.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from debye.dataset.curate.curate import Decision
from debye.dataset.curate.mmseqs import find_mmseqs
from debye.dataset.search.rcsb import Rcsb
from debye.dataset.search.recipes import SearchRecipe
from debye.dataset.search.search import run_search
from debye.dataset.store.append import Appended, append_entries, old_decisions, settle
from debye.dataset.store.build_curated import stored_recipe
from debye.dataset.store.index import IndexRow
from debye.dataset.store.store import Store
from debye.errors import DownloadError, StoreError
from debye.files import make_folder, write_text

FOLDER = "update"
"""Folder in the store with list, reports and, unless another one is named, mirror of the last update."""
Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much."""


class UpdateSettings(BaseModel, frozen=True, extra="forbid"):
    """From when on, where files are kept, and what happens if some cannot be had."""

    since: date | None = None
    """Look at what was released or revised on this day or later; None: the store's date."""
    mirror: Path | None = None
    """Folder of downloaded files; None: ``update/mirror`` in the store."""
    skip_failed: bool = False
    """Append the rest if the servers fail to deliver some entries. The store then keeps the old date, so that the
    next update asks for them again."""
    connections: PositiveInt = 8
    """Downloads at a time."""
    workers: PositiveInt = 1
    """Processes, and threads of MMseqs2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated:
    """What an update found, and what became of it."""

    store: Store
    since: date
    before: dict[str, int]
    """Entries of each split before the update."""
    appended: Appended | None
    """None: there was nothing to append, and the store is as it was."""
    unchanged: tuple[str, ...]
    """Found, but this revision was looked at before."""
    unavailable: dict[str, str]
    """Found, but there is no file of that name; the reason by id."""
    failed: dict[str, str]
    """Servers failed to deliver these; the next update asks again."""
    obsolete: dict[str, str]
    """Entries of the store that the archive has withdrawn, and what replaced them; they stay."""
    report: Path
    """CSV with a line an entry: id, outcome, split, reason."""


def update_store(
    path: Path,
    settings: UpdateSettings | None = None,
    *,
    recipe: SearchRecipe | None = None,
    build_recipe: BuildRecipe | None = None,
    remote: RemoteSettings | None = None,
    progress: Progress | None = None,
) -> Updated:
    """Find, download and append what was released or revised since a store's date; no old entry moves.

    What is new passes the search recipe, whose choice is made among what is new, and then the rules of
    :func:`debye.dataset.store.append.append_entries`. Entries of the store that were revised are always offered. Obsolete ones
    are reported and stay; what replaced them is found like any new entry.

    Args:
        path: The store.
        settings: From when on, and how.
        recipe: Which entries; None: the search that the store was made from, or its last update. It is recorded.
        build_recipe: How splits are continued; None: as the store was built.
        remote: Addresses and patience; from the environment if not given.
        progress: Told how far it is.

    Raises:
        StoreError: There is no finished store, it says nothing of date or recipe, or another update is running.
        DownloadError: The servers are down, or failed to deliver some entries: the store is as it was.
        ConfigError: MMseqs2 is not on PATH, or a recipe cannot be used.
    """
    settings = settings or UpdateSettings()
    remote = remote or RemoteSettings.from_environment()
    tell = progress or (lambda *_: None)
    Store.open(path)  # before a folder is made in what may be no store
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
            before=_sizes(store),
            appended=appended,
            unchanged=found.unchanged,
            unavailable=fetched.unavailable,
            failed=fetched.failed,
            obsolete=obsolete,
            report=work / "report.csv",
        )
        write_text(updated.report, _table(outcomes(updated)), StoreError)
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
            problem="does not record which search its entries come from",
            remedy="Give the search recipe (--recipe); it is recorded for the next update",
        )
    try:
        return SearchRecipe.model_validate(record["recipe"])
    except ValidationError as error:
        raise StoreError(
            str(store.path),
            problem="its recorded search recipe is not valid in this version",
            remedy="Give the search recipe (--recipe)",
        ) from error


def recorded_date(store: Store) -> date:
    """Return the date of the archive that a store's files come from.

    Raises:
        StoreError: None is recorded, or it is no date.
    """
    text = store.manifest.get("date")
    try:
        return date.fromisoformat(text or "")
    except ValueError as error:
        problem = f"its date is {text!r}, no date" if text else "does not record its date"
        raise StoreError(
            str(store.path),
            problem=problem,
            remedy="Say since when entries are looked for (--since 2026-01-31); "
            "debye data build --as-of records a date",
        ) from error


@dataclass(frozen=True, slots=True)
class _Found:
    rows: list[dict[str, str]]
    """Lines of the list that are to be offered to the store."""
    unchanged: tuple[str, ...]
    clusters: Path
    """RCSB's file of clusters, if the recipe uses one."""


def _searchable(path: Path, recipe: SearchRecipe) -> SearchRecipe:
    if recipe.structures is not None:
        raise StoreError(
            str(path),
            problem=f"its recipe reads the folder {recipe.structures}, whose files have no dates",
            remedy="Give a recipe that searches (--recipe), or add files with "
            "debye.dataset.store.append.append_entries",
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
    """Search for what was released or revised, and leave out what the store has looked at."""
    first = max(since, recipe.entries.revised_from or since)
    entries = recipe.entries.model_copy(update={"revised_from": first})
    result = run_search(
        recipe.model_copy(update={"entries": entries}),
        work / "found.csv",
        remote,
        progress=lambda done, total: tell("Searching", done, total),
    )
    old = old_decisions(store)
    rows, unchanged = [], []
    for row in read_ids(result.decisions):
        known = old.get(row["id"])
        if row["decision"] == "excluded" or not (row["decision"] == "chosen" or _is_stored(known)):
            continue
        if known is not None and known.revised and known.revised == row["revised"]:
            unchanged.append(row["id"])
        else:
            rows.append(row)
    clusters = work / f"clusters-by-entity-{recipe.choose.identity}.txt"
    return _Found(rows, tuple(unchanged), clusters)


def _is_stored(decision: Decision | None) -> bool:
    return decision is not None and bool(decision.split)


def _obsolete(store: Store, remote: RemoteSettings) -> dict[str, str]:
    """Return which entries of a store the archive has withdrawn, and what replaced them."""
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
    """Entries whose files are in the mirror, in the revision that was found."""
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
    """Get the files that the mirror lacks, or has only in an older revision."""
    missing = outdated({row["id"]: row["revised"] for row in rows}, mirror)
    records: dict[str, dict[str, str]] = {}
    if missing:
        wanted = work / "wanted.csv"
        write_text(wanted, _table([row for row in rows if row["id"] in missing]), StoreError)
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
        raise DownloadError(
            str(path),
            problem=f"{len(fetched.failed)} entries could not be downloaded, {name} because of "
            f"{reason}; the store is as it was",
            remedy="Run again, which downloads only what is missing, or go on without them "
            "(--skip-failed)",
        )


def _with_clusters(recipe: BuildRecipe, file: Path) -> BuildRecipe:
    """Return a recipe that reads RCSB's clusters with the file of the new date, if the search has got it."""
    clusters = recipe.clusters
    if clusters.source != "rcsb" or clusters.file is not None or not file.is_file():
        return recipe
    if file.name != f"clusters-by-entity-{round(100 * clusters.identity)}.txt":
        return recipe
    return recipe.model_copy(update={"clusters": clusters.model_copy(update={"file": file})})


def _sizes(store: Store) -> dict[str, int]:
    return {split: size["entries"] for split, size in store.manifest["splits"].items()}


def outcomes(updated: Updated) -> list[dict[str, str]]:
    """Return what became of each entry (id, outcome, split, reason), in the order of outcomes."""
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


def _table(rows: Sequence[dict[str, str]]) -> str:
    text = io.StringIO()
    names = list(rows[0]) if rows else ["id", "outcome", "split", "reason"]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


@contextmanager
def _own(work: Path) -> Iterator[Path]:
    """Hold the working folder of a store against other updates."""
    make_folder(work, StoreError)
    try:
        with FileLock(work / "lock", timeout=0):
            yield work
    except Timeout:
        raise StoreError(
            str(work.parent), problem="another update is running", remedy="Wait for it"
        ) from None
