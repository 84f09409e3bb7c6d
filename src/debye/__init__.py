"""Per-atom crystallographic B-factors from protein structures.

Data flow through the folders: structure → graph → models → prediction. Lengths are in Å, B-factors and
other mean-square quantities in Å², angles in radians; exceptions are named (cell angles and torsions given by
a user are in degrees).

>>> import debye
>>> debye.__version__.count(".")
2
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from debye.errors import DebyeError, DebyeWarning

if TYPE_CHECKING:
    from debye.prediction.prediction import Prediction
    from debye.prediction.predictor import predict

    __version__: str

__all__ = ["DebyeError", "DebyeWarning", "Prediction", "__version__", "predict"]


def __getattr__(name: str) -> Any:
    """Import slow modules (torch, package metadata) on first use."""
    if name == "__version__":
        from debye.version import library_version

        return library_version()
    if name == "predict":
        from debye.prediction.predictor import predict

        return predict
    if name == "Prediction":
        from debye.prediction.prediction import Prediction

        return Prediction
    raise AttributeError(f"module 'debye' has no attribute {name!r}")
