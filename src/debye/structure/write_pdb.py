"""New B-factors in a PDB file: nothing changes outside columns 61-66, except dropped ANISOU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from debye.structure.edits import Edited, check_rows, splice
from debye.structure.pdb_lines import PdbLines, record_code

LARGEST = 999.99
"""Å²; the largest B that six columns with two decimals can hold."""
SMALLEST = -99.99
COLUMNS = slice(60, 66)
"""Where the B-factor stands in an ATOM record (columns 61-66, counted from one)."""
IDENTITY = slice(12, 27)
"""Atom name, altloc, residue name, chain, residue number, insertion code."""
_ANISOTROPIC = (record_code(b"ANIS"), record_code(b"SIGU"))


def replace_b_pdb(data: bytes, b: NDArray[np.floating], source: str) -> Edited:
    """Return the PDB file with new B-factors in columns 61-66.

    Line ends, trailing blanks and every other record stay as they are. Lines that stop before
    column 66 are padded. Atoms behind an END record count, as in the reader. ANISOU and SIGUIJ of a replaced atom are dropped. Values beyond what
    the six columns hold (-99.99 to 999.99) are clipped and counted.

    Args:
        data: The file.
        b: (records,) new B-factor of each ATOM or HETATM record in file order, Å²; NaN keeps
            the file's value.
        source: Name for error messages.
    """
    # The reader's own lines, so that both mean the same records.
    lines = PdbLines(data, source)
    starts, ends = lines.starts, lines.starts + lines.lengths
    check_rows(len(lines.rows), b, "atom records", source)
    new = np.isfinite(b)
    rounded = np.round(b[new].astype(np.float64), 2) + 0.0
    clipped = int(((rounded > LARGEST) | (rounded < SMALLEST)).sum())
    rounded = np.clip(rounded, SMALLEST, LARGEST)
    text = np.frombuffer(("%6.2f" * len(rounded) % tuple(rounded.tolist())).encode(), np.uint8)
    text = text.reshape(-1, 6)

    rows = lines.rows[new]
    line, line_end = starts[rows], ends[rows]
    is_long = line_end - line >= COLUMNS.stop
    edited = np.frombuffer(data, np.uint8).copy()
    edited[line[is_long, None] + np.arange(COLUMNS.start, COLUMNS.stop)] = text[is_long]
    edits = [
        (
            int(first),
            int(last),
            data[first:last].ljust(COLUMNS.start)[: COLUMNS.start] + bytes(new_b),
        )
        for first, last, new_b in zip(
            line[~is_long], line_end[~is_long], text[~is_long], strict=True
        )
    ]
    dropped = _anisotropic_of(data, lines, new)
    next_line = np.append(starts[1:], _behind_line_end(data, int(ends[-1])))
    edits += [(int(starts[row]), int(next_line[row]), b"") for row in dropped]
    return Edited(
        data=splice(edited.tobytes(), *zip(*edits, strict=True)) if edits else edited.tobytes(),
        replaced=len(rows),
        kept=len(b) - len(rows),
        dropped_anisotropic=len(dropped),
        clipped=clipped,
    )


def _behind_line_end(data: bytes, end: int) -> int:
    r"""Return where the next line starts, after ``\n``, ``\r\n`` or ``\r``."""
    return end + (2 if data[end : end + 2] == b"\r\n" else len(data[end : end + 1]))


def _anisotropic_of(data: bytes, lines: PdbLines, new: NDArray[np.bool_]) -> list[int]:
    """Lines of ANISOU and SIGUIJ records whose atom gets a new B."""
    starts, atom_lines = lines.starts, lines.rows
    anisotropic = np.flatnonzero(np.isin(lines.names, _ANISOTROPIC))
    before = np.searchsorted(atom_lines, anisotropic) - 1
    dropped = []
    by_identity: dict[bytes, bool] | None = None
    for line, atom in zip(anisotropic.tolist(), before.tolist(), strict=True):
        identity = _identity(data, int(starts[line]))
        if atom >= 0 and _identity(data, int(starts[atom_lines[atom]])) == identity:
            is_replaced = bool(new[atom])
        else:
            # Some programs collect the ANISOU records at the end of the chain.
            if by_identity is None:
                by_identity = {
                    _identity(data, int(starts[row])): bool(is_new)
                    for row, is_new in zip(atom_lines.tolist(), new, strict=True)
                }
            is_replaced = by_identity.get(identity, False)
        if is_replaced:
            dropped.append(line)
    return dropped


def _identity(data: bytes, start: int) -> bytes:
    return data[start + IDENTITY.start : start + IDENTITY.stop]
