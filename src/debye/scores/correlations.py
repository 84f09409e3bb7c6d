"""Correlations over items other than the structures of a split: pairs of crystals, predicted structures.

One long table: a row a predictor and item, with its Pearson r. Groups of items are averaged side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from debye.scores.bootstrap import BootstrapConfig, percentile_interval
from debye.scores.scores import RUN, by_run
from debye.scores.summary import weighted_mean
from debye.scores.tables import rows_where


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlations:
    """Several predictors on the same items."""

    name: str
    """Stem of the files."""
    title: str
    note: str
    """What one item is and how it is scored."""
    items: pd.DataFrame
    """Facts about each item, a row each; the index counts from 0."""
    clusters: tuple[str, ...]
    """Cluster of each item; items of one cluster are not independent."""
    groups: Mapping[str, NDArray[np.bool_]]
    """Name to (items,) mask; the first is the primary one."""
    scores: pd.DataFrame
    """Made by :func:`predictor_rows`: ``model``, ``crystal``, ``item`` (row of ``items``), ``pearson``, ``counted``."""
    bootstrap: BootstrapConfig

    def mean(self, model: str, crystal: str, rows: pd.DataFrame, group: str) -> dict[str, object]:
        """Average one predictor over one group; items without an r are counted and left out.

        Returns:
            ``model``, ``crystal``, ``group``, ``items``, ``undefined`` (items without an r), ``mean``,
            ``median``, and ``low`` and ``high`` of the mean: bootstrap over clusters.
        """
        item = rows["item"].to_numpy()
        chosen = self.groups[group][item] & rows["counted"].to_numpy()
        values = rows["pearson"].to_numpy(np.float64)[chosen]
        known = values[np.isfinite(values)]
        low = high = np.nan
        if self.bootstrap.repeats and len(known):
            names = [self.clusters[place] for place in item[chosen]]
            draws = self.bootstrap.draws(names, by_cluster=True)
            low, high = percentile_interval(weighted_mean(values, draws), self.bootstrap.level)
        return {
            "model": model,
            "crystal": crystal,
            "group": group,
            "items": len(values),
            "undefined": len(values) - len(known),
            "mean": float(known.mean()) if len(known) else np.nan,
            "median": float(np.median(known)) if len(known) else np.nan,
            "low": low,
            "high": high,
        }

    def means(self) -> pd.DataFrame:
        """Average every predictor over every group; columns as of :meth:`mean`."""
        found = [self.mean(*each, group) for each in by_run(self.scores) for group in self.groups]
        return pd.DataFrame(found)

    def table(self) -> pd.DataFrame:
        """Return a row a predictor and item: ``model``, ``crystal``, the facts of the item, ``pearson``."""
        rows = rows_where(self.scores, counted=True)
        facts = self.items.loc[rows["item"]].set_axis(rows.index)
        return pd.concat([pd.DataFrame(rows[RUN]), facts, rows["pearson"]], axis=1)

    def take(self, chosen: NDArray[np.bool_]) -> Correlations:
        """Return the same predictors on some of the items, e.g. those of one split."""
        rows = self.scores[chosen[self.scores["item"]]]
        return replace(
            self,
            items=self.items[chosen].reset_index(drop=True),
            clusters=tuple(np.array(self.clusters, object)[chosen]),
            groups={name: mask[chosen] for name, mask in self.groups.items()},
            scores=rows.assign(item=(np.cumsum(chosen) - 1)[rows["item"]]),
        )


def predictor_rows(
    model: str,
    crystal: str,
    pearson: NDArray[np.float64],
    counted: NDArray[np.bool_] | None = None,
) -> pd.DataFrame:
    """Return the rows of one predictor for :attr:`Correlations.scores`, one an item.

    Args:
        model: Its name.
        crystal: ``on``, ``off``, ``other`` for coordinates of another crystal, or empty.
        pearson: (items,) NaN if not defined.
        counted: (items,) whether it is scored on an item; None: on all. The other items are not undefined.
    """
    labels = {"model": model, "crystal": crystal, "item": np.arange(len(pearson))}
    return pd.DataFrame(
        labels | {"pearson": pearson, "counted": True if counted is None else counted}
    )
