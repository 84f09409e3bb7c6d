"""Goals of the default model and the committed results that they are compared with, as rows of a table."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from debye.prediction.predictor import DEFAULT_MODEL

REFERENCE = "weighted_contact_number"


def aims(scores: pd.DataFrame, predicted: float) -> Iterator[list[str]]:
    """Return the rows: measure, bound, goal, measured, whether the bound is met.

    Args:
        scores: Indexed by split, model, crystal and class of atoms; a column for each measure.
        predicted: Mean r on predicted structures.
    """

    def get(split: str, name: str, crystal: str = "on", atoms: str = "protein") -> float:
        return scores.at[(split, DEFAULT_MODEL, crystal, atoms), name]

    yield _row("`kinase`, r", get("kinase", "pearson_mean"), 0.86, goal=0.90)
    yield _row(
        "`kinase`, r, isolated", get("kinase", "pearson_mean", crystal="off"), 0.85, goal=0.87
    )
    yield _row("`test`, r", get("test", "pearson_mean"), 0.845, goal=0.88)
    yield _row("`test`, r, isolated", get("test", "pearson_mean", crystal="off"), 0.835, goal=0.86)
    noisy = get("test_noise", "pearson_mean", crystal="off")
    yield _row("`test`, r, isolated, 0.2 Å of coordinate noise", noisy, 0.825, goal=0.85)
    yield _row("AlphaFold models of kinases, r", predicted, 0.68, goal=0.72)
    pooled, oracle = (get("kinase", f"{name}pooled_pearson") for name in ("", "oracle_"))
    yield _row("`kinase`, pooled r (bound: oracle)", pooled, oracle, goal=0.80)
    error, oracle = (get("kinase", f"{name}pooled_mae") for name in ("", "oracle_"))
    yield _row("`kinase`, pooled MAE, Å² (bound: oracle)", error, most=oracle, goal=8.0, digits=1)
    for split in ("kinase", "test"):
        for atoms in ("protein", "ligand"):
            share = get(split, "coverage_90", atoms=atoms)
            yield _row(f"`{split}`, coverage, {atoms} atoms", share, 0.88, 0.92)
    for split in ("kinase", "test"):
        both, alone = (
            get(split, "pearson_mean", atoms=f"protein {words} ligand") for words in ("+", "beside")
        )
        yield _row(f"`{split}`, r of protein and ligand minus r of protein", both - alone, 0.0)
    for split in ("kinase", "test"):
        ratio = (
            get(split, "z_mae", atoms="ligand")
            / scores.at[(split, REFERENCE, "on", "ligand"), "z_mae"]
        )
        yield _row(f"`{split}`, MAE (z) of ligands relative to `{REFERENCE}`", ratio, most=0.8)


def _row(
    what: str,
    measured: float,
    least: float = -math.inf,
    most: float = math.inf,
    *,
    goal: float | None = None,
    digits: int = 3,
) -> list[str]:
    def shown(value: float) -> str:
        return f"{value:.{digits}f}".replace("-", "−")

    bounds = [
        f"{words} {shown(bound)}"
        for words, bound in (("at least", least), ("at most", most))
        if math.isfinite(bound)
    ]
    missed = max(least - measured, measured - most)
    return [
        what,
        ", ".join(bounds),
        "–" if goal is None else shown(goal),
        shown(measured),
        f"missed by {shown(missed)}" if missed > 0 else "reached",
    ]
