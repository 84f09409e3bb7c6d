"""LINK, SSBOND and struct_conn records → pairs of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from debye.structure.row_keys import row_keys, text_numbers


class Partner(NamedTuple):
    """One end of a link, as the file names it."""

    chain: str
    residue_number: int
    insertion_code: str
    residue_name: str
    atom_name: str
    altloc: str
    """Empty: any."""


def link_rows(
    partners: Sequence[tuple[Partner, Partner]],
    *,
    model: NDArray[np.int32],
    chain: NDArray[np.str_],
    residue_number: NDArray[np.int32],
    insertion_code: NDArray[np.str_],
    residue_name: NDArray[np.str_],
    atom_name: NDArray[np.str_],
    altloc: NDArray[np.str_],
) -> NDArray[np.int32]:
    """Return the rows of linked atoms, lower row first, sorted and without repetition.

    Links are made in the first model. Altlocs link to equal altlocs and to atoms without one. Links
    whose atoms are not in the file are left out.
    """
    if not partners or len(model) == 0:
        return np.zeros((0, 2), np.int32)
    ends = [end for pair in partners for end in pair]
    chains, numbers, codes, names, atoms, _ = (
        np.array(column) for column in zip(*ends, strict=True)
    )
    rows = np.flatnonzero(np.isin(residue_number, numbers))
    both = text_numbers(np.concatenate([atom_name[rows], atoms]))
    rows = rows[np.isin(both[: len(rows)], both[len(rows) :])]
    rows = rows[model[rows] == model[0]]
    key = row_keys(
        np.concatenate([residue_number[rows], numbers]),
        np.concatenate([chain[rows], chains]),
        np.concatenate([atom_name[rows], atoms]),
        np.concatenate([residue_name[rows], names]),
        np.concatenate([insertion_code[rows], codes]),
    )
    key, wanted = key[: len(rows)], key[len(rows) :]
    order = np.argsort(key, kind="stable")
    low = np.searchsorted(key, wanted, side="left", sorter=order).tolist()
    high = np.searchsorted(key, wanted, side="right", sorter=order).tolist()
    rows = rows[order]
    found: set[tuple[int, int]] = set()
    for link, (first, second) in enumerate(partners):
        here = rows[low[2 * link] : high[2 * link]].tolist()
        there = rows[low[2 * link + 1] : high[2 * link + 1]].tolist()
        for a in here:
            for b in there:
                if a != b and _compatible(
                    str(altloc[a]), str(altloc[b]), first.altloc, second.altloc
                ):
                    found.add((min(a, b), max(a, b)))
    return np.array(sorted(found), np.int32).reshape(-1, 2)


def _compatible(a: str, b: str, wanted_a: str, wanted_b: str) -> bool:
    """Return whether two altlocs may be bonded and are those that the link names."""
    as_wanted = (not wanted_a or a in ("", wanted_a)) and (not wanted_b or b in ("", wanted_b))
    # A link that names both altlocs may join different labels.
    return as_wanted and (bool(wanted_a and wanted_b) or not a or not b or a == b)
