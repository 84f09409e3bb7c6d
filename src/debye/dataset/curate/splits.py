"""Who goes where: whole groups of linked entries are drawn, then the best entries of each are taken."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from debye.dataset.curate.build_recipe import SplitConfig
from debye.dataset.curate.scan import Candidate

TRAIN, VALIDATION, TEST = "train", "val", "test"


def is_fit_for_evaluation(entry: Candidate, config: SplitConfig) -> bool:
    """Tell whether an entry may be in validation or test."""
    limit = config.evaluation_resolution
    resolved = limit is None or (entry.resolution is not None and entry.resolution <= limit)
    whole = not config.evaluation_crystal or (entry.has_crystal and entry.has_header)
    return resolved and whole


def draw_groups(
    entries: Iterable[Candidate], groups: Mapping[str, str], config: SplitConfig, seed: int
) -> dict[str, str]:
    """Return the split of each group.

    Groups that have an entry fit for evaluation are put in the order of a hash of seed and name; the first of them
    are validation, the next test. So the draw of one group depends little on which others there are.
    """
    fit: dict[str, bool] = {}
    size: dict[str, int] = {}
    for entry in entries:
        group = groups[entry.id]
        size[group] = size.get(group, 0) + 1
        fit[group] = fit.get(group, False) or is_fit_for_evaluation(entry, config)
    limit = config.largest_evaluation_group
    open_to_all = [name for name in fit if fit[name] and (limit is None or size[name] <= limit)]
    order = sorted(open_to_all, key=lambda name: (draw(seed, name), name))
    validation, test = (round(share * len(order)) for share in (config.validation, config.test))
    drawn = dict.fromkeys(fit, TRAIN)
    drawn |= dict.fromkeys(order[:validation], VALIDATION)
    return drawn | dict.fromkeys(order[validation : validation + test], TEST)


def draw(seed: int, name: str) -> float:
    """Return a number from 0 to 1 that depends on seed and name only.

    Example:
        >>> (
        ...     round(draw(1, "1abc"), 3) == round(draw(1, "1abc"), 3),
        ...     draw(1, "1abc") == draw(2, "1abc"),
        ... )
        (True, False)
    """
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def best_first(entries: Iterable[Candidate]) -> list[Candidate]:
    """Sort entries: stated resolution before none, better before worse, then by id."""
    return sorted(
        entries, key=lambda entry: (entry.resolution is None, entry.resolution or 0.0, entry.id)
    )


def limit_entries(
    entries: Sequence[Candidate],
    split: Mapping[str, str],
    groups: Mapping[str, str],
    clusters: Mapping[str, Sequence[str]],
    config: SplitConfig,
) -> dict[str, str]:
    """Return why entries of a drawn split are left out of it, by id.

    Validation and test take a number of entries a group, training a number of entries a cluster (that of the longest
    chain). The best resolved are taken.
    """
    left_out: dict[str, str] = {}
    taken: dict[tuple[str, str], int] = {}
    for entry in best_first(entries):
        name = split[entry.id]
        if name in (VALIDATION, TEST):
            if not is_fit_for_evaluation(entry, config):
                left_out[entry.id] = f"not fit for {name}: resolution, crystal or header"
                continue
            key, most = (name, groups[entry.id]), config.evaluation_per_group
        else:
            key, most = (name, clusters[entry.id][0]), config.train_per_cluster
        taken[key] = taken.get(key, 0) + 1
        if most is not None and taken[key] > most:
            left_out[entry.id] = f"{name} has {most} of its cluster"
    return left_out
