"""The last state object: per-atom B-factors with bounds, ready to be shown or written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from debye.errors import StructureError
from debye.prediction.inputs import FORMATS, OutputFormat
from debye.prediction.table import atom_table, write_csv, write_parquet
from debye.structure.structure import BKind, EntityKind, Structure

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """B-factors of one structure, as flat per-atom arrays in the order of the file.

    Every atom of the file has a row; those without a prediction (hydrogens, waters, other altlocs and
    models) hold NaN and are counted in :attr:`dropped`. All values in Å².
    """

    structure: Structure
    """All atoms of the file, as read."""
    path: Path | None
    """The file, of which :meth:`write` makes annotated copies; None for structures made in memory."""
    model_name: str
    """The model that predicted."""
    b_predicted: NDArray[np.float32]
    """(atoms,) expected B-factor, Å²; NaN where there is none."""
    b_lower: NDArray[np.float32]
    """(atoms,) 5 % quantile, Å²."""
    b_upper: NDArray[np.float32]
    """(atoms,) 95 % quantile, Å²."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Number of atoms without a prediction, by reason; only reasons that occur."""
    resolution: float | None = None
    """Resolution that the model was told, Å; None: it was told that it is not known."""
    crystal_problem: str | None = None
    """Why the crystal was not used; None: it was."""

    def __post_init__(self) -> None:
        atoms = len(self.structure)
        for name in ("b_predicted", "b_lower", "b_upper"):
            if getattr(self, name).shape != (atoms,):
                raise StructureError(
                    self.structure.source,
                    problem=f"{atoms} atoms, but {name} has shape {getattr(self, name).shape}",
                    remedy="Give one value an atom, NaN where there is none",
                )

    @property
    def has_prediction(self) -> NDArray[np.bool_]:
        """(atoms,) True where there is a prediction."""
        return np.isfinite(self.b_predicted)

    @property
    def b_deposited(self) -> NDArray[np.float32]:
        """(atoms,) the file's own B-factors, Å²; NaN where its column holds something else."""
        entry = self.structure.entry
        if entry.is_predicted or entry.b_kind == BKind.NOT_CRYSTALLOGRAPHIC:
            return np.full(len(self.structure), np.nan, np.float32)
        return self.structure.b_iso

    def correlation(self) -> float | None:
        """Return Pearson's r with the deposited B over protein heavy atoms, or None without such."""
        deposited = self.b_deposited
        rows = self.has_prediction & np.isfinite(deposited)
        rows &= self.structure.entity_kind == EntityKind.PROTEIN
        if rows.sum() < 3 or np.ptp(deposited[rows]) < 0.01 or np.ptp(self.b_predicted[rows]) == 0:
            return None
        return float(np.corrcoef(self.b_predicted[rows], deposited[rows])[0, 1])

    def summary(self) -> str:
        """Return one line: atoms, mean B, what was left out, crystal, agreement with the file's B."""
        rows = self.has_prediction
        level = f"B {self.b_predicted[rows].mean():.1f} Å²"
        if np.isfinite(self.b_lower[rows]).all():
            lower, upper = self.b_lower[rows].mean(), self.b_upper[rows].mean()
            level += f" (5-95 %: {lower:.1f}-{upper:.1f})"
        parts = [f"{rows.sum():,} atoms", level]
        if self.dropped:
            counts = ", ".join(f"{count:,} {reason}" for reason, count in self.dropped.items())
            parts.append(f"without prediction: {counts}")
        used = self.crystal_problem is None
        parts.append("crystal" if used else f"no crystal ({self.crystal_problem})")
        parts.append(f"{self.resolution:.2f} Å" if self.resolution else "resolution unknown")
        r = self.correlation()
        if r is not None:
            partial = self.structure.entry.b_kind == BKind.RESIDUAL
            parts.append(f"r {r:.2f}" + (" with a residual B" if partial else ""))
        return " · ".join(parts)

    def to_dataframe(self) -> pd.DataFrame:
        """Return the per-atom table, columns as in the CSV file, as a pandas data frame."""
        import pandas as pd

        return pd.DataFrame(atom_table(self))

    def write(self, path: str | Path, format: OutputFormat | None = None) -> Path:
        """Write the prediction to a file, which appears whole or not at all, and return its path.

        ``cif`` and ``pdb`` are copies of the input with only B replaced (atoms without a prediction
        keep the file's value); ``csv`` and ``parquet`` are the per-atom table.

        Args:
            path: The file to write; its folder is made.
            format: One of :data:`FORMATS`; None: what the suffix of ``path`` says.

        Raises:
            StructureError: unknown format, a target that is the input itself or cannot be written, or
                an entry that does not fit the PDB format.
        """
        target = Path(path)
        kind = self._output_format(target, format)
        if self.path is not None and target.exists() and target.samefile(self.path):
            raise StructureError(
                str(target),
                problem="the output would replace the input",
                remedy="Write to another folder",
            )
        # The suffix tells the writers the format; the finished file gets its name in one step.
        part = target.with_name(f".{target.name}.{os.getpid()}.part.{kind}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if kind == "csv":
                write_csv(self, part)
            elif kind == "parquet":
                write_parquet(self, part)
            else:
                self._write_copy(part)
            part.replace(target)
        except OSError as error:
            raise StructureError(
                str(target),
                problem=f"cannot be written ({error.strerror or error})",
                remedy="Check the folder's permissions and the free space",
            ) from error
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        return target

    def _write_copy(self, target: Path) -> None:
        # Only here: a prediction that is not written as a structure needs no writers.
        from debye.structure.export import write_structure
        from debye.structure.write import write_with_b

        if self.path is None:
            b = np.where(self.has_prediction, self.b_predicted, self.structure.b_iso)
            write_structure(replace(self.structure, b_iso=b, u_aniso=None), target)
            return
        by_record = np.full(int(self.structure.record.max()) + 1, np.nan, np.float32)
        by_record[self.structure.record] = self.b_predicted
        write_with_b(self.path, target, by_record)

    def _output_format(self, target: Path, format: OutputFormat | None) -> OutputFormat:
        kind = format or target.suffix.lower().lstrip(".")
        for known in FORMATS:
            if kind == known:
                return known
        raise StructureError(
            str(target),
            problem=f"no output format is called {kind!r}",
            remedy=f"Choose from {', '.join(FORMATS)}",
        )
