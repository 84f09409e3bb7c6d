"""The last state object: predicted values with bounds, ready to be shown or written, also residue by residue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from debye.errors import StructureError
from debye.files import replacing, write_bytes
from debye.prediction.inputs import FORMATS, OutputFormat
from debye.prediction.table import PredictedValues, table_columns, write_csv, write_parquet
from debye.structure.read import SourceFile
from debye.structure.structure import BKind, EntityKind, Structure
from debye.structure.write import annotated, cif_text, pdb_text, refuse_to_replace
from debye.targets.target import Per

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Predicted values of one structure: flat arrays in the order of the file.

    Every atom of the file has a row; those without a prediction (hydrogens, waters, other altlocs and
    models) have NaN and are counted in :attr:`dropped`.
    """

    structure: Structure
    """All atoms of the file, as read."""
    source_file: SourceFile | None
    """The file that was read, of which :meth:`write` makes annotated copies; None for structures made in memory."""
    model_name: str
    values: Mapping[str, PredictedValues]
    """By name of the target; the first is the main one."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Number of atoms without a prediction, by reason; only reasons that occur."""
    resolution: float | None = None
    """Resolution given to the model, Å; None: unknown."""
    crystal_problem: str | None = None
    """Why crystal contacts were not used; None: they were."""

    def __post_init__(self) -> None:
        source = self.structure.source
        if not self.values:
            raise StructureError(source, "no target", "Give the values of at least one")
        for (name, values), column in product(self.values.items(), ("predicted", "lower", "upper")):
            per, shape = values.target.per, getattr(values, column).shape
            count = per.count(self.structure)
            if shape != (count,):
                problem = f"{count} {per}s, but {column} of {name} has shape {shape}"
                remedy = f"Give one value per {per}, NaN where there is none"
                raise StructureError(source, problem, remedy)

    @property
    def main(self) -> PredictedValues:
        """The values of the model's first target."""
        return next(iter(self.values.values()))

    @property
    def b_values(self) -> PredictedValues:
        """The B-factors; a ``StructureError`` if the model predicts none."""
        for values in self.values.values():
            if values.target.in_b_column:
                return values
        problem = f"{self.model_name} predicts {', '.join(self.values)}, no B-factors"
        remedy = "Choose a model of B-factors, or read Prediction.values"
        raise StructureError(self.structure.source, problem, remedy)

    @property
    def b_predicted(self) -> NDArray[np.float32]:
        """(atoms,) expected B-factor, Å²; NaN where there is none."""
        return self.b_values.predicted

    @property
    def b_lower(self) -> NDArray[np.float32]:
        """(atoms,) 5 % quantile of the B-factor, Å²."""
        return self.b_values.lower

    @property
    def b_upper(self) -> NDArray[np.float32]:
        """(atoms,) 95 % quantile of the B-factor, Å²."""
        return self.b_values.upper

    @property
    def b_deposited(self) -> NDArray[np.float32]:
        """(atoms,) the file's own B-factors, Å²; NaN if the B column has another quantity."""
        return self.b_values.target.observe(self.structure)

    @property
    def finest(self) -> PredictedValues:
        """The values of the first target with values of atoms or residues; the main ones if there is none."""
        parts = (each for each in self.values.values() if each.target.per is not Per.STRUCTURE)
        return next(parts, self.main)

    @property
    def has_prediction(self) -> NDArray[np.bool_]:
        """(atoms,) True where there is a prediction of some target, for the atom or its residue."""
        found = np.zeros(len(self.structure), bool)
        for values in self.values.values():
            own = values.has_prediction
            if values.target.per is not Per.STRUCTURE:
                found |= own if values.target.per is Per.ATOM else own[self.structure.residue_index]
        return found

    def correlation(self) -> float | None:
        """Return Pearson's r of the main target with the file's values over protein, or None without such."""
        values = self.main
        protein = self.structure.entity_kind == EntityKind.PROTEIN
        if values.target.per is not Per.ATOM:
            return None
        observed = values.target.observe(self.structure)
        rows = values.has_prediction & np.isfinite(observed) & protein
        true, predicted = observed[rows], values.predicted[rows]
        if rows.sum() < 3 or np.ptp(true) < 0.01 or np.ptp(predicted) == 0:
            return None
        return float(np.corrcoef(predicted, true)[0, 1])

    def summary(self) -> str:
        """Return one line: atoms, means, skipped atoms, crystal contacts, agreement with the file's values."""
        atoms = int(self.has_prediction.sum())
        parts = [f"{atoms:,} atoms"] if atoms else []
        parts += map(_mean_text, self.values.values())
        if self.dropped:
            counts = ", ".join(f"{count:,} {reason}" for reason, count in self.dropped.items())
            parts.append(f"skipped: {counts}")
        parts.append(conditions_text(self.crystal_problem, self.resolution))
        r = self.correlation()
        if r is not None:
            residual = "residual " * (self.structure.entry.b_kind == BKind.RESIDUAL)
            parts.append(f"r = {r:.2f} with deposited {residual}{self.main.target.title}")
        return " · ".join(parts)

    @property
    def levels(self) -> tuple[Per, ...]:
        """Items that the model's targets describe, the finest first."""
        found = {values.target.per for values in self.values.values()}
        return tuple(per for per in Per if per in found)

    def to_dataframe(self, per: Per | None = None) -> pd.DataFrame:
        """Return a table with the columns of the CSV file; ``per`` None: the finest that the model predicts."""
        import pandas as pd

        per = per or self.levels[0]
        return pd.DataFrame(table_columns(self.structure, self.values.values(), per))

    def write(self, path: str | Path, format: OutputFormat | None = None) -> Path:
        """Write the prediction to a file, which appears whole or not at all, and return its path.

        ``cif`` and ``pdb`` are copies of the input with only B replaced (atoms without a prediction
        keep the file's value); ``csv`` and ``parquet`` are tables per atom. Values per residue or per structure go to
        ``NAME.residue.csv`` and ``NAME.structure.csv``, or to ``NAME.csv`` where a model predicts nothing finer.

        The format is the suffix of ``path`` if not given; the folder is made.

        Raises:
            StructureError: unknown format, a file that is the input or cannot be written, or values that do not fit it.
        """
        target = Path(path)
        kind = format or target.suffix.lower().lstrip(".")
        if kind not in FORMATS:
            problem = f"no output format is called {kind!r}"
            raise StructureError(str(target), problem, f"Choose from {', '.join(FORMATS)}")
        if self.source_file is not None:
            refuse_to_replace(self.source_file.path, target)
        if kind == "cif" or kind == "pdb":
            write_bytes(target, self._copy(kind), StructureError)
            return target
        write = write_csv if kind == "csv" else write_parquet
        for per in self.levels:
            is_main = per is self.levels[0]
            file = target if is_main else target.with_name(f"{target.stem}.{per}{target.suffix}")
            with replacing(file, StructureError) as part:
                write(table_columns(self.structure, self.values.values(), per), part)
        return target

    def _copy(self, kind: Literal["cif", "pdb"]) -> bytes:
        """Return the file with the predicted B-factors, or a new one for a structure made in memory."""
        if self.source_file is None:
            b = np.where(np.isfinite(self.b_predicted), self.b_predicted, self.structure.b_iso)
            copy = replace(self.structure, b_iso=b, u_aniso=None)
            return (cif_text(copy) if kind == "cif" else pdb_text(copy)).encode()
        by_record = np.full(len(self.source_file.structure), np.nan, np.float32)
        by_record[self.structure.record] = self.b_predicted
        return annotated(self.source_file, by_record, kind).data


def conditions_text(crystal_problem: str | None, resolution: float | None) -> str:
    """Return what a model used besides atoms, such as ``crystal contacts used · resolution 2.00 Å``."""
    crystal = f"no crystal contacts ({crystal_problem})" if crystal_problem else None
    known = f"resolution {resolution:.2f} Å" if resolution else "resolution unknown"
    return f"{crystal or 'crystal contacts used'} · {known}"


def _mean_text(values: PredictedValues) -> str:
    """Return mean and mean bounds of a target, such as ``B 20.1 Å² (5-95 %: 12.0-31.5)``."""
    rows, target = values.has_prediction, values.target
    digits = max(1, target.decimals - 1)
    text = f"{target.title} {values.predicted[rows].mean():.{digits}f} {target.unit}".rstrip()
    if np.isfinite(values.lower[rows]).all():
        lower, upper = values.lower[rows].mean(), values.upper[rows].mean()
        text += f" (5-95 %: {lower:.{digits}f}-{upper:.{digits}f})"
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidueTable:
    """One target per residue, in the order of the file and the target's unit.

    Values are means over the predicted atoms, or the residue's own; so are the bounds: how far a typical atom may lie.
    """

    first_atom: NDArray[np.intp]
    """(residues,) row of the residue's first atom, for its names."""
    atoms: NDArray[np.intp]
    """(residues,) number of atoms with a prediction."""
    predicted: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    observed: NDArray[np.float64]
    """(residues,) values of the file, over the same atoms; NaN where there are none."""


def residue_table(prediction: Prediction) -> ResidueTable:
    """Return the first target with values of atoms or residues, for each residue that has a predicted atom.

    Raises:
        StructureError: all targets have one value for the whole structure.
    """
    values, structure = prediction.finest, prediction.structure
    target = values.target
    if target.per is Per.STRUCTURE:
        problem = f"{target.name} has no values of residues"
        raise StructureError(structure.source, problem, "Leave out the table and the picture")
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
    target = prediction.finest.target
    digits = max(1, target.decimals - 1)
    columns = {
        f"{target.title} predicted": residues.predicted,
        "5 %": residues.lower,
        "95 %": residues.upper,
    }
    if target.observed_column:
        columns[f"{target.title} deposited"] = residues.observed
    widths = [9 if name in ("5 %", "95 %") else max(13, len(name) + 2) for name in columns]
    lines = ["chain  residue    atoms" + "".join(map(str.rjust, columns, widths))]
    for i, row in enumerate(residues.first_atom):
        number = f"{structure.residue_number[row]}{structure.insertion_code[row]}"
        cells = [f"{x[i]:.{digits}f}" if np.isfinite(x[i]) else "" for x in columns.values()]
        lines.append(
            f"{structure.chain[row]:<5}  {structure.residue_name[row]:<4}{number:>6}"
            f"{residues.atoms[i]:>6}{''.join(map(str.rjust, cells, widths))}"
        )
    return "\n".join(line.rstrip() for line in lines)
