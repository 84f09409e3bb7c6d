"""Checkpoint × structure × residue → Explanation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from debye.errors import ConfigError, StructureError
from debye.explanation.case import Case, make_case
from debye.explanation.explanation import Explanation, Method
from debye.explanation.gradients import integrate_gradients, sum_attribution
from debye.explanation.occlusion import hide_features, occlude_neighbors
from debye.explanation.surroundings import find_neighbors
from debye.prediction.inputs import expand_inputs, local_file
from debye.prediction.predictor import DEFAULT_MODEL, Predictor
from debye.structure.read import read_source

if TYPE_CHECKING:
    from debye.prediction.prepare import CrystalUse

REACH = 8.0
"""Å. Residues with an atom this near to one of the explained atoms are looked at one by one."""


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
    """Say which neighbors, symmetry mates and features drive the predicted B of a residue.

    Args:
        path_or_id: See :func:`debye.predict`.
        residue: ``CHAIN:NUMBER``, see :func:`debye.explanation.residues.find_residue`.
        atom: Name of the only atom of interest; None: the mean of the residue's atoms.
        model: Released model by name, or the path of a checkpoint.
        crystal: See :func:`debye.predict`.
        resolution: Å; None: what the file says.
        method: ``occlusion`` predicts again without each neighbor, ``gradients`` integrates gradients.
        reach: Å; neighbors farther than this are not looked at.
        mirror: Folder in which identifiers are looked up before they are downloaded.
        workers: Threads of ``occlusion``.

    Raises:
        StructureError: the input, or the residue in it, cannot be found or used.
        CheckpointError: no such model, or one that cannot be explained this way.
    """
    inputs, failures = expand_inputs([path_or_id])
    if failures:
        raise failures[0]
    if len(inputs) > 1:
        raise StructureError(
            str(path_or_id),
            problem=f"a folder with {len(inputs)} structures",
            remedy="Give one file: a residue is explained within its structure",
        )
    source = read_source(local_file(inputs[0], mirror))
    case = make_case(
        Predictor.from_checkpoint(model),
        source.structure,
        residue,
        atom=atom,
        crystal=crystal,
        resolution=resolution,
        source_file=source,
    )
    return explain_case(case, method=method, reach=reach, workers=workers)


def explain_case(
    case: Case, *, method: Method = "occlusion", reach: float = REACH, workers: int = 1
) -> Explanation:
    """Explain a prediction; arguments as for :func:`explain`."""
    if method not in get_args(Method):
        raise ConfigError(
            "explain",
            problem=f"method={method!r} is no choice",
            remedy=f"Choose from {', '.join(get_args(Method))}",
        )
    if not reach > 0:
        raise ConfigError("explain", problem=f"a reach of {reach:g} Å", remedy="Give more than 0")
    neighbors = find_neighbors(case.structure, case.rows, reach, in_crystal=case.in_crystal)
    baseline, remainder = None, 0.0
    if method == "gradients":
        attribution = integrate_gradients(case, neighbors)
        found, features = sum_attribution(case, attribution, neighbors)
        baseline, remainder = attribution.baseline, attribution.remainder
    else:
        found = occlude_neighbors(case, neighbors, workers=workers)
        features = hide_features(case, neighbors)
    return Explanation(
        structure=case.structure,
        source_file=case.prepared.source_file,
        residue=case.residue,
        atom=case.atom,
        rows=case.rows,
        model_name=case.model_name,
        method=method,
        reach=reach,
        crystal_problem=case.prepared.crystal_problem,
        resolution=case.prepared.resolution,
        b_predicted=case.b_predicted,
        b_deposited=case.b_deposited,
        contributions=tuple(sorted(found, key=lambda item: -abs(item.effect))),
        features=tuple(features),
        baseline=baseline,
        remainder=remainder,
    )
