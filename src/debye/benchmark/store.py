"""Store × models → scores: predict a split entry by entry and score the predictions."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, NonNegativeFloat, NonNegativeInt

from debye.dataset.batches.loader import graph_items
from debye.errors import (
    CheckpointError,
    ConfigError,
    DebyeError,
    DebyeWarning,
    StoreError,
    StructureError,
)
from debye.graph.build import build_graph
from debye.models.base import AtomModel, BaselineModel, ModelOutput, TableModel
from debye.models.catalog import CATALOG, build_model
from debye.models.checkpoint import (
    Checkpoint,
    CheckpointHeader,
    load_checkpoint,
    released_checkpoints,
)
from debye.prediction.predictor import Precision, Predictor, restore_values, run_model
from debye.prediction.prepare import prepare_structure, usable_resolution
from debye.scores.scores import StructureScore, score_structure, score_table
from debye.scores.strata import StructureValues, error_classes, first_atoms, is_protein_backbone
from debye.targets.b_factor import B_FACTOR
from debye.targets.target import Target, Transform

if TYPE_CHECKING:
    from debye.dataset.batches.graph_cache import GraphSource
    from debye.dataset.store.store import Store
    from debye.graph.config import GraphConfig
    from debye.graph.graph import AtomGraph
    from debye.prediction.prepare import Prepared
    from debye.structure.structure import Structure

CrystalModes = Literal["on", "off", "both"]
Progress = Callable[[int, int], None]
"""Called with the number of entries that are done, and of all entries."""


class EvaluationConfig(BaseModel, frozen=True, extra="forbid"):
    """What the models see of each entry."""

    crystal: CrystalModes = "both"
    """Symmetry mates: on, off, or both (one row each). Models that use no mates have one row."""
    resolution: Literal["given", "unknown"] = "given"
    """``unknown`` hides the resolution, as of a predicted structure."""
    noise: NonNegativeFloat = 0.0
    """Å, standard deviation of the Gaussian noise on every coordinate; see :func:`disturb`."""
    noise_seed: NonNegativeInt = 0


@dataclass(frozen=True, slots=True)
class EntryFailure:
    """A structure without a prediction, and why."""

    model: str
    crystal: str
    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class ModelView:
    """One target of a model, with or without the crystal: one row of the tables of an evaluation."""

    predictor: Predictor
    name: str
    use_crystal: bool
    target: Target
    """One of the targets that it predicts."""

    @property
    def crystal(self) -> str:
        """Whether it uses the crystal, as in tables: ``on`` or ``off``."""
        return switch(self.use_crystal)


def switch(use_crystal: bool) -> str:
    """Return how tables say whether symmetry mates were used: ``on`` or ``off``."""
    return "on" if use_crystal else "off"


def model_views(
    models: Sequence[tuple[str, Predictor]],
    crystal: CrystalModes,
    *,
    every_target: bool = False,
) -> list[ModelView]:
    """Return the rows of an evaluation, in the order of the models, crystal on before off.

    Args:
        models: Name and predictor of each model; a name that comes twice is a :class:`ConfigError`.
        every_target: All targets of each model; else its first one.
    """
    count = Counter(name for name, _ in models)
    twice = sorted(name for name, times in count.items() if times > 1)
    if twice:
        problem = f"more than one model is called {', '.join(twice)}"
        remedy = "Give each model once, and checkpoints different file names"
        raise ConfigError("evaluate", problem, remedy)
    wanted = {"on": (True,), "off": (False,), "both": (True, False)}[crystal]
    return [
        ModelView(predictor, name, use, target)
        for name, predictor in models
        for use in (wanted if predictor.graph_config.reads_crystal else (False,))
        for target in predictor.targets[: None if every_target else 1]
    ]


@dataclass(frozen=True, slots=True)
class ScoredTarget:
    """The scores of all models of one target on a split."""

    target: Target
    scores: pd.DataFrame
    """A row a model, way to treat the crystal, structure and class of atoms."""
    failures: list[EntryFailure]
    """Entries that a model cannot predict: all of their atoms count as unpredicted."""


def evaluate_store(
    store: Store,
    split: str,
    models: Sequence[tuple[str, Predictor]],
    *,
    config: EvaluationConfig | None = None,
    progress: Progress | None = None,
) -> list[ScoredTarget]:
    """Score models on a split, with one pass over its entries and a graph shared where models agree.

    Returns:
        One for each target of the models; targets with the same labels (B, log B) are one.

    Raises:
        ConfigError: no model.
        StoreError: no such split, or no labels of a target in it.
    """
    if not models:
        raise ConfigError("evaluate", "no model is given", "Name at least one model")
    config = config or EvaluationConfig()
    views = _labelled(store, split, model_views(models, config.crystal, every_target=True))
    scores: list[list[StructureScore]] = [[] for _ in views]
    failures: list[list[EntryFailure]] = [[] for _ in views]
    total = len(store.entries(split))
    for row in range(total):
        outcomes = predict_entry(store, split, row, views, config)
        for own, failed, (values, failure) in zip(scores, failures, outcomes, strict=True):
            own += score_structure(values)
            failed += [failure] if failure else []
        if progress:
            progress(row + 1, total)
    found = []
    for source in dict.fromkeys(view.target.source.name for view in views):
        places = [k for k, view in enumerate(views) if view.target.source.name == source]
        labels = [{"model": views[k].name, "crystal": views[k].crystal} for k in places]
        tables = [score_table(scores[k], **own) for k, own in zip(places, labels, strict=True)]
        table = pd.concat(tables, ignore_index=True)
        own = [failure for k in places for failure in failures[k]]
        found.append(ScoredTarget(views[places[0]].target, table, own))
    return found


def _labelled(store: Store, split: str, views: list[ModelView]) -> list[ModelView]:
    """Return the views whose target has labels in a split, with a warning for the others; an error if none has."""
    errors = {}
    for target in {view.target.name: view.target for view in views}.values():
        try:
            store.check_labels(split, target)
        except StoreError as error:
            errors[target.name] = error
    left = [view for view in views if view.target.name not in errors]
    if not left:
        raise next(iter(errors.values()))
    for error in errors.values():
        warnings.warn(f"not evaluated: {error}", DebyeWarning, stacklevel=2)
    return left


def predict_entry(
    store: Store,
    split: str,
    row: int,
    views: Sequence[ModelView],
    config: EvaluationConfig,
    sources: Mapping[GraphConfig, GraphSource] | None = None,
) -> Iterator[tuple[StructureValues, EntryFailure | None]]:
    """Predict one entry by every view, and yield true and predicted values.

    Args:
        sources: Graphs of this split that were built before, such as a cache, which rounds edge vectors
            to 0.0005 Å; used if the atoms are not disturbed.
    """
    sources = {} if config.noise or sources is None else sources
    structure = disturb(store.structure(split, row), config.noise, config.noise_seed)
    # Bonds that were measured do not fit atoms that have moved: they are found again.
    bonds = None if config.noise else store.bonds(split, row)
    resolution = usable_resolution(structure, None) if config.resolution == "given" else None
    structure = replace(structure, entry=replace(structure.entry, resolution=resolution))
    graphs: dict[tuple[GraphConfig, bool], AtomGraph] = {}
    outputs: dict[tuple[str, bool], ModelOutput] = {}
    truths = {
        target.name: true_values(store, split, row, structure, target)
        for target in {view.target.name: view.target for view in views}.values()
    }
    for view in views:
        key = (view.predictor.graph_config, view.use_crystal)
        truth = truths[view.target.name]
        try:
            # Without its crystal an atom has other nearest neighbors: such a graph is built anew.
            is_stored = key[0] in sources and (view.use_crystal or key[0].nearest is None)
            if key not in graphs and is_stored:
                graph = sources[key[0]].graph(row)
                if resolution is None:
                    graph = graph.without_resolution(torch.ones(1, dtype=torch.bool))
                graphs[key] = graph if view.use_crystal else graph.without_crystal()
            elif key not in graphs:
                # Built as `debye predict` does: not from a cache, which rounds edge vectors.
                shown = structure if view.use_crystal else replace(structure, crystal=None)
                graphs[key] = build_graph(shown, key[0], bonds=bonds)
            run = (view.name, view.use_crystal)
            if run not in outputs:
                outputs[run] = _run(view.predictor, graphs[key])
            yield _predicted(view, structure, graphs[key], outputs[run], truth), None
        except DebyeError as error:
            yield truth, EntryFailure(view.name, view.crystal, truth.id, str(error))


def disturb(structure: Structure, noise: float, seed: int = 0) -> Structure:
    """Move every atom by Gaussian noise; the same for one entry and seed, whatever else is evaluated.

    Everything follows from the moved atoms: edges, features, and symmetry mates, which move with them.

    Args:
        structure: Any structure; its name in ``source`` chooses the random numbers.
        noise: Standard deviation along each axis, Å; 0 returns the structure as it is.
    """
    if not noise:
        return structure
    generator = np.random.default_rng([seed, *structure.source.encode()])
    moved = structure.position + generator.normal(0.0, noise, structure.position.shape)
    return replace(structure, position=moved.astype(np.float32))


def values_of_coordinates(
    structure: Structure,
    models: Iterable[tuple[str, Predictor]],
    config: EvaluationConfig,
    target: Target = B_FACTOR,
) -> tuple[list[NDArray[np.float64]], list[EntryFailure]]:
    """Predict coordinates that are not those of the crystal with the true values.

    The models see neither a crystal nor a resolution, and a structure that is marked as predicted. Of
    ``config`` only the noise applies.

    Returns:
        (atoms,) values of each model for a target per atom, NaN where it has none, and the failures.
    """
    entry = replace(structure.entry, resolution=None, is_predicted=True)
    shown = replace(structure, entry=entry, crystal=None)
    shown = disturb(shown, config.noise, config.noise_seed)
    columns, failures = [], []
    prepared: dict[GraphConfig, Prepared] = {}
    for name, predictor in models:
        values = np.full(len(shown), np.nan)
        try:
            graphs = predictor.graph_config
            if graphs not in prepared:
                prepared[graphs] = prepare_structure(shown, graphs, crystal="off")
            item = prepared[graphs]
            own = own_target(predictor, name, target)
            output = _run(predictor, item.graph)
            found, _ = _values(predictor.model, output, item.graph, own, shown.source)
            values[item.rows] = found
        except DebyeError as error:
            failures.append(EntryFailure(name, switch(False), shown.source, str(error)))
        columns.append(values)
    return columns, failures


def own_target(predictor: Predictor, name: str, target: Target) -> Target:
    """Return the target of a model that has the labels of another target (B, log B), or raise an error."""
    for own in predictor.targets:
        if own.source.name == target.source.name:
            return own
    raise ConfigError(name, f"does not predict {target.title}", "Leave the model out")


def true_labels(store: Store, split: str, row: int, target: Target) -> NDArray[np.float32]:
    """Return (items,) the true values of a target in an entry, NaN where not usable."""
    labels = store.labels(split, row, target)
    return np.where(labels.usable, labels.value, np.nan).astype(np.float32)


def true_values(
    store: Store, split: str, row: int, structure: Structure, target: Target
) -> StructureValues:
    """Return the true side of an entry, with no item predicted yet."""
    entry = store.entries(split)[row]
    _, chain = np.unique(structure.chain, return_inverse=True)
    items = first_atoms(structure, target.per)
    true = true_labels(store, split, row, target)
    return StructureValues(
        id=entry.id,
        target=target,
        true=true,
        predicted=np.full_like(true, np.nan),
        entity_kind=structure.entity_kind[items],
        is_backbone=is_protein_backbone(structure)[items],
        residue_name=structure.residue_name[items],
        residue_index=structure.residue_index[items],
        chain_index=chain.astype(np.int32)[items],
        resolution=entry.resolution,
        cluster=entry.cluster,
        group=entry.columns.get("group", ""),
    )


def _run(predictor: Predictor, graph: AtomGraph) -> ModelOutput:
    return run_model(predictor.model, graph, device=predictor.device, precision=predictor.precision)


def _predicted(
    view: ModelView,
    structure: Structure,
    graph: AtomGraph,
    output: ModelOutput,
    truth: StructureValues,
) -> StructureValues:
    """Fill in the prediction; without mean and sd of the structure normalized values, of which only the shape counts."""
    target = view.target
    value, width = _values(view.predictor.model, output, graph, target, truth.id)
    shown = replace(
        truth,
        predicted=value.astype(np.float32),
        has_crystal=bool(graph.crystal_known.all()),
        is_profile=width is None,
    )
    calibration = view.predictor.calibrations.get(target.name)
    if calibration is None or width is None:
        return shown
    lower, upper = calibration.bounds(
        value,
        width,
        error_classes(structure, target.per),
        resolution_known=structure.entry.resolution is not None,
        crystal_known=shown.has_crystal,
        minimum=target.minimum,
    )
    return replace(shown, lower=lower, upper=upper)


def _values(
    model: AtomModel, output: ModelOutput, graph: AtomGraph, target: Target, source: str
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Return value and expected error of each item; normalized values and None if the model has no units."""
    found = output.values[target.name]
    # Baselines that are not fitted to labels know no unit.
    is_fitted = isinstance(model, TableModel) or not isinstance(model, BaselineModel)
    if found.log_mean_sd is None and (target.transform is Transform.Z or not is_fitted):
        value, error = found.value.double().cpu().numpy(), None
    else:
        index = graph_items(graph, target.per).structure_index
        value, error = restore_values(found, index, target)
    if not np.isfinite(value).all():
        problem = f"the model gave no finite value for {(~np.isfinite(value)).sum()} values"
        remedy = "Check the coordinates, or evaluate another model"
        raise StructureError(source, problem, remedy)
    return value, error


def load_models(
    names: Sequence[str], *, device: str = "cpu", precision: Precision = "auto"
) -> list[tuple[str, Predictor]]:
    """Load released models by name, checkpoints by path, and baselines by their name in the catalog.

    Returns:
        Name and predictor of each: what the user typed if two checkpoints share a name.
    """
    predictors = [
        Predictor(_find_model(name, device), device=device, precision=precision) for name in names
    ]
    taken = Counter(predictor.model_name for predictor in predictors)
    return [
        (predictor.model_name if taken[predictor.model_name] == 1 else typed, predictor)
        for typed, predictor in zip(names, predictors, strict=True)
    ]


def _find_model(name: str, device: str) -> Checkpoint:
    """Prefer a checkpoint: a baseline that was fitted is better than its defaults."""
    card = CATALOG.get(name)
    if card is None or card.learned or name in released_checkpoints() or Path(name).is_file():
        return load_checkpoint(name, device=device)
    model = build_model(name)
    if isinstance(model, TableModel):
        remedy = f"Give a checkpoint: debye train recipes/{name}.toml --data STORE"
        raise CheckpointError(name, "a table that was never fitted", remedy)
    header = CheckpointHeader(name=name, model=name, config={})
    return Checkpoint(model.to(device).eval(), header, "catalog")
