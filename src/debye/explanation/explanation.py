"""Checkpoint × structure × residue → Explanation, as text, table, and structure with effects in its B column."""

from __future__ import annotations

import re
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from debye.errors import ConfigError, StructureError
from debye.explanation.case import Case, Contribution, FeatureEffect, make_case
from debye.explanation.gradients import integrate_gradients, sum_attribution
from debye.explanation.neighbors import Kind, find_neighbors
from debye.explanation.occlusion import hide_features, occlude_neighbors
from debye.files import write_bytes, write_text
from debye.prediction.inputs import find_file, stem_of
from debye.prediction.prediction import conditions_text
from debye.prediction.predictor import DEFAULT_MODEL, Predictor
from debye.structure.read import read_source
from debye.structure.write import annotated, cif_text, refuse_to_replace

if TYPE_CHECKING:
    from debye.prediction.prepare import CrystalUse

Method = Literal["occlusion", "gradients"]
REACH = 8.0
"""Å. Residues with an atom within this distance of an explained atom are neighbors."""
COLUMNS = (
    "kind name chain residue_number insertion_code residue_name operation distance effect effect_with_level"
).split()


@dataclass(frozen=True, slots=True)
class Explanation:
    """Effects of neighbors, symmetry mates and features on the value of one residue or atom."""

    case: Case
    method: Method
    reach: float
    """Å; farther neighbors are not considered."""
    contributions: tuple[Contribution, ...]
    """The largest absolute value first."""
    features: tuple[FeatureEffect, ...]
    baseline: float | None = None
    """The value at the start of the path of ``gradients``; None: ``occlusion``."""
    remainder: float = 0.0
    """The error of the integral of ``gradients``, attributed to no input."""

    @property
    def values_text(self) -> str:
        """Predicted and observed value, e.g. ``B 33.8 Å² predicted, 16.7 in the file``."""
        target, observed = self.case.target, self.case.observed
        digits = max(1, target.decimals - 1)
        text = f"{target.title} {self.case.predicted:.{digits}f} {target.unit}".rstrip()
        found = f", {observed:.{digits}f} in the file" if np.isfinite(observed) else ""
        return f"{text} predicted{found}"

    @property
    def file_stem(self) -> str:
        """Name for files: structure, residue and method, e.g. ``1abc_A_LYS33_occlusion``."""
        place = re.sub(r"[^\w.-]+", "_", self.case.name)
        return f"{stem_of(Path(self.case.structure.source).name)}_{place}_{self.method}"


def explain(
    path_or_id: str | Path,
    residue: str,
    *,
    atom: str | None = None,
    model: str | Path = DEFAULT_MODEL,
    crystal: CrystalUse = "auto",
    resolution: float | None = None,
    method: Method = "occlusion",
    reach: float = REACH,
    mirror: Path | None = None,
    workers: int = 1,
) -> Explanation:
    """Return the effects of neighbors, symmetry mates and features on the predicted B of a residue.

    Input, model, crystal, resolution and mirror are those of :func:`debye.predict`.

    Args:
        path_or_id: The structure.
        residue: ``CHAIN:NUMBER``, see :func:`debye.explanation.neighbors.find_residue`.
        atom: Name of the only atom of interest; None: the mean of the residue's atoms.
        method: ``occlusion`` predicts again without each neighbor; ``gradients`` integrates gradients.
        reach: Distance within which neighbors are considered, Å.
        workers: Threads of ``occlusion``.

    Raises:
        StructureError: the input, or the residue in it, cannot be found or used.
        CheckpointError: no such model, or one that cannot be explained this way.
    """
    source = read_source(find_file(path_or_id, mirror))
    given = {"atom": atom, "crystal": crystal, "resolution": resolution, "source_file": source}
    case = make_case(Predictor.from_checkpoint(model), source.structure, residue, **given)
    return explain_case(case, method=method, reach=reach, workers=workers)


def explain_case(
    case: Case, *, method: Method = "occlusion", reach: float = REACH, workers: int = 1
) -> Explanation:
    """Explain a prediction; arguments as for :func:`explain`."""
    if method not in get_args(Method):
        remedy = f"Choose from {', '.join(get_args(Method))}"
        raise ConfigError("explain", f"method {method!r} does not exist", remedy)
    if not reach > 0:
        raise ConfigError("explain", f"a reach of {reach:g} Å", "Give more than 0")
    neighbors = find_neighbors(case.structure, case.rows, reach, in_crystal=case.in_crystal)
    path = ()
    if method == "gradients":
        attribution = integrate_gradients(case, neighbors)
        found, features = sum_attribution(case, attribution, neighbors)
        path = attribution.baseline, attribution.remainder
    else:
        found = occlude_neighbors(case, neighbors, workers=workers)
        features = hide_features(case, neighbors)
    found = sorted(found, key=lambda item: -abs(item.effect))
    return Explanation(case, method, reach, tuple(found), tuple(features), *path)


def explanation_text(explanation: Explanation, top: int) -> str:
    """Return the largest effects as aligned text; an effect below 0 lowers the value."""
    found, case, target = explanation, explanation.case, explanation.case.target
    shown, rest = found.contributions[:top], found.contributions[top:]
    conditions = conditions_text(case.prepared.crystal_problem, case.prepared.resolution)
    method = f"{target.title} minus the {target.title} predicted without it"
    if found.baseline is not None:
        start = f"{found.baseline:.1f} {target.unit}".rstrip()
        method = f"integrated gradients from {start}, {found.remainder:+.2f} not attributed"
    head = f"effect, {target.unit}" if target.unit else "effect"
    lines = [
        f"{case.name} of {Path(case.structure.source).name} · {case.model_name} · {conditions}",
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
    if rest:
        largest = f"{max(abs(item.effect) for item in rest):.2f} {target.unit}".rstrip()
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
    rows: list[tuple[object, ...]] = []
    for item in explanation.contributions:
        near, residue = item.neighbor, item.neighbor.residue
        place = astuple(residue)[1:5]
        numbers = (f"{near.distance:.2f}", f"{item.effect:.3f}", None)
        rows.append((near.kind.value, residue, *place, near.operation, *numbers))
    for row in explanation.features:
        level = None if np.isnan(row.with_level) else f"{row.with_level:.3f}"
        rows.append(("feature", row.name, *[None] * 6, f"{row.effect:.3f}", level))
    table = pd.DataFrame(rows, columns=COLUMNS, dtype=object)
    write_text(Path(path), table.to_csv(index=False, lineterminator="\n"), StructureError)
    return Path(path)


def atom_effects(explanation: Explanation) -> NDArray[np.float32]:
    """Return the effect of each atom's residue; 0 if it is not a neighbor.

    Symmetry mates are not in the file: their effects are only in the table and in the picture.
    """
    effect = np.zeros(len(explanation.case.structure), np.float32)
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
    case, target = explanation.case, Path(path)
    if target.suffix != ".cif":
        remedy = "Name it .cif: a PDB file has no place for a note that its B column is not B"
        raise StructureError(str(target), "a copy with effects is an mmCIF file", remedy)
    effect, source = atom_effects(explanation), case.prepared.source_file
    unit = case.target.unit.replace("Å", "A").replace("²", "^2") or "no unit"
    title = case.target.title
    if source is None:
        text = cif_text(replace(case.structure, b_iso=effect, u_aniso=None)).encode()
    else:
        refuse_to_replace(source.path, target)
        by_record = np.zeros(len(source.structure), np.float32)
        by_record[case.structure.record] = effect
        text = annotated(source, by_record, "cif").data
    note = (
        f"# debye explain: B_iso_or_equiv is NO B-factor here. It is the effect ({unit}) of the atom's residue on the\n"
        f"# {title} of {case.name} as {case.model_name} predicts it, by {explanation.method}; "
        f"below 0: {title} is lower because of it.\n"
    )
    write_bytes(target, note.encode() + text, StructureError)
    return target
