"""What a file says about the whole entry → :class:`Entry` and :class:`Crystal`, alike for all formats."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import gemmi
import numpy as np
from numpy.typing import NDArray

from debye.structure.structure import BKind, Crystal, Entry

PREDICTORS = (
    "ALPHAFOLD", "ALPHAFOLDDB", "COLABFOLD", "ESMFOLD", "OMEGAFOLD", "OPENFOLD", "ROSETTAFOLD", "HELIXFOLD",
    "BOLTZ", "CHAI-1", "CHAI-1R", "PROTENIX", "SWISS-MODEL", "MODELLER", "I-TASSER", "TRROSETTA",
)  # fmt: skip
"""Programs that compute models; looked for only where no experiment is named."""
# Digits may follow (AlphaFold2, Boltz-1x), letters may not: Boltzmann weighted frames of simulations.
_PREDICTOR = re.compile(rf"(?<![A-Z])(?:{'|'.join(map(re.escape, PREDICTORS))})(?![A-Z])")

_FRAME_TOLERANCE = 5e-3
_SHIFT_TOLERANCE = 1e-3
_NO_CRYSTAL = ("NMR", "MICROSCOPY", "SCATTERING", "THEORETICAL", "EPR", "INFRARED", "FLUORESCENCE")
_DIFFRACTION = ("DIFFRACTION", "CRYSTALLOGRAPHY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a file says about the whole entry, as it says it; empty or None where it is silent."""

    id: str = ""
    title: str = ""
    method: str = ""
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
    """Whether a copy is given in the file, and its (3, 4) rotation and shift (Å)."""


def entry_and_crystal(
    header: Header, b_iso: NDArray[np.float32], residue: NDArray[np.int32]
) -> tuple[Entry, Crystal | None]:
    """Judge what a file says about the entry.

    Args:
        header: What the file says.
        b_iso: (atoms,) the B column, looked at only where the file says nothing about experiment and cell.
        residue: (atoms,) residue of each atom.
    """
    method = header.method.upper()
    is_predicted = is_prediction(method, header.hints) or (not method and header.is_model_archive)
    crystal = None if is_predicted else crystal_from(header, method)
    if not method and not crystal and not is_predicted:
        is_predicted = looks_like_confidence(b_iso, residue)
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


def crystal_from(header: Header, method: str) -> Crystal | None:
    """Return the crystal, or None where the cell is missing or a dummy, or no crystal was measured.

    Args:
        header: What the file says.
        method: Experimental method in upper case.
    """
    cell = header.cell
    if any(word in method for word in _NO_CRYSTAL) and not diffraction_method(method):
        return None
    if len(cell) != 6 or not np.isfinite(cell).all():
        return None
    if min(cell[:3]) <= 1 or min(cell[3:]) <= 0:
        return None
    a, b, c, alpha, beta, gamma = (float(value) for value in cell)
    return Crystal(
        cell=(a, b, c, alpha, beta, gamma),
        space_group=header.space_group.strip(),
        ncs_operators=missing_copies(header.ncs),
        nonstandard_frame=_is_nonstandard(cell, header.fractional),
    )


def diffraction_method(method: str) -> str:
    """Return the first diffraction method of an entry, empty if it has none.

    Entries may name several methods, which all formats give as one text with semicolons. Resolution and
    refinement are those of the first that needs a crystal, so that one decides what the B-factors are.

    Args:
        method: Experimental methods in upper case.

    Example:
        >>> diffraction_method("SOLUTION SCATTERING; X-RAY DIFFRACTION; NEUTRON DIFFRACTION")
        'X-RAY DIFFRACTION'
        >>> diffraction_method("SOLUTION NMR")
        ''
    """
    methods = (text.strip() for text in method.split(";"))
    return next((text for text in methods if any(word in text for word in _DIFFRACTION)), "")


def b_kind_from(b_type: str, *, method: str, is_predicted: bool) -> BKind:
    """Return what the B column holds.

    Args:
        b_type: ``B VALUE TYPE`` of PDB files, ``pdbx_TLS_residual_ADP_flag`` of mmCIF.
        method: Experimental method in upper case; empty where the file is silent.
        is_predicted: The coordinates were computed.

    Example:
        >>> b_kind_from("LIKELY RESIDUAL", method="X-RAY DIFFRACTION", is_predicted=False).name
        'RESIDUAL'
        >>> b_kind_from("", method="SOLUTION NMR", is_predicted=False).name
        'NOT_CRYSTALLOGRAPHIC'
    """
    if is_predicted or (method and not diffraction_method(method)):
        return BKind.NOT_CRYSTALLOGRAPHIC
    if "RESIDUAL" in b_type.upper():
        return BKind.RESIDUAL
    return BKind.FULL if b_type.upper().startswith("FULL") else BKind.UNKNOWN


def is_prediction(method: str, hints: Iterable[str]) -> bool:
    """Tell whether the entry is a computed model.

    Args:
        method: Experimental method in upper case; empty where the file is silent.
        hints: Identifier, title, programs; read only where no experiment is named.

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


def looks_like_confidence(b_iso: NDArray[np.float32], residue: NDArray[np.int32]) -> bool:
    """Tell whether the B column looks like a confidence per residue (pLDDT), not like B-factors.

    For files without any header, as several predictors write them: every residue has one value, and residues
    differ. Grouped B-factors look the same, and are no target either.

    Args:
        b_iso: (atoms,) the B column.
        residue: (atoms,) residue of each atom, 0 to residues - 1.
    """
    if len(b_iso) == 0 or not np.isfinite(b_iso).all() or b_iso.min() < 0 or b_iso.max() > 100:
        return False
    size = np.bincount(residue)
    mean = np.bincount(residue, weights=b_iso) / np.maximum(size, 1)
    chain_like = (size >= 4).sum() >= 10
    constant = np.abs(b_iso - mean[residue]).max() < 1e-3
    return bool(chain_like and constant and np.ptp(b_iso) > 0.01)


def missing_copies(
    operators: Iterable[tuple[bool, NDArray[np.float64]]],
) -> NDArray[np.float64]:
    """Return those of the NCS operators whose copies the file lacks.

    Args:
        operators: Whether the copy is given in the file, and the (3, 4) rotation and shift (Å).
    """
    identity = np.eye(3, 4)
    missing = [
        operator
        for given, operator in operators
        if not given and np.isfinite(operator).all() and np.abs(operator - identity).max() > 1e-5
    ]
    return np.array(missing, np.float64).reshape(-1, 3, 4)


def _positive(value: float | None) -> float | None:
    return float(value) if value is not None and np.isfinite(value) and value > 0 else None


def _is_nonstandard(cell: Sequence[float], fractional: NDArray[np.float64] | None) -> bool:
    """Tell whether the file's matrix moves atoms elsewhere than the standard one.

    Matrices of old entries are rounded to five digits, so a share of the length is compared, not the digits:
    0.5 %, or 0.1 % of a cell edge for the shift. The identity stands for "not given".
    """
    if fractional is None or not np.isfinite(fractional).all():
        return False
    matrix, shift = fractional[:, :3], fractional[:, 3]
    if np.abs(matrix - np.eye(3)).max() < 1e-5 or abs(np.linalg.det(matrix)) < 1e-15:
        return False
    to_cartesian = np.array(gemmi.UnitCell(*cell).orth.mat.tolist())
    turned = np.abs(to_cartesian @ matrix - np.eye(3)).max() > _FRAME_TOLERANCE
    return bool(turned or np.abs(shift).max() > _SHIFT_TOLERANCE)
