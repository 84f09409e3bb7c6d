"""What the default model is meant to reach, and what it does: a table for the docs, from the committed results."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from debye.prediction.predictor import DEFAULT_MODEL

REFERENCE = "weighted_contact_number"
RESULTS = Path(__file__).parent.parent / "docs" / "results"
Reports = Mapping[str, Any]
"""``report.json`` of each folder of results."""
Figure = Callable[[Reports], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """A figure, the bounds that it should keep, and where it should get to."""

    what: str
    figure: Figure
    least: float | Figure | None = None
    most: float | Figure | None = None
    goal: float | None = None
    digits: int = 3

    def row(self, reports: Reports) -> list[str]:
        """Return the cells: what, bounds, goal, measured, and by how much a bound is missed."""

        def shown(value: float) -> str:
            return f"{value:.{self.digits}f}".replace("-", "−")

        measured = self.figure(reports)
        bounds, shortfall = [], 0.0
        for words, bound, sign in (("at least", self.least, 1), ("at most", self.most, -1)):
            if bound is not None:
                value = bound(reports) if callable(bound) else bound
                bounds.append(f"{words} {shown(value)}")
                shortfall = max(shortfall, sign * (value - measured))
        return [
            self.what,
            ", ".join(bounds),
            "–" if self.goal is None else shown(self.goal),
            shown(measured),
            f"missed by {shown(shortfall)}" if shortfall > 0 else "reached",
        ]


def summary(evaluation: Mapping[str, Any], atom_class: str = "protein") -> dict[str, Any]:
    """Return the row of one class of atoms over all structures."""
    return next(
        row
        for row in evaluation["summaries"]
        if row["atom_class"] == atom_class and row["stratum"] == "all"
    )


def figure_of(
    split: str,
    name: str,
    *,
    crystal: bool = True,
    atoms: str = "protein",
    model: str = DEFAULT_MODEL,
) -> Figure:
    """Return a reader of one figure of one model on one class of atoms."""

    def read(reports: Reports) -> float:
        evaluation = next(
            found
            for found in reports[split]["evaluations"]
            if found["model"] == model and found["crystal"] == crystal
        )
        return summary(evaluation, atoms)["estimates"][name]

    return read


def _correlation(what: str, split: str, *, crystal: bool, least: float, goal: float) -> Aim:
    r = figure_of(split, "pearson_mean", crystal=crystal)
    return Aim(what=what, figure=r, least=least, goal=goal)


def _on_predicted(_: Reports) -> float:
    means = json.loads((RESULTS / "kinase" / "predicted_models.json").read_text())["means"]
    return next(
        row["mean"]
        for row in means
        if (row["model"], row["group"]) == (DEFAULT_MODEL, "best match")
    )


def _with_ligands(split: str) -> Aim:
    both = figure_of(split, "pearson_mean", atoms="protein + ligand")
    alone = figure_of(split, "pearson_mean", atoms="protein beside ligand")
    return Aim(
        what=f"`{split}`, r of protein and ligand together, less that of the protein beside it",
        figure=lambda reports: both(reports) - alone(reports),
        least=0.0,
    )


def _of_ligands(split: str) -> Aim:
    mine = figure_of(split, "z_mae", atoms="ligand")
    reference = figure_of(split, "z_mae", atoms="ligand", model=REFERENCE)
    return Aim(
        what=f"`{split}`, MAE (z) of ligands over that of `{REFERENCE}`",
        figure=lambda reports: mine(reports) / reference(reports),
        most=0.8,
    )


def _coverage(split: str, atoms: str) -> Aim:
    return Aim(
        what=f"`{split}`, share of {atoms} atoms within their 90 % bounds",
        figure=figure_of(split, "coverage_90", atoms=atoms),
        least=0.88,
        most=0.92,
    )


AIMS = (
    _correlation("`kinase`, r", "kinase", crystal=True, least=0.86, goal=0.90),
    _correlation("`kinase`, r, crystal hidden", "kinase", crystal=False, least=0.85, goal=0.87),
    _correlation("`test`, r", "test", crystal=True, least=0.845, goal=0.88),
    _correlation("`test`, r, crystal hidden", "test", crystal=False, least=0.835, goal=0.86),
    _correlation(
        "`test`, r, crystal hidden, 0.2 Å of noise on coordinates",
        "test_noise",
        crystal=False,
        least=0.825,
        goal=0.85,
    ),
    Aim(what="AlphaFold models of kinases, r", figure=_on_predicted, least=0.68, goal=0.72),
    Aim(
        what="`kinase`, r of B over all atoms (bound: the oracle's)",
        figure=figure_of("kinase", "pooled_pearson"),
        least=figure_of("kinase", "oracle_pooled_pearson"),
        goal=0.80,
    ),
    Aim(
        what="`kinase`, MAE over all atoms, Å² (bound: the oracle's)",
        figure=figure_of("kinase", "pooled_mae"),
        most=figure_of("kinase", "oracle_pooled_mae"),
        goal=8.0,
        digits=1,
    ),
    *(_coverage(split, atoms) for split in ("kinase", "test") for atoms in ("protein", "ligand")),
    *(_with_ligands(split) for split in ("kinase", "test")),
    *(_of_ligands(split) for split in ("kinase", "test")),
)
