"""The main target of a prediction, residue by residue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from debye.errors import StructureError
from debye.prediction.prediction import Prediction
from debye.targets.target import Per


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidueTable:
    """The main target per residue, in the order of the file: means over its predicted atoms, or its own value.

    Bounds are means of the atoms' bounds: how far a typical atom of the residue may lie.
    """

    first_atom: NDArray[np.intp]
    """(residues,) row of the residue's first atom, for its names."""
    atoms: NDArray[np.intp]
    """(residues,) number of atoms with a prediction."""
    predicted: NDArray[np.float64]
    """(residues,) in the unit of the target."""
    lower: NDArray[np.float64]
    """(residues,) in the unit of the target."""
    upper: NDArray[np.float64]
    """(residues,) in the unit of the target."""
    observed: NDArray[np.float64]
    """(residues,) values of the file, over the same atoms; NaN where there are none."""


def residue_table(prediction: Prediction) -> ResidueTable:
    """Return the main target of each residue that has a predicted atom.

    Raises:
        StructureError: the main target has one value for the whole structure.
    """
    values, structure = prediction.main, prediction.structure
    target = values.target
    if target.per is Per.STRUCTURE:
        raise StructureError(
            structure.source, f"{target.name} has no values of residues", "Read Prediction.values"
        )
    rows = np.flatnonzero(prediction.has_prediction)
    residue_of_row = structure.residue_index[rows]
    _, first, residue, counts = np.unique(
        residue_of_row, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.argsort(first, kind="stable")

    def mean(column: NDArray[np.float32]) -> NDArray[np.float64]:
        of_atom = column[rows] if target.per is Per.ATOM else column[residue_of_row]
        return (np.bincount(residue, of_atom, minlength=len(first)) / counts)[order]

    return ResidueTable(
        first_atom=rows[first[order]],
        atoms=counts[order],
        predicted=mean(values.predicted),
        lower=mean(values.lower),
        upper=mean(values.upper),
        observed=mean(target.observe(structure)),
    )


def residue_text(prediction: Prediction) -> str:
    """Return the main target of each residue as aligned text, one line each; means over atoms."""
    structure, residues = prediction.structure, residue_table(prediction)
    target = prediction.main.target
    digits = max(1, target.decimals - 1)
    names = [f"{target.title} predicted", "5 %", "95 %"]
    widths = [max(13, len(names[0]) + 2), 9, 9]
    columns = [residues.predicted, residues.lower, residues.upper]
    if target.observed_column:
        names.append(f"{target.title} deposited")
        widths.append(max(13, len(names[-1]) + 2))
        columns.append(residues.observed)
    lines = ["chain  residue    atoms" + "".join(map(str.rjust, names, widths))]
    for i, row in enumerate(residues.first_atom):
        number = f"{structure.residue_number[row]}{structure.insertion_code[row]}"
        values = [
            ("" if np.isnan(column[i]) else f"{column[i]:.{digits}f}").rjust(width)
            for column, width in zip(columns, widths, strict=True)
        ]
        lines.append(
            f"{structure.chain[row]:<5}  {structure.residue_name[row]:<4}{number:>6}"
            f"{residues.atoms[i]:>6}{''.join(values)}"
        )
    return "\n".join(line.rstrip() for line in lines)
