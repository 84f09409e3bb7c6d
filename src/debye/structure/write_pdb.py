"""New B-factors in a PDB file: nothing changes outside columns 61-66, except dropped ANISOU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from debye.errors import StructureError
from debye.structure.edits import Edited, splice

LARGEST = 999.99
"""Å²; the largest B that six columns with two decimals can hold."""
SMALLEST = -99.99
COLUMNS = slice(60, 66)
"""Where the B-factor stands in an ATOM record (columns 61-66, counted from one)."""
IDENTITY = slice(12, 27)
"""Atom name, altloc, residue name, chain, residue number, insertion code."""


def replace_b_pdb(data: bytes, b: NDArray[np.floating], source: str) -> Edited:
    """Return the PDB file with new B-factors in columns 61-66.

    Line ends, trailing blanks and every other record stay as they are. Lines that stop before
    column 66 are padded. ANISOU and SIGUIJ of a replaced atom are dropped. Values beyond what
    the six columns hold (-99.99 to 999.99) are clipped and counted.

    Args:
        data: The file.
        b: (records,) new B-factor of each ATOM or HETATM record in file order, Å²; NaN keeps
            the file's value.
        source: Name for error messages.
    """
    buffer = np.frombuffer(data, np.uint8)
    starts, ends = _lines(buffer)
    is_atom, is_anisotropic = _record_kinds(buffer, starts)
    if is_atom.sum() != len(b):
        raise StructureError(
            source,
            problem=f"the file has {is_atom.sum()} atom records, but {len(b)} B-factors were given",
            remedy="Give one value for each atom record of the file, NaN where it is to stay",
        )
    new = np.isfinite(b)
    rounded = np.round(b[new].astype(np.float64), 2) + 0.0
    clipped = int(((rounded > LARGEST) | (rounded < SMALLEST)).sum())
    rounded = np.clip(rounded, SMALLEST, LARGEST)
    text = np.frombuffer(("%6.2f" * len(rounded) % tuple(rounded.tolist())).encode(), np.uint8)
    text = text.reshape(-1, 6)

    rows = np.flatnonzero(is_atom)[new]
    line, line_end = starts[rows], ends[rows]
    is_long = line_end - line >= COLUMNS.stop
    edited = buffer.copy()
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
    dropped = _anisotropic_of(data, starts, is_atom, is_anisotropic, new)
    next_line = np.append(starts[1:], len(data))
    edits += [(int(starts[row]), int(next_line[row]), b"") for row in dropped]
    return Edited(
        data=splice(edited.tobytes(), edits) if edits else edited.tobytes(),
        replaced=len(rows),
        kept=len(b) - len(rows),
        dropped_anisotropic=len(dropped),
        clipped=clipped,
    )


def _lines(buffer: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start of every line, and where its text ends (without ``\\n`` or ``\\r\\n``)."""
    newline = np.flatnonzero(buffer == ord("\n"))
    starts = np.concatenate([[0], newline + 1])
    ends = np.append(newline, len(buffer))
    if starts[-1] == len(buffer):
        starts, ends = starts[:-1], ends[:-1]
    ends = ends - ((ends > starts) & (buffer[ends - 1] == ord("\r")))
    return starts, ends


def _record_kinds(
    buffer: NDArray[np.uint8], starts: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which lines are atom records, and which are ANISOU or SIGUIJ.

    Four letters decide, as in gemmi: serial numbers above 99,999 may reach into column 6.
    What follows an END record belongs to no model.
    """
    padded = np.concatenate([buffer, np.full(4, ord("\n"), np.uint8)])
    head = np.stack([padded[starts + i] for i in range(4)], axis=1)
    head = np.where((head >= ord("a")) & (head <= ord("z")), head - 32, head)
    word = np.ascontiguousarray(head).view("S4").ravel()
    is_atom = (word == b"ATOM") | (word == b"HETA")
    is_end = np.isin(word, [b"END ", b"END\n", b"END\r"])
    # A newline in the head means that the rest of it belongs to the next line.
    is_end |= (head[:, :3] == np.frombuffer(b"END", np.uint8)).all(axis=1) & (head[:, 3] < 32)
    if is_end.any():
        is_atom[np.argmax(is_end) :] = False
    return is_atom, (word == b"ANIS") | (word == b"SIGU")


def _anisotropic_of(
    data: bytes,
    starts: NDArray[np.int64],
    is_atom: NDArray[np.bool_],
    is_anisotropic: NDArray[np.bool_],
    new: NDArray[np.bool_],
) -> list[int]:
    """Lines of ANISOU and SIGUIJ records whose atom gets a new B."""
    atom_lines = np.flatnonzero(is_atom)
    lines = np.flatnonzero(is_anisotropic)
    before = np.searchsorted(atom_lines, lines) - 1
    dropped = []
    by_identity: dict[bytes, bool] | None = None
    for line, atom in zip(lines.tolist(), before.tolist(), strict=True):
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
