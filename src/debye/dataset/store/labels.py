"""Labels of a store: computed from its structures, or read from a user's table.

Each split gets two columns, ``label_<source>.npy`` and ``usable_<source>.npy``, and ``label_<source>.json`` with the
origin, the digest and the reasons of labels that cannot be used. B-factors need no such columns: every store has
``b_iso`` and ``usable``.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from debye.dataset.store.resumable_map import prepare_worker
from debye.dataset.store.store import Store
from debye.errors import ConfigError, StoreError, StructureError
from debye.files import replacing, write_json
from debye.structure.structure import Structure
from debye.targets.target import Labels, Per, Target
from debye.version import library_version

Progress = Callable[[int, int], None]
KEYS = {
    Per.ATOM: ("entry", "chain", "residue", "atom"),
    Per.RESIDUE: ("entry", "chain", "residue"),
    Per.STRUCTURE: ("entry",),
}
"""Columns of a user's table that say what a value belongs to; chain and residue are the authors', with the
insertion code behind the number."""


def label_store(
    store: Store,
    target: Target,
    *,
    splits: Sequence[str] = (),
    table: Path | None = None,
    column: str | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> dict[str, dict[str, Any]]:
    """Write the labels of a target into a store and return what each split got.

    Labels that are there already are replaced. An entry whose labels cannot be computed counts as unusable, with
    its reason.

    Args:
        store: A finished store.
        target: Its source says how labels are computed.
        splits: Splits to label; all if empty.
        table: CSV file with the columns of :data:`KEYS` and the values, in place of a computation.
        column: Column of the values in the table; None: the name of the target.
        workers: Processes.
        progress: Called with the number of entries done, and of all.

    Raises:
        ConfigError: the target needs a table, or every store has its labels.
        StoreError: a split does not exist, or the table lacks columns or does not fit the store.
    """
    if target.source.value_column:
        raise ConfigError(
            f"target {target.name}", "every store has its labels", "Train on the store as it is"
        )
    if table is None and target.source.compute is None:
        raise ConfigError(
            f"target {target.name}",
            "its labels are not computed from structures",
            f"Give a table with the columns {', '.join(KEYS[target.per])} and {target.name}",
        )
    splits = splits or store.splits
    rows = [(split, row) for split in splits for row in range(len(store.entries(split)))]
    rows_of_table = 0
    if table is None:
        make = partial(_computed, store, target)
    else:
        values = _read_table(table, target, column or target.name)
        rows_of_table, make = len(values), partial(_looked_up, store, target, values)
    found: dict[str, list[Labels]] = {split: [] for split in splits}
    with _mapping(workers) as mapped:
        for done, labels in enumerate(mapped(make, rows), start=1):
            found[rows[done - 1][0]].append(labels)
            if progress:
                progress(done, len(rows))
    if table is not None and not any(
        labels.usable.any() for each in found.values() for labels in each
    ):
        raise StoreError(
            str(table),
            f"none of its rows belongs to an entry of {store.path}",
            "Check the identifiers: entries, author chains and residue numbers as in the store",
        )
    origin: dict[str, Any] = {"version": library_version(), "table": table.name if table else None}
    if table is not None:
        used = sum(int(labels.usable.sum()) for each in found.values() for labels in each)
        origin["rows_unused"] = rows_of_table - used
    return {split: _write(store, split, target, found[split], origin) for split in splits}


def labels_digest(store: Store, split: str, target: Target) -> str:
    """Return the SHA-256 of a split's labels; that of the store where it has them of itself.

    Raises:
        StoreError: the split has no labels of this target.
    """
    store.check_labels(split, target)
    if target.source.value_column:
        return store.digest
    digest = hashlib.sha256()
    for column in (0, 1):
        digest.update(store.label_file(split, target, column).read_bytes())
    return digest.hexdigest()


def _computed(store: Store, target: Target, where: tuple[str, int]) -> Labels:
    structure = store.structure(*where)
    assert target.source.compute is not None
    try:
        labels = target.source.compute(structure)
    # One odd entry must not end a labelling of thousands: whatever it raised is recorded by name.
    except Exception as error:
        reason = error.problem if isinstance(error, StructureError) else type(error).__name__
        return Labels.unusable(target.per.count(structure), reason)
    expected = target.per.count(structure)
    if len(labels.value) != expected or len(labels.usable) != expected:
        raise StoreError(
            structure.source,
            f"{expected} {target.per}s, but {len(labels.value)} labels of {target.name}",
            "Correct the label function of the target",
        )
    wrong = labels.usable & ~np.isfinite(labels.value)
    if wrong.any():
        reasons = {**labels.reasons, "not finite": int(wrong.sum())}
        labels = replace(labels, usable=labels.usable & ~wrong, reasons=reasons)
    return labels


def _looked_up(
    store: Store, target: Target, table: Mapping[tuple[str, ...], float], where: tuple[str, int]
) -> Labels:
    entry = store.entries(where[0])[where[1]].id.lower()
    if target.per is Per.STRUCTURE:
        keys = [(entry,)]
    else:
        keys = _keys(store.structure(*where), target.per, entry)
    value = np.array([table.get(key, np.nan) for key in keys], np.float32)
    usable = np.isfinite(value)
    missing = int((~usable).sum())
    value[~usable] = 0.0
    return Labels(
        value=value, usable=usable, reasons={"not in the table": missing} if missing else {}
    )


def _keys(structure: Structure, per: Per, entry: str) -> list[tuple[str, ...]]:
    number = np.char.add(structure.residue_number.astype(str), structure.insertion_code)
    columns = [structure.chain, number]
    if per is Per.ATOM:
        columns.append(structure.atom_name)
        rows = np.arange(len(structure))
    else:
        _, rows = np.unique(structure.residue_index, return_index=True)
    return [
        (entry, *names)
        for names in zip(*(column[rows].tolist() for column in columns), strict=True)
    ]


def _read_table(path: Path, target: Target, column: str) -> dict[tuple[str, ...], float]:
    """Return the values of a user's table by entry, chain, residue and atom, as the target needs."""
    import pandas as pd

    keys = list(KEYS[target.per])
    try:
        table = pd.read_csv(
            path, dtype=str, keep_default_na=False, skipinitialspace=True, index_col=False
        )
    except (OSError, ValueError) as error:
        raise StoreError(str(path), f"cannot be read ({error})", "Give a CSV file") from error
    table.columns = table.columns.str.strip()
    missing = [name for name in (*keys, column) if name not in table]
    if missing:
        raise StoreError(
            str(path),
            f"has no column {', '.join(missing)}",
            f"A table per {target.per} needs {', '.join([*keys, column])}",
        )
    table = pd.DataFrame({name: table[name].str.strip() for name in (*keys, column)})
    table = table.loc[table[column] != ""]
    value = np.asarray(pd.to_numeric(table[column], errors="coerce"), np.float64)
    wrong = ~(np.abs(value) < np.finfo(np.float32).max)
    if wrong.any():
        text = table[column].iloc[int(wrong.argmax())]
        problem = f"{column} is not a number in {int(wrong.sum())} of {len(table)} rows: {text!r}"
        raise StoreError(str(path), problem, "Write numbers with a decimal point, or nothing")
    table = table.assign(value=value)
    table["entry"] = table["entry"].str.lower()
    if "residue" in table:  # spreadsheets write 27 as 27.0 if a row of the column is empty
        table["residue"] = table["residue"].str.replace(r"\.0+$", "", regex=True)
    twice = table.duplicated(keys)
    if twice.any():
        first = table.loc[twice.idxmax(), keys]
        raise StoreError(
            str(path),
            f"{int(twice.sum())} row{'s repeat' if twice.sum() > 1 else ' repeats'} an earlier one, for example "
            f"{' '.join(first)}",
            "Keep one value for each",
        )
    return dict(
        zip(map(tuple, table[keys].to_numpy().tolist()), table["value"].tolist(), strict=True)
    )


def _write(
    store: Store, split: str, target: Target, found: Sequence[Labels], origin: Mapping[str, Any]
) -> dict[str, Any]:
    reasons: Counter[str] = Counter()
    for labels in found:
        reasons.update(labels.reasons)
    columns: tuple[NDArray[Any], NDArray[Any]] = (
        np.concatenate([labels.value for labels in found], dtype=np.float32)
        if found
        else np.zeros(0, np.float32),
        np.concatenate([labels.usable for labels in found], dtype=bool)
        if found
        else np.zeros(0, bool),
    )
    digest = hashlib.sha256()
    for number, column in enumerate(columns):
        path = store.label_file(split, target, number)  # type: ignore[arg-type]
        with replacing(path) as partial_file:
            np.save(partial_file, column)
        digest.update(path.read_bytes())
    store.forget_labels(split, target)
    record = {
        "target": target.name,
        "unit": target.unit,
        "per": str(target.per),
        "values": len(columns[0]),
        "usable": int(columns[1].sum()),
        "reasons": dict(reasons),
        "digest": digest.hexdigest(),
        "store": store.digest,
        **origin,
    }
    write_json(store.label_file(split, target, 0).with_suffix(".json"), record)
    return record


@contextmanager
def _mapping(workers: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """Return ``map``, or that of so many processes; results keep their order."""
    if workers <= 1:
        yield map
        return
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=prepare_worker
    ) as pool:
        yield partial(pool.map, chunksize=8)
