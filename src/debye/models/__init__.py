"""A graph becomes one standardized value per atom: the models, their catalog and checkpoints."""

from debye.models.base import AtomModel, ModelOutput, TableModel
from debye.models.catalog import CATALOG, ModelCard, build_model, find_model, model_config
from debye.models.checkpoint import Checkpoint, CheckpointHeader, load_checkpoint, save_checkpoint

__all__ = [
    "AtomModel",
    "TableModel",
    "ModelOutput",
    "CATALOG",
    "ModelCard",
    "find_model",
    "model_config",
    "build_model",
    "Checkpoint",
    "CheckpointHeader",
    "load_checkpoint",
    "save_checkpoint",
]
