"""Tables of predictions: per atom, residue or structure of the file as CSV or Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from debye.structure.structure import Structure
from debye.targets.target import Per, Target

if TYPE_CHECKING:
    import pyarrow

RESIDUE_NAMES = ("model", "chain", "residue_number", "insertion_code", "residue_name")
ATOM_NAMES = (*RESIDUE_NAMES, "atom_name", "altloc", "element")


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedValues:
    """The values of one target for one structure, in the target's unit; NaN where there is none."""

    target: Target
    predicted: NDArray[np.float32]
    """(atoms, residues or 1) expected value; the bounds are its 5 % and 95 % quantiles."""
    lower: NDArray[np.float32]
    upper: NDArray[np.float32]

    @property
    def has_prediction(self) -> NDArray[np.bool_]:
        """(atoms, residues or 1) True where there is a prediction."""
        return np.isfinite(self.predicted)


def table_columns(
    structure: Structure, predicted: Iterable[PredictedValues], per: Per
) -> dict[str, NDArray]:
    """Return the columns of a table, NaN where there is no value; chain and residue number are the authors'.

    Each target of this kind has columns with its prediction, lower and upper bound, in its unit, and with the
    file's values where files have them.
    """
    if per is Per.STRUCTURE:
        columns = {"entry": np.array([structure.source])}
    elif per is Per.ATOM:
        columns = {name: getattr(structure, name) for name in ATOM_NAMES}
    else:
        _, first = np.unique(structure.residue_index, return_index=True)
        columns = {name: getattr(structure, name)[first] for name in RESIDUE_NAMES}
    for values in predicted:
        target = values.target
        if target.per is not per:
            continue
        names, found = [*target.columns], [values.predicted, values.lower, values.upper]
        if target.observed_column:
            names.append(target.observed_column)
            found.append(target.observe(structure))
        for name, column in zip(names, found, strict=True):
            columns[name] = np.round(column.astype(np.float64), target.decimals)
    return columns


def write_csv(columns: Mapping[str, NDArray], path: Path) -> None:
    """Write a table as comma-separated values; a missing value is an empty field."""
    from pyarrow import csv

    table = _arrow_table(columns)
    texts = [column for column in table.columns if column.type == "string"]
    special = any(
        set(value or "") & set('",\n\r') for text in texts for value in text.unique().to_pylist()
    )
    # Old nucleic acid atom names hold quotation marks (O5"), which must be quoted, then with all text.
    options = csv.WriteOptions(quoting_style="needed" if special else "none", quoting_header="none")
    csv.write_csv(table, path, options)


def write_parquet(columns: Mapping[str, NDArray], path: Path) -> None:
    """Write a table as Apache Parquet; a missing value is a null."""
    from pyarrow import parquet

    parquet.write_table(_arrow_table(columns), path)


def _arrow_table(table: Mapping[str, NDArray]) -> pyarrow.Table:
    import pyarrow as pa

    columns = {}
    for name, values in table.items():
        # Empty text becomes null: the same missing value as in the number columns.
        empty = values == "" if values.dtype.kind == "U" else None
        columns[name] = pa.array(values, mask=empty, from_pandas=True)
    return pa.table(columns)
