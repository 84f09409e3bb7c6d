"""Facts about the whole entry, value by value from any format → :class:`Entry` and :class:`Crystal`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import gemmi
import numpy as np
from numpy.typing import NDArray

from debye.structure.formats.columns import Column
from debye.structure.structure import BKind, Crystal, Entry

PREDICTORS = (
    "ALPHAFOLD", "ALPHAFOLDDB", "COLABFOLD", "ESMFOLD", "OMEGAFOLD", "OPENFOLD", "ROSETTAFOLD", "HELIXFOLD",
    "BOLTZ", "CHAI-1", "CHAI-1R", "PROTENIX", "SWISS-MODEL", "MODELLER", "I-TASSER", "TRROSETTA",
)  # fmt: skip
"""Programs that compute models; searched for only if no experiment is named."""
# Digits may follow (AlphaFold2, Boltz-1x), letters may not: Boltzmann weighted frames of simulations.
_PREDICTOR = re.compile(rf"(?<![A-Z])(?:{'|'.join(map(re.escape, PREDICTORS))})(?![A-Z])")

_FRAME_TOLERANCE = 5e-3
_SHIFT_TOLERANCE = 1e-3
_NO_CRYSTAL = ("NMR", "MICROSCOPY", "SCATTERING", "THEORETICAL", "EPR", "INFRARED", "FLUORESCENCE")
_DIFFRACTION = ("DIFFRACTION", "CRYSTALLOGRAPHY")
_RESOLUTION = (
    ("refine", "ls_d_res_high"),
    ("em_3d_reconstruction", "resolution"),
    ("reflns", "d_resolution_high"),
)
_HINTS = (("entry", "id"), ("struct", "title"), ("software", "name"), ("citation", "title"))
CELL_ITEMS = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
OPERATOR_ITEMS = tuple(
    item for i in "123" for item in (*(f"matrix[{i}][{j}]" for j in "123"), f"vector[{i}]")
)
"""Items of mmCIF that make the (3, 4) matrix and shift of an operator."""


class Partner(NamedTuple):
    """One end of a link, as the file names it; an empty altloc means any."""

    chain: str
    residue_number: int
    insertion_code: str
    residue_name: str
    atom_name: str
    altloc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Facts about the whole entry as the file gives them; empty or None if missing."""

    id: str = ""
    title: str = ""
    method: str = ""
    """Experimental methods, separated by semicolons."""
    resolution: float | None = None
    """Å."""
    r_free: float | None = None
    program: str = ""
    has_tls: bool = False
    b_type: str = ""
    """``B VALUE TYPE`` of PDB files, ``pdbx_TLS_residual_ADP_flag`` of mmCIF."""
    hints: tuple[str, ...] = ()
    """Texts that may name a program for structure prediction."""
    is_model_archive: bool = False
    """The file has ModelCIF categories (``ma_*``)."""
    cell: tuple[float, ...] = ()
    """Lengths (Å) and angles (degrees); NaN or 0 where missing."""
    space_group: str = ""
    fractional: NDArray[np.float64] | None = None
    """(3, 4) SCALE or fract_transf matrix and shift."""
    ncs: list[tuple[bool, NDArray[np.float64]]] = field(default_factory=list)
    """Whether the file contains the copy, and its (3, 4) rotation and shift (Å)."""


class Categories(Protocol):
    """The categories of an mmCIF file, text or binary; all names in lower case."""

    def column(self, category: str, item: str) -> Column | None:
        """Return a column, or None if it is missing or damaged."""
        ...

    def has_category(self, start: str) -> bool:
        """Return whether the name of any category begins so."""
        ...


@dataclass(frozen=True, slots=True)
class CategoryFacts:
    """Values of the categories of an mmCIF file; a missing or damaged value is empty or NaN."""

    file: Categories

    def texts(self, category: str, *items: str) -> list[str]:
        """Return the texts of the first item that has one, row by row."""
        columns = [self.file.column(category, item.lower()) for item in items]
        texts = [column.texts().tolist() for column in columns if column is not None]
        return [next(filter(None, row), "") for row in zip(*texts, strict=False)]

    def numbers(self, category: str, item: str) -> list[float]:
        """Return the numbers of an item."""
        column = self.file.column(category, item.lower())
        return [] if column is None else column.numbers().tolist()

    def text(self, category: str, item: str) -> str:
        """Return the first text of an item."""
        return next(iter(self.texts(category, item)), "")

    def header(self) -> Header:
        """Return the facts about the entry."""
        resolution = (
            number for category, item in _RESOLUTION for number in self.numbers(category, item)
        )
        r_free = self.numbers("refine", "ls_R_factor_R_free")
        method = "; ".join(filter(None, self.texts("exptl", "method")))
        places = () if method else _HINTS
        cell = [self.numbers("cell", item) for item in CELL_ITEMS]
        operators = self._operators("struct_ncs_oper")
        codes = self.texts("struct_ncs_oper", "code") or [""] * len(operators)
        return Header(
            id=self.text("entry", "id"),
            title=self.text("struct", "title"),
            method=method,
            resolution=next((value for value in resolution if value > 0), None),
            r_free=next((value for value in r_free if value > 0), None),
            program=self._program(),
            has_tls=bool(self.texts("pdbx_refine_tls", "id", "pdbx_refine_id")),
            b_type=self.text("refine", "pdbx_TLS_residual_ADP_flag"),
            hints=tuple(text for place in places for text in self.texts(*place)),
            is_model_archive=not method and self.file.has_category("ma_"),
            cell=tuple(values[0] if values else np.nan for values in cell),
            space_group=self.text("symmetry", "space_group_name_H-M")
            or self.text("space_group", "name_H-M_alt"),
            fractional=next(iter(self._operators("atom_sites", "fract_transf_")), None),
            ncs=[
                (code.lower() == "given", item) for code, item in zip(codes, operators, strict=True)
            ],
        )

    def partners(self) -> list[tuple[Partner, Partner]]:
        """Return the links within one asymmetric unit, without hydrogen bonds."""
        ends = list(zip(self._ends(1), self._ends(2), strict=False))
        items = ("conn_type_id", "ptnr1_symmetry", "ptnr2_symmetry")
        columns = [self.texts("struct_conn", item) or [""] * len(ends) for item in items]
        return [
            (first, second)
            for (first, second), kind, a, b in zip(ends, *columns, strict=True)
            if first and second and kind.lower() != "hydrog" and a == b
        ]

    def _ends(self, end: int) -> list[Partner | None]:
        """Return one end of each link, None if its residue number is not an integer."""
        side = f"ptnr{end}_"
        names = (
            (side + "auth_asym_id", side + "label_asym_id"),
            (side + "auth_seq_id", side + "label_seq_id"),
            (f"pdbx_{side}PDB_ins_code",),
            (side + "auth_comp_id", side + "label_comp_id"),
            (side + "auth_atom_id", side + "label_atom_id"),
            (f"pdbx_{side}label_alt_id",),
        )
        columns = [self.texts("struct_conn", *items) for items in names]
        rows = max(map(len, columns))
        columns = [column or [""] * rows for column in columns]
        return [
            Partner(chain, int(number or 0), *others)
            if re.fullmatch(r"([+-]?\d{1,9})?", number)
            else None
            for chain, number, *others in zip(*columns, strict=True)
        ]

    def _program(self) -> str:
        """Return name and version of the first program for refinement."""
        names = self.texts("software", "name")
        versions = self.texts("software", "version") or [""] * len(names)
        rows = zip(names, versions, self.texts("software", "classification"), strict=False)
        found = (
            f"{name} {version}" for name, version, kind in rows if kind.lower() == "refinement"
        )
        return next(found, "").strip()

    def _operators(self, category: str, prefix: str = "") -> list[NDArray[np.float64]]:
        """Return the (3, 4) matrices and shifts of a category, NaN where missing."""
        cells = [self.numbers(category, prefix + item) for item in OPERATOR_ITEMS]
        rows = max(map(len, cells))
        cells = [column or [np.nan] * rows for column in cells]
        return list(np.array(cells, np.float64).T.reshape(rows, 3, 4))


def entry_and_crystal(
    header: Header, b_iso: NDArray[np.float32], residue: NDArray[np.int32]
) -> tuple[Entry, Crystal | None]:
    """Return entry and crystal as far as the header gives them; a crystal only if it was measured.

    The B column (atoms,) is used only if the file names neither experiment nor cell.
    """
    method = header.method.upper()
    is_predicted = is_prediction(method, header.hints) or (not method and header.is_model_archive)
    crystal = None if is_predicted else _crystal(header, method)
    if not method and not crystal and not is_predicted:
        is_predicted = _looks_like_confidence(b_iso, residue)
    entry = Entry(
        id=header.id.lower(),
        title=header.title,
        method=method,
        resolution=_positive(header.resolution),
        r_free=_positive(header.r_free),
        program=header.program,
        has_tls=header.has_tls,
        b_kind=b_kind_from(header.b_type, method=method, is_predicted=is_predicted),
        is_predicted=is_predicted,
    )
    return entry, crystal


def _crystal(header: Header, method: str) -> Crystal | None:
    """Return the crystal, or None where the cell is missing or a dummy, or no crystal was measured."""
    cell = header.cell
    if any(word in method for word in _NO_CRYSTAL) and not diffraction_method(method):
        return None
    if len(cell) != 6 or not (np.array(cell) > (1, 1, 1, 0, 0, 0)).all() or np.isinf(cell).any():
        return None
    a, b, c, alpha, beta, gamma = map(float, cell)
    return Crystal(
        cell=(a, b, c, alpha, beta, gamma),
        space_group=header.space_group.strip(),
        ncs_operators=_missing_copies(header.ncs),
        nonstandard_frame=_is_nonstandard(cell, header.fractional),
    )


def diffraction_method(method: str) -> str:
    """Return the first diffraction method of an entry, empty if it has none.

    Entries may name several methods, which all formats give as one text with semicolons. Resolution and
    refinement are those of the first that needs a crystal, so that one decides what the B-factors are.

    Example:
        >>> diffraction_method("SOLUTION SCATTERING; X-RAY DIFFRACTION; NEUTRON DIFFRACTION")
        'X-RAY DIFFRACTION'
    """
    methods = (text.strip() for text in method.split(";"))
    return next((text for text in methods if any(word in text for word in _DIFFRACTION)), "")


def b_kind_from(b_type: str, *, method: str, is_predicted: bool) -> BKind:
    """Return the kind of values in the B column.

    Example:
        >>> b_kind_from("LIKELY RESIDUAL", method="X-RAY DIFFRACTION", is_predicted=False).name
        'RESIDUAL'
    """
    if is_predicted or (method and not diffraction_method(method)):
        return BKind.NOT_CRYSTALLOGRAPHIC
    if "RESIDUAL" in b_type.upper():
        return BKind.RESIDUAL
    return BKind.FULL if b_type.upper().startswith("FULL") else BKind.UNKNOWN


def is_prediction(method: str, hints: Iterable[str]) -> bool:
    """Return whether the entry is a computed model.

    The method is in upper case; the hints (identifier, title, programs) count only if it is empty.

    Example:
        >>> is_prediction("", ["AlphaFold Monomer v2.0 prediction for P31749"])
        True
        >>> is_prediction("X-RAY DIFFRACTION", ["Model building: AlphaFold"])
        False
        >>> is_prediction("", ["Boltzmann-weighted frame"]), is_prediction("", ["Boltz-1x"])
        (False, True)
    """
    if method:
        return "THEORETICAL" in method
    text = " ".join(hints).upper()
    return text.startswith(("AF-", "MA-")) or bool(_PREDICTOR.search(text))


def _looks_like_confidence(b_iso: NDArray[np.float32], residue: NDArray[np.int32]) -> bool:
    """Return whether the B column looks like a confidence per residue (pLDDT), not like B-factors.

    For files without any header, as several predictors write them: every residue has one value, and residues
    differ. Grouped B-factors look the same, and are not a target either.
    """
    if len(b_iso) == 0 or not np.isfinite(b_iso).all() or b_iso.min() < 0 or b_iso.max() > 100:
        return False
    size = np.bincount(residue)
    mean = np.bincount(residue, weights=b_iso) / np.maximum(size, 1)
    chain_like = (size >= 4).sum() >= 10
    constant = np.abs(b_iso - mean[residue]).max() < 1e-3
    return bool(chain_like and constant and np.ptp(b_iso) > 0.01)


def _missing_copies(operators: Iterable[tuple[bool, NDArray[np.float64]]]) -> NDArray[np.float64]:
    """Return the (3, 4) operators of :attr:`Header.ncs` whose copies the file lacks."""
    missing = [
        operator
        for given, operator in operators
        if not given
        and np.isfinite(operator).all()
        and np.abs(operator - np.eye(3, 4)).max() > 1e-5
    ]
    return np.array(missing, np.float64).reshape(-1, 3, 4)


def _positive(value: float | None) -> float | None:
    return float(value) if value is not None and np.isfinite(value) and value > 0 else None


def _is_nonstandard(cell: Sequence[float], fractional: NDArray[np.float64] | None) -> bool:
    """Return whether the file's matrix moves atoms elsewhere than the standard one.

    Matrices of old entries are rounded to five digits, so a share of the length is compared, not the digits:
    0.5 %, or 0.1 % of a cell edge for the shift. The identity means "not given".
    """
    if fractional is None or not np.isfinite(fractional).all():
        return False
    matrix, shift = fractional[:, :3], fractional[:, 3]
    if np.abs(matrix - np.eye(3)).max() < 1e-5 or abs(np.linalg.det(matrix)) < 1e-15:
        return False
    to_cartesian = np.array(gemmi.UnitCell(*cell).orth.mat.tolist())
    turned = np.abs(to_cartesian @ matrix - np.eye(3)).max() > _FRAME_TOLERANCE
    return bool(turned or np.abs(shift).max() > _SHIFT_TOLERANCE)
