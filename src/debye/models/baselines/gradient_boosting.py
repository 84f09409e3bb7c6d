"""Gradient-boosted trees: what the features of single atoms tell without a network of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt
from torch import Tensor

from debye.errors import ConfigError
from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph
from debye.models.base import ModelOutput, Sample, TableModel
from debye.targets.target import Target

if TYPE_CHECKING:
    from types import ModuleType

    from lightgbm import Booster

LEVEL_TREES, LEVEL_LEAVES, LEVEL_LEAST = 100, 7, 20
"""Trees, leaves, and structures in a leaf of the trees of the level: there are few structures."""


class GradientBoostingConfig(BaseModel, frozen=True, extra="forbid"):
    """The features, and the size of the ensemble of trees."""

    graph: GraphConfig = GraphConfig(radius=None)
    """Its features describe the atoms; edges are not used."""
    trees: PositiveInt = 400
    leaves: Annotated[int, Field(ge=2)] = 63
    """Of each tree."""
    least_atoms: PositiveInt = 200
    """In each leaf."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.05
    share: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Of atoms, and of features, that each tree sees; drawn anew for each."""
    most_atoms: PositiveInt = 1_000_000
    """Atoms that are fitted to, drawn at random from all of the training stream: bounds the memory."""
    seed: NonNegativeInt = 1
    """Of all draws. Another ``training.seed`` of a recipe changes the stream, and so the trees, too."""


class GradientBoosting(TableModel):
    """Predicts each atom from its own features, and each structure's level from their means.

    The facts of the structure (``structure_scalars``) are features of its atoms, too.

    Reference: Ke et al. (2017), LightGBM: A Highly Efficient Gradient Boosting Decision Tree, NeurIPS 30.
    """

    def __init__(self, config: GradientBoostingConfig, targets: Sequence[Target]) -> None:
        super().__init__(config, targets)
        self._texts: list[str] = []
        """The trees of the profile, of log mean and of log standard deviation, as LightGBM writes them."""
        self._boosters: list[Booster] = []

    def fit(self, stream: Iterable[Sample]) -> None:
        """Draw atoms from the stream and grow the trees."""
        lightgbm = _lightgbm()
        rows = Reservoir(self.config.most_atoms, np.random.default_rng(self.config.seed))
        facts, levels = [], []
        for graph, value, level in stream:
            usable = torch.isfinite(value)
            rows.add(_atom_features(graph)[usable.cpu().numpy()], value[usable].cpu().numpy())
            facts.append(_structure_features(graph))
            levels.append(level.cpu().numpy())
        features, value = rows.drawn()
        if not len(value):
            remedy = "Give at least one sample with usable atoms"
            raise ConfigError("gradient_boosting", "nothing to fit to", remedy)
        categories = list(range(len(self.graph_config.node_categories)))
        data = lightgbm.Dataset(features, value, categorical_feature=categories)
        config, known = self.config, np.concatenate(facts)
        grown = [self._grow(data, config.trees, config.leaves, config.least_atoms)]
        for column in np.concatenate(levels).T:
            data = lightgbm.Dataset(known, np.array(column))  # LightGBM warns of views
            grown.append(self._grow(data, LEVEL_TREES, LEVEL_LEAVES, LEVEL_LEAST))
        self._texts = [booster.model_to_string() for booster in grown]
        self._boosters = []

    def _grow(self, data: Any, trees: int, leaves: int, least: int) -> Booster:
        settings = {
            "objective": "regression",
            "num_leaves": leaves,
            "min_data_in_leaf": least,
            "learning_rate": self.config.learning_rate,
            "bagging_fraction": self.config.share,
            "bagging_freq": 1,
            "feature_fraction": self.config.share,
            "seed": self.config.seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": torch.get_num_threads(),
            "verbosity": -1,
        }
        return _lightgbm().train(settings, data, num_boost_round=trees)

    @torch.no_grad()
    def forward(self, graph: AtomGraph) -> ModelOutput:
        """Sum the trees; before :meth:`fit` the profile is flat, and no level is known."""
        if not self._texts:
            return self.output(graph.position.new_zeros(graph.n_atoms))
        if not self._boosters:
            booster = _lightgbm().Booster
            self._boosters = [booster(model_str=text) for text in self._texts]
        atoms, *levels = self._boosters
        known = _structure_features(graph)
        level = np.stack([_predict(booster, known) for booster in levels], axis=1)
        value = torch.from_numpy(_predict(atoms, _atom_features(graph)))
        return self.output(value.to(graph.position), torch.from_numpy(level).to(graph.position))

    def get_extra_state(self) -> UInt8[Tensor, " bytes"]:
        """Return the trees as text in a tensor: checkpoints contain nothing else."""
        text = json.dumps(self._texts).encode()
        return torch.frombuffer(bytearray(text), dtype=torch.uint8)

    def set_extra_state(self, state: UInt8[Tensor, " bytes"]) -> None:
        """Take the trees of a checkpoint."""
        self._texts = json.loads(state.cpu().numpy().tobytes().decode())
        self._boosters = []


class Reservoir:
    """Keeps a fixed number of rows of a stream, each with the same chance, in bounded memory."""

    def __init__(self, size: int, generator: np.random.Generator) -> None:
        self.size = size
        self.generator = generator
        self._held: list[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]] = []

    def add(
        self, features: Float[np.ndarray, "rows columns"], value: Float[np.ndarray, " rows"]
    ) -> None:
        """Take part of the stream."""
        self._held.append((features, value, self.generator.random(len(value))))
        if sum(len(value) for _, value, _ in self._held) > 2 * self.size:
            self._draw()

    def _draw(self) -> None:
        """Keep the rows with the smallest random numbers, in the order of the stream."""
        features, value, chance = (np.concatenate(part) for part in zip(*self._held, strict=True))
        if len(value) > self.size:
            kept = np.sort(np.argpartition(chance, self.size - 1)[: self.size])
            features, value, chance = features[kept], value[kept], chance[kept]
        self._held = [(features, value, chance)]

    def drawn(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return features and values of the rows kept."""
        if not self._held:
            return np.zeros((0, 0), np.float32), np.zeros(0, np.float32)
        self._draw()
        return self._held[0][:2]


def _lightgbm() -> ModuleType:
    try:
        import lightgbm
    except ImportError as error:
        problem = "needs the extra peers: lightgbm cannot be imported"
        remedy = "Run: pip install 'debye[peers]'"
        raise ConfigError("gradient_boosting", problem, remedy) from error
    return lightgbm


def _predict(booster: Booster, features: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(booster.predict(features, num_threads=torch.get_num_threads()))


def _atom_features(graph: AtomGraph) -> Float[np.ndarray, "atoms columns"]:
    """Return categories (as codes), scalars, and the facts of each atom's structure, float32."""
    facts = graph.structure_scalars[graph.structure_index]
    return torch.cat([graph.categories.float(), graph.scalars, facts], dim=1).cpu().numpy()


def _structure_features(graph: AtomGraph) -> Float[np.ndarray, "structures columns"]:
    """Return the facts of each structure, and the means of its atoms' scalars, float32."""
    count = torch.bincount(graph.structure_index, minlength=graph.n_structures).clamp(min=1)
    total = graph.scalars.new_zeros(graph.n_structures, graph.scalars.shape[1], dtype=torch.float64)
    total.index_add_(0, graph.structure_index, graph.scalars.double())
    means = (total / count[:, None]).to(graph.scalars.dtype)
    return torch.cat([graph.structure_scalars, means], dim=1).cpu().numpy()
