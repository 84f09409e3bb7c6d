"""Store × models → evaluations: predicts a split entry by entry and scores what comes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from debye.errors import CheckpointError, ConfigError, DebyeError, StructureError
from debye.graph.build import build_graph
from debye.models.base import TableModel
from debye.models.catalog import CATALOG, build_model
from debye.models.checkpoint import (
    Checkpoint,
    CheckpointHeader,
    load_checkpoint,
    released_checkpoints,
)
from debye.prediction.calibration import AtomClass, atom_classes
from debye.prediction.inference import Precision, run_model
from debye.prediction.predictor import Predictor
from debye.prediction.prepare import prepare_structure, usable_resolution
from debye.prediction.restore import restore_values
from debye.reports.evaluation import EntryFailure
from debye.scores.evaluation import BootstrapConfig, Evaluation, summarize
from debye.scores.scores import StructureScore, score_structure
from debye.scores.values import StructureValues
from debye.targets.target import Target, Transform

if TYPE_CHECKING:
    from debye.dataset.batches.graph_cache import GraphSource
    from debye.dataset.store.store import Store
    from debye.graph.config import GraphConfig
    from debye.graph.graph import AtomGraph
    from debye.prediction.prepare import Prepared
    from debye.structure.bonds import Bonds
    from debye.structure.structure import Structure

CrystalModes = Literal["on", "off", "both"]
ResolutionUse = Literal["given", "unknown"]
Progress = Callable[[int, int], None]
"""Called with how many entries are done and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """What the models are told about each entry."""

    crystal: CrystalModes = "both"
    """Symmetry mates shown, hidden, or once each. Models that use no mates are run once."""
    resolution: ResolutionUse = "given"
    """``unknown`` hides the resolution, as of a predicted model."""
    noise: float = 0.0
    """Å, standard deviation of the Gaussian noise on every coordinate; see :func:`disturb`."""
    noise_seed: int = 0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.noise) and self.noise >= 0 and self.noise_seed >= 0):
            raise ConfigError(
                "evaluate",
                problem=f"noise of {self.noise} Å, seed {self.noise_seed}",
                remedy="Give a standard deviation and a seed of at least 0",
            )
        for name, choices in (("crystal", CrystalModes), ("resolution", ResolutionUse)):
            if getattr(self, name) not in get_args(choices):
                raise ConfigError(
                    "evaluate",
                    problem=f"{name}={getattr(self, name)!r} is no choice",
                    remedy=f"Choose from {', '.join(get_args(choices))}",
                )


@dataclass(frozen=True, slots=True)
class Run:
    """One row of the comparison: a model, with or without the crystal."""

    predictor: Predictor
    name: str
    crystal: bool


def plan_runs(models: Sequence[tuple[str, Predictor]], crystal: CrystalModes) -> list[Run]:
    """Return the rows of the comparison, in the order of the models, crystal on before off.

    Raises:
        ConfigError: two models have the same name.
    """
    names = [name for name, _ in models]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            "evaluate",
            problem=f"more than one model is called {', '.join(twice)}",
            remedy="Give each model once, and checkpoints different file names",
        )
    wanted = {"on": (True,), "off": (False,), "both": (True, False)}[crystal]
    runs = []
    for name, predictor in models:
        shown = wanted if predictor.graph_config.reads_crystal else (False,)
        runs += [Run(predictor, name, use) for use in shown]
    return runs


def evaluate_store(
    store: Store,
    split: str,
    models: Sequence[tuple[str, Predictor]],
    *,
    config: RunConfig | None = None,
    bootstrap: BootstrapConfig | None = None,
    progress: Progress | None = None,
) -> tuple[list[Evaluation], list[EntryFailure]]:
    """Evaluate models on a split, with one pass over its entries and a graph shared where models agree.

    An entry that a model cannot predict counts with all of its atoms unpredicted, and is returned as
    a failure.

    Args:
        store: A finished data store.
        split: One of its splits.
        models: Name and predictor of each model.
        config: What the models are told.
        bootstrap: How intervals are made.
        progress: Told after each entry.

    Raises:
        ConfigError: no model, or nothing in the split that can be scored.
        StoreError: no such split.
    """
    config = config or RunConfig()
    if not models:
        raise ConfigError("evaluate", problem="no model is given", remedy="Name at least one model")
    runs = plan_runs(models, config.crystal)
    scores: list[list[StructureScore]] = [[] for _ in runs]
    failures: list[EntryFailure] = []
    total = len(store.entries(split))
    for row in range(total):
        for number, outcome in enumerate(predict_entry(store, split, row, runs, config)):
            values, failure = outcome
            scores[number] += score_structure(values)
            failures += [failure] if failure else []
        if progress:
            progress(row + 1, total)
    evaluations = [
        summarize(found, model=run.name, crystal=run.crystal, bootstrap=bootstrap)
        for run, found in zip(runs, scores, strict=True)
    ]
    return evaluations, failures


def predict_entry(
    store: Store,
    split: str,
    row: int,
    runs: Sequence[Run],
    config: RunConfig,
    sources: Mapping[GraphConfig, GraphSource] | None = None,
) -> Iterator[tuple[StructureValues, EntryFailure | None]]:
    """Predict one entry by every run, and put deposited and predicted values side by side.

    Args:
        store: A finished data store.
        split: One of its splits.
        row: Of the entry.
        runs: Models, with or without the crystal.
        config: What the models are told.
        sources: Graphs of this split that were built before, such as a cache, which rounds edge vectors
            to 0.0005 Å; used where the atoms are not disturbed.
    """
    sources = {} if config.noise or sources is None else sources
    structure = disturb(store.structure(split, row), config.noise, config.noise_seed)
    deposited = _deposited(store, split, row, structure, runs[0].predictor.targets[0])
    # Bonds that were measured do not fit atoms that have moved: they are found again.
    bonds = None if config.noise else store.bonds(split, row)
    resolution = usable_resolution(structure, None) if config.resolution == "given" else None
    structure = replace(structure, entry=replace(structure.entry, resolution=resolution))
    graphs: dict[tuple[GraphConfig, bool], AtomGraph] = {}
    for run in runs:
        key = (run.predictor.graph_config, run.crystal)
        try:
            # Without its crystal an atom has other nearest neighbors: such a graph is built anew.
            is_stored = key[0] in sources and (run.crystal or key[0].nearest is None)
            if key not in graphs and is_stored:
                graph = sources[key[0]].graph(row)
                graphs[key] = _shown(graph, run.crystal, resolution is not None)
            elif key not in graphs:
                graphs[key] = _graph(structure, bonds, *key)
            values = _values(run, structure, graphs[key], deposited)
            yield values, None
        except DebyeError as error:
            values = replace(deposited, is_profile=False)
            yield (
                values,
                EntryFailure(
                    model=run.name, crystal=run.crystal, id=deposited.id, reason=str(error)
                ),
            )


def disturb(structure: Structure, noise: float, seed: int = 0) -> Structure:
    """Move every atom by Gaussian noise; the same for one entry and seed, whatever else is evaluated.

    Everything follows from the moved atoms: edges, features, and symmetry mates, which move with them.

    Args:
        structure: Any structure; its name in ``source`` chooses the random numbers.
        noise: Standard deviation along each axis, Å; 0 returns the structure as it is.
        seed: Another seed gives other noise.
    """
    if not noise:
        return structure
    generator = np.random.default_rng([seed, *structure.source.encode()])
    moved = structure.position + generator.normal(0.0, noise, structure.position.shape)
    return replace(structure, position=moved.astype(np.float32))


def values_of_coordinates(
    structure: Structure, models: Iterable[tuple[str, Predictor]], config: RunConfig
) -> tuple[list[NDArray[np.float64]], list[EntryFailure]]:
    """Predict coordinates that are not those of the crystal whose B-factors are asked for.

    The models are told neither a crystal nor a resolution, and that the structure is a predicted one.

    Args:
        structure: All atoms of a file.
        models: Name and predictor of each model.
        config: Noise on the coordinates; what else it says has no meaning here.

    Returns:
        (atoms,) values of each model, NaN where it has none, and the failures.
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
            values[item.rows] = model_values(predictor, item.graph, shown.source)[0]
        except DebyeError as error:
            failures.append(
                EntryFailure(model=name, crystal=False, id=shown.source, reason=str(error))
            )
        columns.append(values)
    return columns, failures


def _graph(
    structure: Structure, bonds: Bonds | None, config: GraphConfig, crystal: bool
) -> AtomGraph:
    """Build the graph that ``debye predict`` builds: not from a cache, which rounds edge vectors."""
    shown = structure if crystal else replace(structure, crystal=None)
    return build_graph(shown, config, bonds=bonds)


def _shown(graph: AtomGraph, crystal: bool, resolution: bool) -> AtomGraph:
    """Hide of a finished graph what the model is not to be told."""
    if not resolution:
        graph = graph.without_resolution(torch.ones(1, dtype=torch.bool))
    return graph if crystal else graph.without_crystal()


def _deposited(
    store: Store, split: str, row: int, structure: Structure, target: Target
) -> StructureValues:
    """Return the deposited side of an entry, with no atom predicted yet."""
    entry = store.entries(split)[row]
    _, chain = np.unique(structure.chain, return_inverse=True)
    labels = store.labels(split, row, target)
    return StructureValues(
        id=entry.id,
        deposited=np.where(labels.usable, labels.value, np.nan).astype(np.float32),
        predicted=np.full(len(structure), np.nan, np.float32),
        entity_kind=structure.entity_kind,
        is_backbone=atom_classes(structure) == AtomClass.BACKBONE,
        residue_name=structure.residue_name,
        residue_index=structure.residue_index,
        chain_index=chain.astype(np.int32),
        resolution=entry.resolution,
        cluster=entry.cluster,
        group=entry.columns.get("group", ""),
    )


def _values(
    run: Run, structure: Structure, graph: AtomGraph, deposited: StructureValues
) -> StructureValues:
    """Fill in what the model says; without a level, the profile, of which only the shape counts."""
    predictor = run.predictor
    value, width = model_values(predictor, graph, deposited.id)
    shown = replace(
        deposited,
        predicted=value.astype(np.float32),
        has_crystal=bool(graph.crystal_known.all()),
        is_profile=width is None,
    )
    target = predictor.targets[0]
    if target.name not in predictor.calibrations or width is None:
        return shown
    lower, upper = predictor.calibrations[target.name].bounds(
        value,
        width,
        atom_classes(structure),
        resolution_known=structure.entry.resolution is not None,
        crystal_known=shown.has_crystal,
        minimum=target.minimum,
    )
    return replace(shown, lower=lower, upper=upper)


def model_values(
    predictor: Predictor, graph: AtomGraph, source: str
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Return value and expected error of each atom, or the profile and None from a model without a level.

    Raises:
        StructureError: a value is not finite, as ``debye predict`` refuses it.
    """
    output = run_model(
        predictor.model, graph, device=predictor.device, precision=predictor.precision
    )
    target, found = predictor.targets[0], output.first
    if found.log_mean_sd is None and target.transform is Transform.Z:
        return _finite(found.value.double().cpu().numpy(), source), None
    value, width = restore_values(found, graph.structure_index, target)
    return _finite(value, source), width


def _finite(values: NDArray[np.float64], source: str) -> NDArray[np.float64]:
    """Refuse what ``debye predict`` refuses: a structure with a value that is not finite."""
    if not np.isfinite(values).all():
        raise StructureError(
            source,
            problem=f"the model gave no finite value for {(~np.isfinite(values)).sum()} atoms",
            remedy="Check the coordinates, or evaluate another model",
        )
    return values


def load_models(
    names: Sequence[str], *, device: str = "cpu", precision: Precision = "auto"
) -> list[tuple[str, Predictor]]:
    """Load released models by name, checkpoints by path, and baselines by their name in the catalog.

    Returns:
        A name for each, with its predictor: that of the checkpoint, or what the user typed where two
        checkpoints share a name.

    Raises:
        CheckpointError: a name stands for nothing that can predict.
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
        raise CheckpointError(
            name,
            problem="a table that was never fitted",
            remedy=f"Give a checkpoint: debye train recipes/{name}.toml --data STORE",
        )
    header = CheckpointHeader(name=name, model=name, config={})
    return Checkpoint(model.to(device).eval(), header, "catalog")
