"""The per-atom table: one row for every atom of the file, predicted or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow

    from debye.prediction.prediction import Prediction

COLUMNS = (
    "model",
    "chain",
    "residue_number",
    "insertion_code",
    "residue_name",
    "atom_name",
    "altloc",
    "element",
    "b_predicted",
    "b_lower",
    "b_upper",
    "b_deposited",
)
DECIMALS = 2
"""Å² are written as finely as structure files hold them."""


def atom_table(prediction: Prediction) -> dict[str, NDArray]:
    """Return the columns of the table; B-factors in Å², NaN where there is none.

    Chain and residue number are those of the authors.
    """
    structure = prediction.structure
    values = {
        "b_predicted": prediction.b_predicted,
        "b_lower": prediction.b_lower,
        "b_upper": prediction.b_upper,
        "b_deposited": prediction.b_deposited,
    }
    return {
        name: np.round(values[name].astype(np.float64), DECIMALS)
        if name in values
        else getattr(structure, name)
        for name in COLUMNS
    }


def write_csv(prediction: Prediction, path: Path) -> None:
    """Write the table as comma-separated values; a missing value is an empty field."""
    from pyarrow import csv

    table = _arrow_table(prediction)
    special = any(
        character in value
        for name in ("chain", "insertion_code", "residue_name", "atom_name", "altloc", "element")
        for value in table[name].unique().to_pylist()
        for character in '",\n\r'
        if value is not None
    )
    # Old nucleic acid atom names hold quotation marks (O5"), which must be quoted, then with all text.
    options = csv.WriteOptions(quoting_style="needed" if special else "none", quoting_header="none")
    csv.write_csv(table, path, options)


def write_parquet(prediction: Prediction, path: Path) -> None:
    """Write the table as Apache Parquet; a missing value is a null."""
    from pyarrow import parquet

    parquet.write_table(_arrow_table(prediction), path)


def _arrow_table(prediction: Prediction) -> pyarrow.Table:
    import pyarrow as pa

    columns = {}
    for name, values in atom_table(prediction).items():
        if values.dtype.kind == "U":
            # Empty text becomes null: the same missing value as in the number columns.
            columns[name] = pa.array(values, mask=values == "", type=pa.string())
        else:
            columns[name] = pa.array(values, from_pandas=True)
    return pa.table(columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidueTable:
    """Means over the predicted atoms of each residue, in the order of the file; Å², NaN where none.

    Bounds are means of the atoms' bounds: how far a typical atom of the residue may lie.
    """

    first_atom: NDArray[np.intp]
    """(residues,) row of the residue's first atom, for its names."""
    atoms: NDArray[np.intp]
    """(residues,) number of atoms with a prediction."""
    b_predicted: NDArray[np.float64]
    """(residues,) Å²."""
    b_lower: NDArray[np.float64]
    """(residues,) Å²."""
    b_upper: NDArray[np.float64]
    """(residues,) Å²."""
    b_deposited: NDArray[np.float64]
    """(residues,) Å², over the same atoms."""


def residue_table(prediction: Prediction) -> ResidueTable:
    """Average a prediction over the atoms of each residue; residues without any are left out."""
    rows = np.flatnonzero(prediction.has_prediction)
    _, first, residue, counts = np.unique(
        prediction.structure.residue_index[rows],
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    order = np.argsort(first, kind="stable")

    def mean(values: NDArray[np.float32]) -> NDArray[np.float64]:
        return (np.bincount(residue, values[rows], minlength=len(first)) / counts)[order]

    return ResidueTable(
        first_atom=rows[first[order]],
        atoms=counts[order],
        b_predicted=mean(prediction.b_predicted),
        b_lower=mean(prediction.b_lower),
        b_upper=mean(prediction.b_upper),
        b_deposited=mean(prediction.b_deposited),
    )


def residue_text(prediction: Prediction) -> str:
    """Return the table of the residues as aligned text, one line each; Å², means over atoms."""
    structure, residues = prediction.structure, residue_table(prediction)
    lines = ["chain  residue    atoms  B predicted      5 %     95 %  B deposited"]
    for i, row in enumerate(residues.first_atom):
        number = f"{structure.residue_number[row]}{structure.insertion_code[row]}"
        deposited = residues.b_deposited[i]
        lines.append(
            f"{structure.chain[row]:<5}  {structure.residue_name[row]:<4}{number:>6}"
            f"{residues.atoms[i]:>6}{residues.b_predicted[i]:>13.1f}{residues.b_lower[i]:>9.1f}"
            f"{residues.b_upper[i]:>9.1f}{'' if np.isnan(deposited) else f'{deposited:.1f}':>13}"
        )
    return "\n".join(line.rstrip() for line in lines)
