"""Per-atom crystallographic B-factors from protein structures.

Data flow through the folders: structure → graph → models → prediction. Lengths are in Å, B-factors and
other mean-square quantities in Å², angles in radians; whatever differs says so in its name or its
docstring (cell angles and torsions given by a user are in degrees).

>>> import debye
>>> debye.__version__.count(".")
2
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from debye.errors import DebyeError, DebyeWarning

if TYPE_CHECKING:
    from debye.prediction import Prediction, predict

__version__ = version("debye")

__all__ = ["DebyeError", "DebyeWarning", "Prediction", "__version__", "predict"]


def __getattr__(name: str) -> Any:
    """Import what needs torch only when it is asked for: ``import debye`` stays quick."""
    if name in {"predict", "Prediction"}:
        from debye import prediction

        return getattr(prediction, name)
    raise AttributeError(f"module 'debye' has no attribute {name!r}")
