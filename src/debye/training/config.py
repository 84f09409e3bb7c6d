"""Recipes: everything that determines a training run, in one TOML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from debye.config_files import read_toml, set_setting
from debye.dataset.batches.loader import LoaderConfig
from debye.errors import ConfigError, explain_validation
from debye.models.catalog import model_config
from debye.targets.losses import LossConfig

Share = Annotated[float, Field(ge=0, le=1)]
SEARCHED = ("settings", "data", "loss", "training")
"""Sections whose settings a search may try."""


class TrainingLoaderConfig(LoaderConfig, frozen=True, extra="forbid"):
    """Training batches; order and seed come from ``training.seed``."""

    hide_crystal: Share = 0.4
    """Share of structures shown without crystal contacts, drawn anew each epoch, so that one model serves crystals
    and predicted models."""
    shuffle: Literal[True] = True
    seed: Literal[0] = 0
    """Fixed; set ``training.seed`` instead."""


class DataConfig(BaseModel, frozen=True, extra="forbid"):
    """Structures of the training and validation sets, and their batches."""

    split: str = "train"
    validation_split: str = "val"
    validation_only: tuple[str, ...] = ()
    """Validate on these entries of the split, by id; all if empty."""
    loader: TrainingLoaderConfig = TrainingLoaderConfig()
    batches_per_epoch: PositiveInt | None = None
    """An epoch is this many batches of the endless shuffled stream; None: one pass over the split.
    Validation and checkpoints happen between epochs."""
    hide_resolution: Share = 0.3
    """Share of training structures whose resolution is hidden."""
    graph_workers: PositiveInt = 2
    """Number of processes that build the graph cache before training."""


class TrainingConfig(BaseModel, frozen=True, extra="forbid"):
    """Optimizer, schedule and stopping."""

    seed: Annotated[int, Field(ge=0)] = 1
    epochs: PositiveInt = 30
    optimizer: Literal["adamw", "muon"] = "adamw"
    """See :func:`debye.training.module.make_optimizer`."""
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 2e-3
    weight_decay: NonNegativeFloat = 0.01
    warmup: Share = 0.03
    """Share of a cycle's steps in which the learning rate rises; then it falls as a cosine to zero."""
    cycles: PositiveInt = 1
    """Number of times that the learning rate rises and falls, in equal parts of the epochs. The end of a cycle
    is a usable model, from which training can continue.

    Reference: Loshchilov & Hutter (2017), arXiv:1608.03983."""
    cycle_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor on the highest learning rate from one cycle to the next."""
    gradient_clip: PositiveFloat = 1.0
    """Largest norm of the gradient."""
    validate_every: PositiveInt = 1
    """Epochs between validations; a checkpoint to resume from is written after every epoch."""
    patience: PositiveInt | None = 10
    """Stop after this many validations without improvement; None: never."""
    precision: Literal["32-true", "bf16-mixed"] = "bf16-mixed"
    weight_average: Share = 0.0
    """Decay per step of the exponential moving average of the weights that is validated and saved;
    0: no averaging."""
    keep: Literal["best", "last"] = "best"
    """Epoch that becomes the checkpoint: the best on the validation split, or the last. With ``last`` nothing is
    validated and training never stops early."""

    @model_validator(mode="after")
    def _divides_evenly(self) -> TrainingConfig:
        multiple = f"epochs ({self.epochs}) is not a multiple of"
        if self.epochs % self.validate_every:
            why = "the last epochs would have no effect"
            raise ValueError(f"{multiple} validate_every ({self.validate_every}): {why}")
        if self.epochs % self.cycles:
            raise ValueError(f"{multiple} cycles ({self.cycles})")
        return self


class StartConfig(BaseModel, frozen=True, extra="forbid"):
    """Weights that a run starts from, and penalties that keep it near them."""

    checkpoint: str
    """Released name or path; of the same model and settings as the recipe. Heads of targets that the checkpoint
    has too start from its weights, the others from random ones."""
    sha256: str = ""
    """Digest that the file must have; empty: any."""
    train: Literal["all", "head"] = "all"
    """Weights that are trained: all, or only the head of the model."""
    anchor: NonNegativeFloat = 0.0
    """Half the weight of the squared distance from the start weights in the loss (L2-SP).

    Reference: Li, Grandvalet & Davoine (2018), arXiv:1802.01483."""
    blend: Share = 1.0
    """Share of the trained weights in the saved ones; the rest is the start weights (WiSE-FT).

    Reference: Wortsman et al. (2022), arXiv:2109.01903."""


class RehearsalConfig(BaseModel, frozen=True, extra="forbid"):
    """Batches of another store that are mixed in: earlier training data, or relaxed models."""

    split: str = "train"
    share: PositiveFloat = 1.0
    """Number of rehearsal batches per batch of the run's own store."""
    without: tuple[str, ...] = ()
    """Entries to leave out, by id."""


class Recipe(BaseModel, frozen=True, extra="forbid"):
    """One reproducible training run."""

    name: str
    """Name of the checkpoint."""
    model: str
    """Row of the catalog of models."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the model; checked by the model's own config."""
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = ("b_factor",)
    """Rows of the catalog of targets that the model learns together. ``target = "name"`` is accepted for one."""
    weights: dict[str, PositiveFloat] = Field(default_factory=dict)
    """Weight of each target's loss, by name; 1 if not given."""
    data: DataConfig = DataConfig()
    loss: LossConfig = LossConfig()
    training: TrainingConfig = TrainingConfig()
    start: StartConfig | None = None
    """None: random weights."""
    rehearsal: RehearsalConfig | None = None
    search: dict[str, list[Any]] = Field(default_factory=dict)
    """Values to try, by dotted setting, such as ``"training.learning_rate" = [1e-3, 3e-3]``. ``debye compare`` tries
    every combination on the validation split; ``debye train`` ignores them."""

    @model_validator(mode="before")
    @classmethod
    def _one_target(cls, content: Any) -> Any:
        """Accept ``target``, as recipes of one target have it."""
        if isinstance(content, dict) and "target" in content:
            content = dict(content)
            if "targets" in content:
                raise ValueError("give target or targets, not both")
            content["targets"] = (content.pop("target"),)
        return content

    @model_validator(mode="after")
    def _weighs_its_targets(self) -> Recipe:
        if len(set(self.targets)) < len(self.targets):
            raise ValueError("a target is given twice")
        unknown = sorted(set(self.weights) - set(self.targets))
        if unknown:
            raise ValueError(f"weights of {', '.join(unknown)}, which the recipe does not learn")
        return self

    @model_validator(mode="after")
    def _searches_settings_that_exist(self) -> Recipe:
        if not self.search:
            return self
        if self.training.keep == "last":
            raise ValueError("a search needs training.keep = best: validation chooses")
        known = self.model_dump(include=set(SEARCHED))
        try:
            known["settings"] = model_config(self.model, self.settings).model_dump()
        except ConfigError as error:
            if isinstance(error.__cause__, ImportError):
                return self  # the model cannot be imported here, so its settings are unknown
            raise
        for key, values in self.search.items():
            if not values:
                raise ValueError(f"search of {key} has no value to try")
            if not _holds(known, key):
                sections = f"section.key with a section of {', '.join(SEARCHED)}"
                raise ValueError(f"search of {key}: no such setting; write {sections}")
        for settings in self.combinations():
            try:
                tried = self.changed(settings)
                model_config(tried.model, tried.settings)
            except ValidationError as error:
                problem = f"search cannot try {settings}: {explain_validation(error)}"
                raise ValueError(problem) from error
        return self

    def combinations(self) -> list[dict[str, Any]]:
        """Return every combination of the values that are searched, by dotted setting; one empty one without a search.

        Example:
            >>> Recipe(name="a", model="meta_gnn", search={"training.seed": [1, 2]}).combinations()
            [{'training.seed': 1}, {'training.seed': 2}]
        """
        return [
            dict(zip(self.search, values, strict=True)) for values in product(*self.search.values())
        ]

    def changed(self, settings: Mapping[str, Any]) -> Recipe:
        """Return the recipe with some dotted settings changed, and without a search."""
        content = self.model_dump()
        for key, value in settings.items():
            set_setting(content, key, value)
        return Recipe.model_validate(content | {"search": {}})


def _holds(settings: dict[str, Any], key: str) -> bool:
    """Return whether nested settings have a dotted key that is not a section."""
    found: Any = settings
    for name in key.split("."):
        if not isinstance(found, dict) or name not in found:
            return False
        found = found[name]
    return "." in key and not isinstance(found, dict)


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply ``section.key=value`` overrides; errors as for :func:`~debye.config_files.read_toml`."""
    return read_toml(path, Recipe, docs="docs/training.md", overrides=overrides)
