"""Decisions → the files of a list: CSV tables, counts, and how they are written."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from debye.dataset.search.choose import Decision
from debye.dataset.search.recipes import SearchRecipe
from debye.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRow:
    """A line of the list; lists of values are separated by semicolons, as in other columns of an index."""

    id: str
    split: str
    state: str
    """apo or holo."""
    cluster: str
    clusters: str
    """Of all its proteins: two entries that share one are similar."""
    representative: str
    """1 for what the recipe chose."""
    group: str
    entity: str
    resolution: str
    """Å."""
    r_free: str
    n_residues: str
    """Polymer residues that are built."""
    n_atoms: str
    released: str
    revised: str
    ligands: str
    """What makes it holo."""
    additives: str
    pfam: str
    ec: str
    decision: str
    """chosen, passed over, or excluded."""
    reason: str


def count_decisions(
    decisions: Sequence[Decision], clusters: Container[str] | None
) -> dict[str, int]:
    """Count candidates, decisions, states and groups.

    Args:
        decisions: On all candidates.
        clusters: Entities that are in a cluster; None where there are no clusters.
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
        lone = [
            decision
            for decision in chosen
            if decision.entity and decision.entity.id not in clusters
        ]
        counts["clusters"] = len({decision.cluster for decision in chosen})
        counts["in no cluster"] = len(lone)
    groups = Counter(decision.group for decision in chosen if decision.group)
    return counts | dict(sorted(groups.items()))


def count_reasons(decisions: Sequence[Decision]) -> dict[str, int]:
    """Count the excluded by the first words of the reason."""
    excluded = [decision.reason for decision in decisions if decision.decision == "excluded"]
    return dict(Counter(" ".join(reason.split()[:2]).rstrip(":,") for reason in excluded))


def decision_table(decisions: Iterable[Decision], recipe: SearchRecipe) -> str:
    """Return decisions as a CSV table with the columns of :class:`ListRow`."""
    text = io.StringIO()
    names = [field.name for field in fields(ListRow)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for decision in decisions:
        row = _row(decision, recipe)
        writer.writerow([getattr(row, name) for name in names])
    return text.getvalue()


def _row(decision: Decision, recipe: SearchRecipe) -> ListRow:
    facts, entity, state = decision.facts, decision.entity, decision.state
    chosen = decision.decision == "chosen"
    judged = bool(facts.proteins)
    return ListRow(
        id=facts.id,
        split=recipe.split if chosen else "",
        state=state.state if judged else "",
        cluster=decision.cluster,
        clusters=";".join(decision.clusters),
        representative="1" if chosen else "0",
        group=decision.group,
        entity=entity.id if entity else "",
        resolution=_number(facts.resolution),
        r_free=_number(facts.r_free),
        n_residues=_number(facts.n_residues),
        n_atoms=_number(facts.n_atoms),
        released=facts.released,
        revised=facts.revised,
        ligands=";".join(state.ligands),
        additives=";".join(state.additives),
        pfam=";".join(entity.pfam) if entity else "",
        ec=";".join(entity.ec) if entity else "",
        decision=decision.decision,
        reason=decision.reason,
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def write_whole(path: Path, text: str) -> str:
    """Write a file as a whole or not at all; returns its SHA-256."""
    content = text.encode()
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)
    return hashlib.sha256(content).hexdigest()


def make_folder(folder: Path) -> None:
    """Make a folder, or say why not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _cannot_write(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        str(path),
        problem=f"cannot be written ({error.strerror or error})",
        remedy="Choose another output or free some space",
    )
