"""Tables of predictions: one row for every atom, residue or structure of the file, predicted or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from debye.errors import StructureError
from debye.targets.target import Per

if TYPE_CHECKING:
    import pyarrow

    from debye.prediction.prediction import Prediction

RESIDUE_NAMES = ("model", "chain", "residue_number", "insertion_code", "residue_name")
ATOM_NAMES = (*RESIDUE_NAMES, "atom_name", "altloc", "element")


def table_columns(prediction: Prediction, per: Per) -> dict[str, NDArray]:
    """Return the columns of a table, NaN where there is no value; chain and residue number are the authors'.

    Each target of this kind has columns with its prediction, lower and upper bound, in its unit, and with the
    file's values where files have them.
    """
    structure = prediction.structure
    if per is Per.STRUCTURE:
        columns = {"entry": np.array([structure.source])}
    elif per is Per.ATOM:
        columns = {name: getattr(structure, name) for name in ATOM_NAMES}
    else:
        _, first = np.unique(structure.residue_index, return_index=True)
        columns = {name: getattr(structure, name)[first] for name in RESIDUE_NAMES}
    for values in prediction.values.values():
        target = values.target
        if target.per is not per:
            continue
        found = dict(
            zip(target.columns, (values.predicted, values.lower, values.upper), strict=True)
        )
        if target.observed_column:
            found[target.observed_column] = prediction.observed(target)
        columns |= {
            name: np.round(column.astype(np.float64), target.decimals)
            for name, column in found.items()
        }
    return columns


def write_csv(prediction: Prediction, per: Per, path: Path) -> None:
    """Write a table as comma-separated values; a missing value is an empty field."""
    from pyarrow import csv

    table = _arrow_table(prediction, per)
    special = any(
        character in value
        for column in table.columns
        if column.type == "string"
        for value in column.unique().to_pylist()
        for character in '",\n\r'
        if value is not None
    )
    # Old nucleic acid atom names hold quotation marks (O5"), which must be quoted, then with all text.
    options = csv.WriteOptions(quoting_style="needed" if special else "none", quoting_header="none")
    csv.write_csv(table, path, options)


def write_parquet(prediction: Prediction, per: Per, path: Path) -> None:
    """Write a table as Apache Parquet; a missing value is a null."""
    from pyarrow import parquet

    parquet.write_table(_arrow_table(prediction, per), path)


def _arrow_table(prediction: Prediction, per: Per) -> pyarrow.Table:
    import pyarrow as pa

    columns = {}
    for name, values in table_columns(prediction, per).items():
        if values.dtype.kind == "U":
            # Empty text becomes null: the same missing value as in the number columns.
            columns[name] = pa.array(values, mask=values == "", type=pa.string())
        else:
            columns[name] = pa.array(values, from_pandas=True)
    return pa.table(columns)


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
        observed=mean(prediction.observed(target)),
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
