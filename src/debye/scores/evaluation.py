"""How well one model predicts one set of structures, and how two models differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from debye.errors import ConfigError
from debye.scores.bootstrap import (
    Interval,
    cluster_draws,
    percentile_interval,
    structure_draws,
)
from debye.scores.scores import StructureScore, score_structure
from debye.scores.strata import ATOM_CLASSES, PRIMARY, RESOLUTION_STRATA
from debye.scores.summary import MEASURES, PRIMARY_MEASURE, ScoreTable, measure
from debye.scores.values import StructureValues

EVERY_STRATUM = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapConfig:
    """How intervals are made."""

    repeats: int = 2000
    """Draws; 0 gives no intervals."""
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.repeats < 0 or self.seed < 0 or not 0 < self.level < 1:
            raise ConfigError(
                "bootstrap",
                problem=f"repeats {self.repeats}, seed {self.seed}, level {self.level}",
                remedy="Give repeats and seed of at least 0, and a level between 0 and 1",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Measures of one class of atoms over the structures of one stratum."""

    atom_class: str
    stratum: str
    """A range of resolution, or ``all``."""
    structures: int
    """Structures that have atoms of the class."""
    undefined: int
    """Of these, structures without a Pearson r: too few usable atoms, or constant values."""
    clusters: int
    with_crystal: int
    """Of the structures, those whose symmetry mates took part."""
    atoms: int
    masked: int
    unpredicted: int
    estimates: dict[str, float]
    """Value of each row of :data:`debye.scores.summary.MEASURES`."""
    intervals: dict[str, Interval]
    """Bootstrap over structures; empty without one."""
    cluster_intervals: dict[str, Interval]
    """Bootstrap over clusters, for sets with many crystals of one protein."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Scores of one model on one set of structures, with or without crystal contacts."""

    model: str
    crystal: bool
    """Symmetry mates were shown to the model."""
    scores: tuple[StructureScore, ...]
    """One for each structure and class of atoms that it has."""
    bootstrap: BootstrapConfig
    summaries: tuple[Summary, ...]
    """Every atom class over all structures, then protein atoms by stratum."""

    @property
    def label(self) -> str:
        """Model and crystal in one short line."""
        return f"{self.model}, crystal {'on' if self.crystal else 'off'}"

    def of_class(self, atom_class: str = PRIMARY) -> tuple[StructureScore, ...]:
        """Return the scores of one class of atoms, one for each structure that has any."""
        return tuple(score for score in self.scores if score.atom_class == atom_class)

    def summary(self, atom_class: str = PRIMARY, stratum: str = EVERY_STRATUM) -> Summary | None:
        """Return one summary; None if no structure has such atoms."""
        for row in self.summaries:
            if (row.atom_class, row.stratum) == (atom_class, stratum):
                return row
        return None

    def worst(self, count: int = 10) -> list[StructureScore]:
        """Return the structures of lowest Pearson r over protein atoms, the lowest first."""
        known = [score for score in self.of_class() if np.isfinite(score.pearson)]
        return sorted(known, key=lambda score: (score.pearson, score.id))[:count]

    def undefined(self) -> list[StructureScore]:
        """Return the structures without a Pearson r over protein atoms."""
        return [score for score in self.of_class() if not np.isfinite(score.pearson)]


def evaluate(
    structures: Iterable[StructureValues],
    *,
    model: str,
    crystal: bool,
    bootstrap: BootstrapConfig | None = None,
) -> Evaluation:
    """Score a stream of structures; only one of them is held in memory at a time.

    Raises:
        ConfigError: the stream is empty, or names a structure twice.
    """
    scores = [score for values in structures for score in score_structure(values)]
    return summarize(scores, model=model, crystal=crystal, bootstrap=bootstrap)


def summarize(
    scores: Iterable[StructureScore],
    *,
    model: str,
    crystal: bool,
    bootstrap: BootstrapConfig | None = None,
) -> Evaluation:
    """Put the scores of all structures together; arguments and errors as for :func:`evaluate`."""
    scores = tuple(scores)
    if not scores:
        raise ConfigError(
            model,
            problem="no atom of any structure can be scored",
            remedy="Choose a split that holds structures with atoms",
        )
    count = Counter((score.id, score.atom_class) for score in scores)
    twice = sorted({key for (key, _), times in count.items() if times > 1})
    if twice:
        raise ConfigError(
            model,
            problem=f"structures that come more than once: {', '.join(twice[:5])}",
            remedy="Evaluate every structure once, or the intervals are too narrow",
        )
    bootstrap = bootstrap or BootstrapConfig()
    return Evaluation(
        model=model,
        crystal=crystal,
        scores=scores,
        bootstrap=bootstrap,
        summaries=tuple(_summarize(scores, bootstrap)),
    )


def _summarize(scores: Sequence[StructureScore], bootstrap: BootstrapConfig) -> list[Summary]:
    """Summarize every atom class, then protein atoms by resolution; skip what no structure has."""
    groups = [(name, EVERY_STRATUM) for name in ATOM_CLASSES]
    groups += [(PRIMARY, stratum) for stratum in RESOLUTION_STRATA]
    summaries = []
    for atom_class, stratum in groups:
        rows = [
            score
            for score in scores
            if score.atom_class == atom_class and stratum in (EVERY_STRATUM, score.stratum)
        ]
        if rows:
            summaries.append(_summary(rows, atom_class, stratum, bootstrap))
    return summaries


def _summary(
    rows: list[StructureScore], atom_class: str, stratum: str, bootstrap: BootstrapConfig
) -> Summary:
    table = ScoreTable(rows)
    labels = table.labels("cluster")
    return Summary(
        atom_class=atom_class,
        stratum=stratum,
        structures=len(rows),
        undefined=sum(not np.isfinite(row.pearson) for row in rows),
        clusters=len(set(filter(None, labels))) + labels.count(""),
        with_crystal=sum(row.has_crystal for row in rows),
        atoms=sum(row.atoms for row in rows),
        masked=sum(row.masked for row in rows),
        unpredicted=sum(row.unpredicted for row in rows),
        estimates={name: float(measure(rows, name)[0]) for name in MEASURES},
        intervals=_intervals(rows, bootstrap, by_cluster=False),
        cluster_intervals=_intervals(rows, bootstrap, by_cluster=True),
    )


def _draws(
    rows: list[StructureScore], bootstrap: BootstrapConfig, by_cluster: bool
) -> NDArray[np.float64]:
    # A fresh generator each time: models scored on the same structures get the same draws.
    generator = np.random.default_rng(bootstrap.seed)
    if by_cluster:
        return cluster_draws([row.cluster for row in rows], bootstrap.repeats, generator)
    return structure_draws(len(rows), bootstrap.repeats, generator)


def _intervals(
    rows: list[StructureScore], bootstrap: BootstrapConfig, by_cluster: bool
) -> dict[str, Interval]:
    if not bootstrap.repeats:
        return {}
    weights = _draws(rows, bootstrap, by_cluster)
    return {
        name: percentile_interval(measure(rows, name, weights), bootstrap.level)
        for name in MEASURES
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One measure of one evaluation minus that of another, over the structures that both score."""

    measure: str
    atom_class: str
    first: str
    second: str
    structures: int
    """Structures for which both define the measure."""
    left_out: int
    """Structures that only one of the two scores, or for which only one defines the measure."""
    estimate: float
    interval: Interval
    """Paired bootstrap over structures; NaN without draws."""
    cluster_interval: Interval


def difference(
    first: Evaluation,
    second: Evaluation,
    name: str = PRIMARY_MEASURE,
    atom_class: str = PRIMARY,
) -> Difference:
    """Compare two evaluations on the same structures, by a paired bootstrap.

    The pairing takes out what makes structures easy or hard for both models, so that this interval is
    far narrower than the two evaluations' own intervals suggest.
    """
    mine = {score.id: score for score in first.of_class(atom_class)}
    theirs = {score.id: score for score in second.of_class(atom_class)}
    column = MEASURES[name].column
    shared = [
        key
        for key in sorted(mine.keys() & theirs.keys())
        if np.isfinite(getattr(mine[key], column)) == np.isfinite(getattr(theirs[key], column))
    ]
    left, right = [mine[key] for key in shared], [theirs[key] for key in shared]

    def interval(by_cluster: bool) -> Interval:
        weights = _draws(left, first.bootstrap, by_cluster)
        draws = measure(left, name, weights) - measure(right, name, weights)
        return percentile_interval(draws, first.bootstrap.level)

    return Difference(
        measure=name,
        atom_class=atom_class,
        first=first.label,
        second=second.label,
        structures=int(sum(np.isfinite(getattr(score, column)) for score in left)),
        left_out=len(mine.keys() | theirs.keys()) - len(shared),
        estimate=float(measure(left, name)[0] - measure(right, name)[0]),
        interval=interval(by_cluster=False),
        cluster_interval=interval(by_cluster=True),
    )
