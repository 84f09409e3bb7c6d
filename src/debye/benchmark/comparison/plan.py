"""How a comparison is made, and what its report states about it: ``plan.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt

from debye.errors import ConfigError
from debye.files import write_text

PLAN_FILE = "plan.json"
USUAL_SPLITS = ("val", "test", "kinase")
QUICK_SETTINGS = (
    "training.epochs=1",
    "training.validate_every=1",
    "training.weight_average=0.0",
    "data.batches_per_epoch=6",
)
"""Settings of every recipe in a quick comparison."""


class CompareConfig(BaseModel, frozen=True, extra="forbid"):
    """What all models of a comparison have in common."""

    seeds: PositiveInt = 3
    """Runs of each recipe; the first has the seed 1."""
    splits: tuple[str, ...] = ()
    """Evaluated; empty: those of val, test and kinase that the store has."""
    subset: PositiveInt | None = None
    """Entries of the training split that all recipes are trained on; None: all."""
    limit: PositiveInt | None = None
    """Entries of each evaluated split that are scored; None: all."""
    train_sample: PositiveInt = 60
    """Entries of the training data that are scored too."""
    val_sample: PositiveInt = 40
    """Entries of the validation split on which epochs are chosen and searches scored."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of a recipe's budget that each combination of its search gets."""
    draw_seed: NonNegativeInt = 0
    """Chooses the samples."""
    settings: tuple[str, ...] = ()
    """Changes of every recipe, ``section.key=value``."""
    device: Literal["cpu", "cuda"] = "cpu"

    def quick(self) -> CompareConfig:
        """Return a comparison of minutes: the same steps with hardly any data; its figures mean nothing."""
        small: dict[str, Any] = {
            "seeds": 1,
            "subset": 16,
            "limit": 6,
            "train_sample": 6,
            "val_sample": 6,
            "settings": (*QUICK_SETTINGS, *self.settings),
        }
        return CompareConfig.model_validate(self.model_dump() | small)


class PredictedFacts(BaseModel, frozen=True):
    """What the predicted structures of a comparison are."""

    folder: str
    structures: int
    matches: int
    digest: str


class Plan(BaseModel, frozen=True):
    """What the report states about a comparison as a whole."""

    contenders: tuple[str, ...]
    reference: str
    command: str
    preparation: tuple[tuple[float, float], ...] | None = None
    """Start and duration of each time that graphs were built beforehand, s; None: not known."""
    version: str
    data: str
    """Name of the store."""
    digest: str
    target: str = "b_factor"
    """Name of what the models predict."""
    seeds: int
    share: float
    limit: int | None
    draw_seed: int
    settings: tuple[str, ...]
    jobs: int
    device: str
    is_subset: bool
    train_split: str
    train_entries: int
    train_split_entries: int
    left_out: int
    """Entries of the training split that some recipe filters out."""
    val_sample: int
    val_sample_scored: int
    """Of these entries, those that are scored too."""
    pairs: str | None
    """How many pairs of which table."""
    predicted: PredictedFacts | None = None
    scored: dict[str, int]
    """Entries of each column of the report."""

    def write(self, folder: Path) -> None:
        """Write it into the folder of the comparison."""
        write_text(folder / PLAN_FILE, self.model_dump_json(indent=1))

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """Read the plan of a comparison.

        Raises:
            ConfigError: the folder has none.
        """
        path = folder / PLAN_FILE
        if not path.is_file():
            raise ConfigError(
                str(folder),
                f"has no {PLAN_FILE}",
                "Give the folder of a comparison, or make one with debye compare RECIPE…",
            )
        return cls.model_validate_json(path.read_text())
