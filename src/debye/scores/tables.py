"""Rows of tables, and tables and records as files: whole or not at all, the same digits everywhere."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from debye.files import replacing


def rows_where(table: pd.DataFrame, **values: object) -> pd.DataFrame:
    """Return the rows that have some values in the columns of the same names.

    Example:
        >>> table = pd.DataFrame({"split": ["val", "test"], "r": [0.5, 0.7]})
        >>> rows_where(table, split="test")["r"].tolist()
        [0.7]
    """
    chosen = np.ones(len(table), bool)
    for name, value in values.items():
        chosen &= (table[name] == value).to_numpy()
    return table.loc[chosen]


def column(table: pd.DataFrame, name: str) -> np.ndarray:
    """Return (rows,) the numbers of a column in double precision."""
    return table[name].to_numpy(np.float64)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV or Parquet, by the suffix, whole or not at all.

    In CSV numbers have six digits, and what is not defined is an empty cell.
    """
    with replacing(path) as partial:
        if path.suffix == ".parquet":
            table.to_parquet(partial, index=False)
        else:
            table.to_csv(partial, index=False, float_format=_digits)


def _digits(value: float) -> str:
    """Return a number with six digits, a whole one with all of them.

    Example:
        >>> _digits(1234567.0), _digits(0.12345678)
        ('1234567', '0.123457')
    """
    return f"{value:.0f}" if value.is_integer() else f"{value:.6g}"


def to_json(value: Any) -> str:
    """Return plain values and tables (a list of rows) as JSON; NaN, which JSON has not, becomes null."""
    return json.dumps(_plain(value), indent=1, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, pd.DataFrame):
        value = value.to_dict("records")
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
