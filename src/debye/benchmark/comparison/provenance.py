"""What a report says of itself: what made it, on which data, and what it took."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from debye.benchmark.comparison.compare import SUBSET_FILE
from debye.benchmark.comparison.results import DONE, Row
from debye.benchmark.comparison.schedule import duration
from debye.scores.evaluation import BootstrapConfig


def provenance(
    plan: dict[str, Any], rows: Sequence[Row], bootstrap: BootstrapConfig
) -> dict[str, str]:
    """Return what is needed to make the report again, and what it took."""
    done = [row for row in rows if row["status"] == DONE]
    runs = list({(row["contender"], row["kind"], row["run"]): row for row in done}.values())
    times = [pair for row in runs for pair in _attempts(row)]
    scored = ", ".join(f"{count} of {name}" for name, count in plan["scored"].items())
    subset = (
        f"{plan['train_entries']} of {plan['train_split_entries']} entries of {plan['train_split']}, the "
        f"same for all models, sequence clusters drawn with seed {plan['draw_seed']} ({SUBSET_FILE})"
        if plan["is_subset"]
        else f"all {plan['train_split_entries']} entries of {plan['train_split']}"
    )
    if plan["left_out"]:
        subset += f"; {plan['left_out']} that some recipe filters out were not drawn from"
    selection = f"{plan['val_sample']} entries of the validation split"
    if plan["val_sample_scored"]:
        selection += f", {plan['val_sample_scored']} of which are scored too"
    facts = {
        "command": f"`{plan['command']}`",
        "debye": _code(runs),
        "data": f"`{plan['data']}`, digest `{plan['digest']}`",
        "trained on": subset,
        "searches, and epochs where a recipe validates more than once, chosen on": selection,
        "scored": scored + (", drawn with the same seed" if plan["limit"] else ""),
        "runs": f"{len(runs)} finished; {plan['seeds']} seeds of each recipe; each trial of a search has "
        f"{plan['share']:.0%} of the budget",
        "budget": _budget(runs),
        "hardware": " and ".join(sorted({_hardware(row, plan) for row in runs})),
        "time": _time(times, plan.get("preparation")),
        "bootstrap": f"{bootstrap.repeats} draws, seed {bootstrap.seed}",
    }
    if plan["settings"]:
        facts["changed in every trained recipe"] = ", ".join(
            f"`{text}`" for text in plan["settings"]
        )
    if plan["pairs"]:
        facts["pairs of crystals"] = f"`{plan['pairs']}`"
    if plan.get("predicted"):
        facts["predicted structures"] = (
            "{structures} in `{folder}`, {matches} matches with crystals, digest `{digest}`".format(
                **plan["predicted"]
            )
        )
    return facts


def _code(runs: Sequence[Row]) -> str:
    """Return versions and digests of the source files, and how many runs each where they differ."""
    versions = " and ".join(sorted({row["version"] for row in runs}))
    states = Counter(row["source"] for row in runs)
    if len(states) == 1:
        (digest,) = states
        return (
            f"{versions}, source files `{digest}`"
            if digest
            else f"{versions}; of unknown source files"
        )
    counted = ", ".join(
        f"{f'`{digest}`' if digest else 'unknown'} ({count} runs)"
        for digest, count in sorted(states.items(), key=lambda state: state[0] or "")
    )
    return f"{versions}; the runs were made by different states of the source files: {counted}"


def _hardware(run: Row, plan: dict[str, Any]) -> str:
    """Return what a run was computed on; earlier versions kept only the last call's jobs and device."""
    jobs = int(run["jobs"] or plan["jobs"])
    device = run["device"] or plan["device"]
    return f"{run['hardware']}; {jobs} runs at a time, each in one thread, on {device}"


def _attempts(run: Row) -> list[tuple[float, float]]:
    """Return start and duration of each attempt of a run, s."""
    if run["attempts"] is None:  # an earlier version knew the last one only
        return [(float(run["started"]), float(run["seconds"]))]
    return [(started, seconds) for started, seconds in json.loads(run["attempts"])]


def _time(
    runs: Sequence[tuple[float, float]], preparation: Sequence[tuple[float, float]] | None
) -> str:
    """Return what a comparison took by the clock, what its runs took, and what is not in it."""
    before = [(started, seconds) for started, seconds in preparation or ()]
    text = (
        f"{duration(busy_seconds([*before, *runs]))} by the clock, "
        f"{duration(sum(seconds for _, seconds in runs))} of runs"
    )
    if preparation is None:
        return text + "; graphs built beforehand, and runs that were killed, are not in it"
    return text + f", {duration(sum(seconds for _, seconds in before))} of graphs built beforehand"


def _budget(runs: Sequence[Row]) -> str:
    atoms = [row["train_atoms"] / 1e6 for row in runs if row["kind"] == "seed"]
    if not atoms:
        return "nothing was trained"
    return f"{min(atoms):.2f} to {max(atoms):.2f} million atoms seen by each trained run"


def busy_seconds(times: Sequence[tuple[float, float]]) -> float:
    """Return how long at least one run was going on: a comparison may have been stopped in between.

    Args:
        times: Start and duration of each run, s.

    Example:
        >>> busy_seconds([(0.0, 10.0), (5.0, 10.0), (100.0, 1.0)])
        16.0
    """
    total, end = 0.0, float("-inf")
    for started, seconds in sorted(times):
        total += max(0.0, started + seconds - max(started, end))
        end = max(end, started + seconds)
    return total
