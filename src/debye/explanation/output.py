"""An explanation as text, as a table, and as a structure with the effects in its B column."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from debye.errors import StructureError
from debye.explanation.surroundings import Kind
from debye.files import replacing, write_bytes
from debye.prediction.prediction import conditions_text
from debye.structure.write import annotated, cif_text, refuse_to_replace

if TYPE_CHECKING:
    from debye.explanation.explanation import Explanation

COLUMNS = (
    "kind",
    "name",
    "chain",
    "residue_number",
    "insertion_code",
    "residue_name",
    "operation",
    "distance",
    "effect",
    "effect_with_level",
)


def explanation_text(explanation: Explanation, top: int) -> str:
    """Return the largest effects as aligned text; an effect below 0 lowers the value."""
    found, target = explanation, explanation.target
    shown = found.contributions[:top]
    conditions = conditions_text(found.crystal_problem, found.resolution)
    method = f"{target.title} minus the {target.title} predicted without it"
    if found.baseline is not None:
        start = f"{found.baseline:.1f} {target.unit}".rstrip()
        method = f"integrated gradients from {start}, {found.remainder:+.2f} not attributed"
    head = f"effect, {target.unit}" if target.unit else "effect"
    lines = [
        f"{found.name} of {Path(found.structure.source).name} · {found.model_name} · {conditions}",
        f"{found.values_text} · {found.method}: {method}",
        "",
        f"{head:>10}  neighbor        kind                distance, Å  operation",
    ]
    for item in shown:
        near = item.neighbor
        lines.append(
            f"{item.effect:>+10.2f}  {near.residue!s:<14}  {near.kind.value:<18}"
            f"{near.distance:>13.1f}  {near.operation}".rstrip()
        )
    if not shown:
        lines.append(f"     (none within {found.reach:g} Å)")
    if len(shown) < len(found.contributions):
        rest = [item.effect for item in found.contributions[len(shown) :]]
        largest = f"{max(map(abs, rest)):.2f} {target.unit}".rstrip()
        lines.append(f"            and {len(rest)} more, of {largest} at most")
    lines += ["", f"{head:>10}  with level  input"]
    for row in found.features:
        level = "" if np.isnan(row.with_level) else f"{row.with_level:+.2f}"
        lines.append(f"{row.effect:>+10.2f}  {level:>10}  {row.name}")
    return "\n".join(lines)


def write_table(explanation: Explanation, path: str | Path) -> Path:
    """Write the effects of all neighbors and features as comma-separated values.

    ``effect``, in the unit of the target, keeps the mean and spread of the values of the structure;
    ``effect_with_level`` is given for features under occlusion. ``distance`` is in Å; a missing value is an
    empty field.
    """
    rows: list[dict[str, object]] = [
        {
            "kind": near.kind.value,
            "name": near.residue,
            "chain": near.residue.chain,
            "residue_number": near.residue.number,
            "insertion_code": near.residue.insertion_code,
            "residue_name": near.residue.name,
            "operation": near.operation,
            "distance": f"{near.distance:.2f}",
            "effect": f"{item.effect:.3f}",
        }
        for item in explanation.contributions
        for near in [item.neighbor]
    ]
    for row in explanation.features:
        level = "" if np.isnan(row.with_level) else f"{row.with_level:.3f}"
        effects = {"effect": f"{row.effect:.3f}", "effect_with_level": level}
        rows.append({"kind": "feature", "name": row.name, **effects})
    target = Path(path)
    with (
        replacing(target, StructureError) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, list[str](COLUMNS), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return target


def atom_effects(explanation: Explanation) -> NDArray[np.float32]:
    """Return the effect of each atom's residue; 0 if it is not a neighbor.

    Symmetry mates are not in the file: their effects are only in the table and in the picture.
    """
    effect = np.zeros(len(explanation.structure), np.float32)
    for item in explanation.contributions:
        if item.neighbor.kind != Kind.MATE:
            effect[item.neighbor.rows] = item.effect
    return effect


def write_copy(explanation: Explanation, path: str | Path) -> Path:
    """Write an mmCIF copy of the structure with the effects of the neighbors in its B column.

    Comments in the first lines say so. All other atoms, the explained ones included, have 0.

    Raises:
        StructureError: the file would replace the input, or cannot be written.
    """
    target, source = Path(path), explanation.source_file
    if target.suffix != ".cif":
        remedy = "Name it .cif: a PDB file has no place for a note that its B column is not B"
        raise StructureError(str(target), "a copy with effects is an mmCIF file", remedy)
    effect = atom_effects(explanation)
    unit = explanation.target.unit.replace("Å", "A").replace("²", "^2") or "no unit"
    title = explanation.target.title
    if source is None:
        text = cif_text(replace(explanation.structure, b_iso=effect, u_aniso=None)).encode()
    else:
        refuse_to_replace(source.path, target)
        by_record = np.zeros(len(source.structure), np.float32)
        by_record[explanation.structure.record] = effect
        text = annotated(source, by_record, "cif").data
    note = (
        f"# debye explain: B_iso_or_equiv is NO B-factor here. It is the effect ({unit}) of the atom's residue on the\n"
        f"# {title} of {explanation.name} as {explanation.model_name} predicts it, by {explanation.method}; "
        f"below 0: {title} is lower because of it.\n"
    )
    write_bytes(target, note.encode() + text, StructureError)
    return target
