"""Decisions → the files of a list: CSV tables, counts, and the record of the search."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any

from debye.dataset.search.recipes import SearchRecipe
from debye.dataset.search.select_entries import SearchDecision
from debye.files import write_json

COLUMNS: tuple[str, ...] = (
    "id", "split", "state", "cluster", "clusters", "representative", "group", "entity", "resolution", "r_free",
    "n_residues", "n_atoms", "released", "revised", "ligands", "additives", "pfam", "ec", "decision", "reason",
)  # fmt: skip
"""Of the list. ``cluster`` is that of the entry's longest protein, ``clusters`` those of all its proteins: entries that
share one are similar; ``representative`` is 1 for chosen entries; resolution in Å. Values are joined by semicolons."""


def count_decisions(
    decisions: Sequence[SearchDecision], clusters: Container[str] | None
) -> dict[str, int]:
    """Count candidates, decisions, states and groups.

    Args:
        decisions: On all candidates.
        clusters: Entities that are in a cluster; None if the recipe uses no clusters.
    """
    kinds = Counter(decision.decision for decision in decisions)
    chosen = [decision for decision in decisions if decision.decision == "chosen"]
    states = Counter(decision.state.state for decision in chosen)
    counts = {
        "candidates": len(decisions),
        "excluded": kinds["excluded"],
        "passed over": kinds["passed over"],
        "chosen": kinds["chosen"],
        "apo": states["apo"],
        "holo": states["holo"],
    }
    if clusters is not None:
        counts["clusters"] = len({decision.cluster for decision in chosen})
        entities = [decision.entity for decision in chosen if decision.entity]
        counts["in no cluster"] = sum(entity.id not in clusters for entity in entities)
    groups = Counter(decision.group for decision in chosen if decision.group)
    return counts | dict(sorted(groups.items()))


def count_reasons(decisions: Sequence[SearchDecision]) -> dict[str, int]:
    """Count the excluded entries by the first words of the reason."""
    excluded = [decision.reason for decision in decisions if decision.decision == "excluded"]
    return dict(Counter(" ".join(reason.split()[:2]).rstrip(":,") for reason in excluded))


def decision_table(decisions: Iterable[SearchDecision], recipe: SearchRecipe) -> str:
    """Return decisions as a CSV table with the columns :data:`COLUMNS`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_row(decision, recipe) for decision in decisions)
    return text.getvalue()


def _row(decision: SearchDecision, recipe: SearchRecipe) -> dict[str, str]:
    entry, entity, state = decision.metadata, decision.entity, decision.state
    is_chosen = decision.decision == "chosen"
    return {
        "id": entry.id,
        "split": recipe.split if is_chosen else "",
        "state": state.state if entry.proteins else "",
        "cluster": decision.cluster,
        "clusters": ";".join(decision.clusters),
        "representative": str(int(is_chosen)),
        "group": decision.group,
        "entity": entity.id if entity else "",
        "resolution": _number(entry.resolution),
        "r_free": _number(entry.r_free),
        "n_residues": _number(entry.n_residues),
        "n_atoms": _number(entry.n_atoms),
        "released": entry.released,
        "revised": entry.revised,
        "ligands": ";".join(state.ligands),
        "additives": ";".join(state.additives),
        "pfam": ";".join(entity.pfam) if entity else "",
        "ec": ";".join(entity.ec) if entity else "",
        "decision": decision.decision,
        "reason": decision.reason,
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def read_record(path: Path) -> dict[str, Any] | None:
    """Return ``recipe`` and ``date`` of the search that made a list, from its record; None if it has none.

    Updates of a store need them, so they are copied from the list to the mirror's index and to the store.
    """
    try:
        content = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return {"recipe": dict(content["recipe"]), "date": content["date"][:10]}
    except (OSError, ValueError, TypeError, KeyError):
        return None  # lists are often written by hand, and a file of that name may be anything


def copy_record(path: Path, index: Path) -> None:
    """Copy the record of a list to an index that is made of it; replaces or removes the record of another list."""
    record, target = read_record(path), index.with_suffix(".json")
    if record is not None:
        write_json(target, record, indent=2)
    elif read_record(index) is not None:
        target.unlink()
