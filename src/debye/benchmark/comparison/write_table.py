"""Tables that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from debye.files import partial_path


def write_table(path: Path, frame: pd.DataFrame | None) -> None:
    """Write a table as CSV or Parquet, by the suffix; None removes it."""
    if frame is None:
        path.unlink(missing_ok=True)
        return
    partial = partial_path(path)
    if path.suffix == ".parquet":
        frame.to_parquet(partial, index=False)
    else:
        frame.to_csv(partial, index=False, float_format=_cell)
    partial.replace(path)


def _cell(value: float) -> str:
    """Return a number with six digits, a whole one with all of them.

    Example:
        >>> _cell(1234567.0), _cell(0.12345678)
        ('1234567', '0.123457')
    """
    return f"{value:.0f}" if value.is_integer() else f"{value:.6g}"
