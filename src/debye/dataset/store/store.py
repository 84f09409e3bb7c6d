"""The data store: selected structures as flat memory-mapped arrays, one folder a split.

Layout::

    STORE/manifest.json         format, version, digest, config, splits, failures
    STORE/vocabulary.json       the distinct texts of each text column, in the order of their codes
    STORE/<split>/entries.json  one record an entry (:class:`StoreEntry`)
    STORE/<split>/<column>.npy  one array a column, the entries end to end
    STORE/<split>/label_<target>.npy, usable_<target>.npy, label_<target>.json
                                labels of a target and their origin, see :mod:`debye.dataset.store.labels`

A split that entries were appended to lies in ``STORE/<split>.<digest>/``; the manifest names the folder.

Lengths in Å, B-factors in Å². ANISOU records are not kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from debye.dataset.store.resumable_map import open_flat
from debye.errors import StoreError
from debye.structure.structure import BKind, Crystal, Entry, Structure
from debye.targets.target import Labels, Per, Target

if TYPE_CHECKING:
    from debye.structure.bonds import Bonds

FORMAT = 1
NUMERIC_COLUMNS = {
    "record": np.int32,
    "residue_number": np.int32,
    "residue_index": np.int32,
    "position": np.float32,
    "occupancy": np.float32,
    "b_iso": np.float32,
    "is_hetero": np.bool_,
    "entity_kind": np.int8,
}
TEXT_COLUMNS = (
    "chain",
    "chain_label",
    "insertion_code",
    "residue_name",
    "atom_name",
    "altloc",
    "element",
)
BOND_COLUMNS = ("bond_pairs", "bond_order")
LINK_COLUMNS = ("links",)
COLUMN_COUNTS = {"links": "n_links", "bond_pairs": "n_bonds", "bond_order": "n_bonds"}
"""Field of :class:`StoreEntry` with the number of rows of a column; the others have one row an atom."""
COUNTS = {Per.ATOM: "n_atoms", Per.RESIDUE: "n_residues", Per.STRUCTURE: ""}
"""The same for labels; empty: one row an entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreEntry:
    """Everything about one entry that is not an array; None or empty if not stated."""

    id: str
    split: str
    cluster: str = ""
    representative: bool = True
    """The best-resolved entry of its sequence cluster."""
    whole_entry: bool = True
    """False: the file was cut to one chain or assembly, so the crystal is incomplete."""
    title: str = ""
    method: str = ""
    resolution: float | None = None
    """Å."""
    r_free: float | None = None
    program: str = ""
    has_tls: bool = False
    b_kind: int = 0
    is_predicted: bool = False
    crystal: dict[str, Any] | None = None
    """Cell (Å, degrees), space group, NCS operators, nonstandard frame."""
    model: int = 1
    n_atoms: int = 0
    n_residues: int = 0
    n_protein_residues: int = 0
    n_usable: int = 0
    """Atoms whose B-factor may be a target."""
    n_bonds: int = 0
    n_links: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    """Atoms that the selection left out, by reason."""
    unusable: dict[str, int] = field(default_factory=dict)
    """Atoms kept, but no target, by reason."""
    columns: dict[str, str] = field(default_factory=dict)
    """Every further column of the index, as text."""
    digest: str = ""
    """SHA-256 of the entry's arrays and facts."""

    @property
    def has_crystal(self) -> bool:
        """Whether symmetry mates can be made."""
        return self.crystal is not None

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> StoreEntry:
        """Return the entry of a stored record; in older stores the tag ``near364`` is not among the columns."""
        tag = {"near364": "1"} if record.pop("near364", False) else {}
        return cls(**record | {"columns": record.get("columns", {}) | tag})

    def digested(self) -> dict[str, Any]:
        """Return the record that the digest is made of: with the tag ``near364`` where format 1 has it."""
        record = asdict(self)
        return record | {"near364": record["columns"].pop("near364", "") == "1"}


class Store:
    """A finished data store, opened read-only. Cheap to send to another process: it reopens the files."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.manifest: dict[str, Any] = self._read("manifest.json")
        if self.manifest.get("format") != FORMAT:
            raise StoreError(
                str(path),
                f"store format {self.manifest.get('format')}, this version reads {FORMAT}",
                "Build the store again with debye data build",
            )
        self._flat: dict[tuple[str, str], NDArray[Any]] = {}
        self._checked: set[tuple[str, str, Per]] = set()
        self._entries: dict[str, tuple[StoreEntry, ...]] = {}
        self._start: dict[tuple[str, str], NDArray[np.int64]] = {}

    @classmethod
    def open(cls, path: Path | str) -> Store:
        """Open a finished store.

        Raises:
            StoreError: there is none, or it is of another format.
        """
        return cls(path)

    def __reduce__(self) -> tuple[type[Store], tuple[Path]]:
        return type(self), (self.path,)

    @property
    def digest(self) -> str:
        """SHA-256 of the content: the same entries and settings give the same digest."""
        return self.manifest["digest"]

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, in the order of the index."""
        return tuple(self.manifest["splits"])

    @property
    def failures(self) -> list[dict[str, str]]:
        """Entries of the index that could not be stored: id, split, reason."""
        return self.manifest["failures"]

    def folder(self, split: str) -> str:
        """Return the name of the folder of a split: its own, until entries are appended."""
        return self.manifest["splits"][split].get("folder", split)

    def entries(self, split: str) -> tuple[StoreEntry, ...]:
        """Return the records of a split, sorted by id; entry ``i`` is row ``i`` of every query."""
        if split not in self._entries:
            self._check_split(split)
            records = self._read(f"{self.folder(split)}/entries.json")
            self._entries[split] = tuple(map(StoreEntry.from_record, records))
        return self._entries[split]

    def row(self, split: str, entry_id: str) -> int:
        """Find an entry of a split by its id."""
        for row, entry in enumerate(self.entries(split)):
            if entry.id == entry_id:
                return row
        raise StoreError(
            str(self.path),
            f"split {split!r} has no entry {entry_id!r}",
            "List the entries with Store.entries",
        )

    def values(self, split: str, row: int, column: str) -> NDArray[Any]:
        """Return one column of one entry: a view of the file (codes for text columns)."""
        return self._slice(split, row, column, COLUMN_COUNTS.get(column, "n_atoms"))

    def _slice(self, split: str, row: int, column: str, count: str) -> NDArray[Any]:
        start = self._offsets(split, count)
        return self._array(split, column)[start[row] : start[row + 1]]

    def text(self, split: str, row: int, column: str) -> NDArray[np.str_]:
        """Return one text column of one entry."""
        return self.vocabulary[column][self.values(split, row, column)]

    def labels(self, split: str, row: int, target: Target) -> Labels:
        """Return the true values of one entry: one per atom, residue or structure.

        Raises:
            StoreError: the split has no labels of this target.
        """
        self.check_labels(split, target)
        value, usable = (
            np.array(self._slice(split, row, column, COUNTS[target.per]))
            for column in target.source.columns
        )
        return Labels(value=value, usable=usable)

    def usable_counts(self, split: str, target: Target) -> NDArray[np.int64]:
        """Return the number of usable labels of each entry.

        Raises:
            StoreError: the split has no labels of this target.
        """
        self.check_labels(split, target)
        start = self._offsets(split, COUNTS[target.per])
        usable = np.concatenate([[0], np.cumsum(self._array(split, target.source.columns[1]))])
        return usable[start[1:]] - usable[start[:-1]]

    def check_labels(self, split: str, target: Target) -> None:
        """Refuse a split without labels of a target, or with labels that do not fit it."""
        self._check_split(split)
        if (split, target.source.name, target.per) in self._checked:
            return
        table = " --table FILE" if target.source.compute is None else ""
        remedy = f"Run: debye data label {self.path} --target {target.name}{table}"
        if not self.label_file(split, target, 0).exists():
            problem = f"split {split!r} has no labels of {target.name}"
            raise StoreError(str(self.path), problem, remedy)
        expected = int(self._offsets(split, COUNTS[target.per])[-1])
        lengths = [len(self._array(split, column)) for column in target.source.columns]
        if lengths != [expected, expected]:
            problem = (
                f"split {split!r} has {expected} {target.per}s, but {lengths[0]} labels of "
                f"{target.name}, {lengths[1]} of them marked as usable or not"
            )
            raise StoreError(str(self.path), problem, remedy)
        self._checked.add((split, target.source.name, target.per))

    def label_file(self, split: str, target: Target, column: Literal[0, 1]) -> Path:
        """Return the file with the values (0), or with their usability (1), of a target's labels."""
        return self.path / self.folder(split) / f"{target.source.columns[column]}.npy"

    def forget_labels(self, split: str, target: Target) -> None:
        """Read the labels of a target again when they are next needed: their files have changed."""
        self._checked = {key for key in self._checked if key[:2] != (split, target.source.name)}
        for column in target.source.columns:
            self._flat.pop((split, column), None)

    def bonds(self, split: str, row: int) -> Bonds:
        """Return the bonds of an entry."""
        from debye.structure.bonds import Bonds

        return Bonds(
            pairs=np.array(self.values(split, row, "bond_pairs")),
            order=np.array(self.values(split, row, "bond_order")),
        )

    def structure(self, split: str, row: int) -> Structure:
        """Return an entry as it was after the selection of its atoms."""
        entry = self.entries(split)[row]
        columns: dict[str, Any] = {
            name: np.array(self.values(split, row, name)) for name in NUMERIC_COLUMNS
        }
        columns |= {name: self.text(split, row, name) for name in TEXT_COLUMNS}
        return Structure(
            source=entry.id,
            model=np.full(entry.n_atoms, entry.model, np.int32),
            links=np.array(self.values(split, row, "links")),
            crystal=decode_crystal(entry.crystal),
            entry=Entry(
                id=entry.id,
                title=entry.title,
                method=entry.method,
                resolution=entry.resolution,
                r_free=entry.r_free,
                program=entry.program,
                has_tls=entry.has_tls,
                b_kind=BKind(entry.b_kind),
                is_predicted=entry.is_predicted,
            ),
            **columns,
        )

    @cached_property
    def vocabulary(self) -> Mapping[str, NDArray[np.str_]]:
        """The distinct texts of each text column, in the order of their codes."""
        return {name: np.array(words) for name, words in self._read("vocabulary.json").items()}

    def _offsets(self, split: str, count: str) -> NDArray[np.int64]:
        """Return where each entry starts in columns with ``count`` rows an entry, the end last."""
        if (split, count) not in self._start:
            counts = [getattr(entry, count) if count else 1 for entry in self.entries(split)]
            self._start[split, count] = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        return self._start[split, count]

    def _array(self, split: str, column: str) -> NDArray[Any]:
        if (split, column) not in self._flat:
            self._flat[split, column] = open_flat(self.path / self.folder(split) / f"{column}.npy")
        return self._flat[split, column]

    def _check_split(self, split: str) -> None:
        if split not in self.manifest["splits"]:
            raise StoreError(
                str(self.path),
                f"no split is called {split!r}",
                f"Choose from {', '.join(self.splits)}",
            )

    def _read(self, name: str) -> Any:
        path = self.path / name
        try:
            return json.loads(path.read_text())
        except (FileNotFoundError, NotADirectoryError):
            raise StoreError(
                str(self.path),
                f"no finished data store: {name} is missing",
                "Build one with debye data build (an interrupted build resumes)",
            ) from None
        except json.JSONDecodeError as error:
            raise StoreError(str(path), f"damaged: {error}", "Build the store again") from error


def encode_crystal(crystal: Crystal | None) -> dict[str, Any] | None:
    """Return a crystal as plain JSON values."""
    if crystal is None:
        return None
    return {
        "cell": [float(length) for length in crystal.cell],
        "space_group": crystal.space_group,
        "ncs_operators": crystal.ncs_operators.tolist(),
        "nonstandard_frame": bool(crystal.nonstandard_frame),
    }


def decode_crystal(record: dict[str, Any] | None) -> Crystal | None:
    """Return the crystal that :func:`encode_crystal` wrote."""
    if record is None:
        return None
    return Crystal(
        cell=tuple(record["cell"]),
        space_group=record["space_group"],
        ncs_operators=np.array(record["ncs_operators"], np.float64).reshape(-1, 3, 4),
        nonstandard_frame=record["nonstandard_frame"],
    )
