"""Checkpoint × structure × residue → Explanation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from debye.errors import ConfigError
from debye.explanation.case import Case, make_case
from debye.explanation.explanation import Explanation, Method
from debye.explanation.gradients import integrate_gradients, sum_attribution
from debye.explanation.occlusion import hide_features, occlude_neighbors
from debye.explanation.surroundings import find_neighbors
from debye.prediction.inputs import find_file
from debye.prediction.predictor import DEFAULT_MODEL, Predictor
from debye.structure.read import read_source

if TYPE_CHECKING:
    from debye.prediction.prepare import CrystalUse

REACH = 8.0
"""Å. Residues with an atom within this distance of an explained atom are neighbors."""


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

    Args:
        path_or_id: See :func:`debye.predict`.
        residue: ``CHAIN:NUMBER``, see :func:`debye.explanation.residues.find_residue`.
        atom: Name of the only atom of interest; None: the mean of the residue's atoms.
        model: Released model by name, or the path of a checkpoint.
        crystal: See :func:`debye.predict`.
        resolution: Å; None: that of the file.
        method: ``occlusion`` predicts again without each neighbor; ``gradients`` integrates gradients.
        reach: Distance within which neighbors are considered, Å.
        mirror: Folder of entries that need not be downloaded.
        workers: Threads of ``occlusion``.

    Raises:
        StructureError: the input, or the residue in it, cannot be found or used.
        CheckpointError: no such model, or one that cannot be explained this way.
    """
    source = read_source(find_file(path_or_id, mirror))
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
        remedy = f"Choose from {', '.join(get_args(Method))}"
        raise ConfigError("explain", f"method {method!r} does not exist", remedy)
    if not reach > 0:
        raise ConfigError("explain", f"a reach of {reach:g} Å", "Give more than 0")
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
        target=case.target,
        predicted=case.predicted,
        observed=case.observed,
        contributions=tuple(sorted(found, key=lambda item: -abs(item.effect))),
        features=tuple(features),
        baseline=baseline,
        remainder=remainder,
    )
