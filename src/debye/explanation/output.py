"""An explanation as text, as a table of values and as a structure that carries them."""

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
from debye.structure.annotate import annotated, refuse_to_replace
from debye.structure.write import cif_text

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
METHODS = {
    "occlusion": "B less the B predicted without it",
    "gradients": "integrated gradients",
}


def explanation_text(explanation: Explanation, top: int) -> str:
    """Return the table of the largest effects as aligned text, Å²; below 0: B is lower because of it."""
    found = explanation
    shown = found.contributions[:top]
    crystal = (
        "crystal" if found.crystal_problem is None else f"no crystal ({found.crystal_problem})"
    )
    resolution = f"{found.resolution:.2f} Å" if found.resolution else "resolution unknown"
    deposited = f", {found.b_deposited:.1f} in the file" if np.isfinite(found.b_deposited) else ""
    lines = [
        f"{found.name} of {Path(found.structure.source).name} · {found.model_name} · {crystal} · {resolution}",
        f"B {found.b_predicted:.1f} Å² predicted{deposited} · {_method(found)}",
        "",
        "effect, Å²  neighbor        kind                distance, Å  operation",
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
        lines.append(f"            and {len(rest)} more, of {max(map(abs, rest)):.2f} Å² at most")
    lines += ["", "effect, Å²  with level  what the model is told"]
    for row in found.features:
        level = "" if np.isnan(row.with_level) else f"{row.with_level:+.2f}"
        lines.append(f"{row.effect:>+10.2f}  {level:>10}  {row.name}")
    return "\n".join(lines)


def _method(explanation: Explanation) -> str:
    text = f"{explanation.method}: {METHODS[explanation.method]}"
    if explanation.baseline is None:
        return text
    return f"{text} from {explanation.baseline:.1f} Å², {explanation.remainder:+.2f} not attributed"


def write_table(explanation: Explanation, path: str | Path) -> Path:
    """Write all effects as comma-separated values, neighbors and features; the file appears whole.

    ``effect`` (Å²) holds the level of the structure as it is; ``effect_with_level`` is given for features
    under occlusion. ``distance`` is in Å; a missing value is an empty field.
    """
    path = Path(path)
    with replacing(path, StructureError) as part:
        _write_rows(explanation, part)
    return path


def _write_rows(explanation: Explanation, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        for item in explanation.contributions:
            residue = item.neighbor.residue
            writer.writerow(
                {
                    "kind": item.neighbor.kind.value,
                    "name": str(residue),
                    "chain": residue.chain,
                    "residue_number": residue.number,
                    "insertion_code": residue.insertion_code,
                    "residue_name": residue.name,
                    "operation": item.neighbor.operation,
                    "distance": f"{item.neighbor.distance:.2f}",
                    "effect": f"{item.effect:.3f}",
                }
            )
        for row in explanation.features:
            level = "" if np.isnan(row.with_level) else f"{row.with_level:.3f}"
            writer.writerow(
                {"kind": "feature", "name": row.name, "effect": f"{row.effect:.3f}",
                 "effect_with_level": level}
            )  # fmt: skip


def atom_effects(explanation: Explanation) -> NDArray[np.float32]:
    """Return the effect of each atom's residue, Å²; 0 for those that were not looked at.

    Symmetry mates are not in the file, so that their effects are only in the table and in the picture.
    """
    effect = np.zeros(len(explanation.structure), np.float32)
    for item in explanation.contributions:
        if item.neighbor.kind != Kind.MATE:
            effect[item.neighbor.rows] = item.effect
    return effect


def write_copy(explanation: Explanation, path: str | Path) -> Path:
    """Write an mmCIF copy of the structure whose B column holds the effects of the neighbors, Å².

    The first lines, comments, say so. All other atoms, the explained ones included, have 0.

    Raises:
        StructureError: the file would replace the input, or cannot be written.
    """
    target = Path(path)
    if target.suffix != ".cif":
        raise StructureError(
            str(target),
            problem="a copy with effects is an mmCIF file",
            remedy="Name it .cif: a PDB file has no room for a note that its B column is no B",
        )
    source = explanation.source_file
    effect = atom_effects(explanation)
    if source is None:
        text = cif_text(replace(explanation.structure, b_iso=effect, u_aniso=None)).encode()
    else:
        refuse_to_replace(source.path, target)
        by_record = np.zeros(len(source.structure), np.float32)
        by_record[explanation.structure.record] = effect
        text = annotated(source, by_record, "cif").data
    note = (
        f"# debye explain: B_iso_or_equiv is NO B-factor here. It is the effect (A^2) of the atom's residue on the\n"
        f"# B of {explanation.name} as {explanation.model_name} predicts it, by {explanation.method}; "
        "below 0: B is lower because of it.\n"
    )
    write_bytes(target, note.encode() + text, StructureError)
    return target
