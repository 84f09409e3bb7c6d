"""The state object of the first stage: one entry as flat per-atom arrays."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from debye.errors import StructureError


class EntityKind(IntEnum):
    """What an atom belongs to."""

    PROTEIN = 0
    NUCLEIC = 1
    LIGAND = 2
    ION = 3
    WATER = 4
    SUGAR = 5

    @property
    def is_polymer(self) -> bool:
        """Whether this is protein or nucleic acid."""
        return self in (EntityKind.PROTEIN, EntityKind.NUCLEIC)


class BKind(IntEnum):
    """Kind of values in the B column, according to the header."""

    UNKNOWN = 0
    """Not stated: taken as full isotropic B for an X-ray entry."""
    FULL = 1
    """Full isotropic B (``B VALUE TYPE : UNVERIFIED`` counts as unknown)."""
    RESIDUAL = 2
    """Only what TLS groups do not explain (``LIKELY RESIDUAL``)."""
    NOT_CRYSTALLOGRAPHIC = 3
    """Another quantity: pLDDT of a predicted model, NMR, electron microscopy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crystal:
    """Cell, symmetry and how far both can be trusted."""

    cell: tuple[float, float, float, float, float, float]
    """Lengths a, b, c in Å, angles alpha, beta, gamma in degrees."""
    space_group: str
    """Hermann-Mauguin symbol as the file gives it, e.g. ``P 21 21 21``."""
    ncs_operators: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3, 4)))
    """(operators, 3, 4) rotation and shift (Å) that make the copies missing from the file."""
    nonstandard_frame: bool = False
    """True where the file's SCALE / fract_transf matrix is not the one that the cell implies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Facts about the whole entry; None or empty if not stated."""

    id: str = ""
    """PDB or AlphaFold identifier, lower case."""
    title: str = ""
    method: str = ""
    """Experimental method in upper case, e.g. ``X-RAY DIFFRACTION``."""
    resolution: float | None = None
    """High-resolution limit, Å."""
    r_free: float | None = None
    program: str = ""
    """Refinement program, as deposited."""
    has_tls: bool = False
    """TLS groups were refined."""
    b_kind: BKind = BKind.UNKNOWN
    is_predicted: bool = False
    """A computed model: its B column is a confidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """One entry as flat per-atom arrays, in the order of the file.

    Row ``i`` of every array describes atom ``i``. Functions that drop atoms return a new structure.
    Lengths in Å, B-factors in Å², angles in degrees. Missing text is ``""``.
    """

    source: str
    """File or identifier, kept for error messages and reports."""
    record: NDArray[np.int32]
    """(atoms,) position among the atom records of the file: where a new B is to be written."""
    model: NDArray[np.int32]
    """(atoms,) model number."""
    chain: NDArray[np.str_]
    """(atoms,) chain as the authors name it."""
    chain_label: NDArray[np.str_]
    """(atoms,) chain as mmCIF's label_asym_id names it; empty in PDB files."""
    residue_number: NDArray[np.int32]
    """(atoms,) residue number as the authors count."""
    insertion_code: NDArray[np.str_]
    """(atoms,) insertion code, mostly empty."""
    residue_name: NDArray[np.str_]
    """(atoms,) component identifier, e.g. ``ALA``, ``ATP``."""
    atom_name: NDArray[np.str_]
    """(atoms,) e.g. ``CA``."""
    altloc: NDArray[np.str_]
    """(atoms,) alternative location, mostly empty."""
    element: NDArray[np.str_]
    """(atoms,) chemical symbol in upper case."""
    position: NDArray[np.float32]
    """(atoms, 3) Cartesian coordinates, Å."""
    occupancy: NDArray[np.float32]
    """(atoms,) 0 to 1."""
    b_iso: NDArray[np.float32]
    """(atoms,) the B column, Å² if :attr:`Entry.b_kind` is B; NaN if missing."""
    u_aniso: NDArray[np.float32] | None = None
    """(atoms, 6) U11 U22 U33 U12 U13 U23, Å²; NaN rows without ANISOU; None if no atom has any."""
    is_hetero: NDArray[np.bool_]
    """(atoms,) True for HETATM records."""
    entity_kind: NDArray[np.int8]
    """(atoms,) an :class:`EntityKind`."""
    links: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 2), np.int32))
    """(links, 2) rows of atoms that the file itself links (LINK, SSBOND, struct_conn)."""
    crystal: Crystal | None = None
    """None for predicted models, NMR, microscopy, or a dummy cell."""
    entry: Entry = field(default_factory=Entry)
    residue_index: NDArray[np.int32]
    """(atoms,) residue of each atom, 0 to residues - 1; microheterogeneous residues count as one."""

    def __post_init__(self) -> None:
        atoms = len(self.element)
        for name, value in self._columns().items():
            if len(value) != atoms:
                problem = f"{atoms} elements, but {name} has shape {value.shape}"
                remedy = "Build every array from the same atom selection"
                raise StructureError(self.source, problem, remedy)
        if self.position.shape != (atoms, 3):
            problem = f"position has shape {self.position.shape}, not ({atoms}, 3)"
            remedy = "Give Cartesian coordinates, one row an atom"
            raise StructureError(self.source, problem, remedy)

    def _columns(self) -> dict[str, NDArray]:
        """Return the arrays with one row an atom."""
        found = ((column.name, getattr(self, column.name)) for column in fields(self))
        return {
            name: value
            for name, value in found
            if isinstance(value, np.ndarray) and name != "links"
        }

    def __len__(self) -> int:
        return len(self.element)

    @property
    def is_polymer(self) -> NDArray[np.bool_]:
        """(atoms,) True for atoms of proteins and nucleic acids."""
        return np.isin(self.entity_kind, (EntityKind.PROTEIN, EntityKind.NUCLEIC))

    @property
    def n_residues(self) -> int:
        """Number of residues, waters and ligands included."""
        return int(self.residue_index.max()) + 1 if len(self) else 0

    def take(self, rows: NDArray[np.bool_] | NDArray[np.integer]) -> Structure:
        """Keep some atoms, by mask or by row, in the given order; links and residues follow."""
        if np.asarray(rows).dtype == bool:
            rows = np.flatnonzero(rows)
        columns = {name: column[rows] for name, column in self._columns().items()}
        new_row = np.full(len(self), -1, np.int32)
        new_row[rows] = np.arange(len(rows), dtype=np.int32)
        links = new_row[self.links] if len(self.links) else self.links
        columns["links"] = links[(links >= 0).all(axis=1)]
        residue = np.unique(columns["residue_index"], return_inverse=True)[1]
        columns["residue_index"] = residue.astype(np.int32)
        return replace(self, **columns)
