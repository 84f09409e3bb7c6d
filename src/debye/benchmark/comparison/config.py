"""How a comparison is made: seeds, samples, the share of a search."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt

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
        """Return a comparison of minutes: the same steps with hardly any data, its figures mean nothing."""
        small: dict[str, Any] = {
            "seeds": 1,
            "subset": 16,
            "limit": 6,
            "train_sample": 6,
            "val_sample": 6,
            "settings": (*QUICK_SETTINGS, *self.settings),
        }
        return CompareConfig.model_validate(self.model_dump() | small)
