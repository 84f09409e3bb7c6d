"""Checkpoints: models as safetensors files with all settings in the header."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from debye.errors import CheckpointError
from debye.files import replacing
from debye.models.base import AtomModel
from debye.models.catalog import CATALOG, build_model, find_model
from debye.targets.catalog import find_targets
from debye.targets.target import Target
from debye.version import library_version

FORMAT = 2
OLD_HEADS = {
    "atom_readout.": "atom.",
    "readout.": "atom.",
    "residue_readout.": "residue.",
    "level.": "structure.",
}
"""Prefixes of the weights of format 1, which had one target, and their names within its head."""
WEIGHTS = Path(__file__).parent.parent / "weights"


class CheckpointHeader(BaseModel, frozen=True, extra="forbid"):
    """Everything about a checkpoint except its weights."""

    format: int = FORMAT
    name: str
    """What the checkpoint is called, e.g. ``meta_gnn``."""
    model: str
    """Row of :data:`debye.models.catalog.CATALOG`."""
    config: dict[str, Any]
    """Settings of the model, the graphs that it reads included."""
    targets: tuple[str, ...] = ("b_factor",)
    """Rows of the catalog of targets, in the order of the model's heads."""
    scales: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """Mean and standard deviation of the training labels, for targets that are standardized by them."""
    calibration: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """For each target the quantiles that turn expected errors into bounds, see :mod:`debye.prediction.calibration`."""
    training: dict[str, Any] = Field(default_factory=dict)
    """Recipe, data digest, seed, epochs and validation figures of the run."""
    version: str = Field(default_factory=library_version)
    """debye that wrote the file."""

    def find_targets(self) -> tuple[Target, ...]:
        """Return the targets of the model, scaled as in its training.

        Raises:
            ConfigError: this version has no such target.
        """
        return tuple(
            target.scaled(*self.scales[target.name]) if target.name in self.scales else target
            for target in find_targets(self.targets)
        )


def trained_splits(header: CheckpointHeader) -> frozenset[str]:
    """Return the splits that a checkpoint and its ancestors were trained on, rehearsals included.

    ``train`` if a learned model does not state it; none for models without training.

    Example:
        >>> header = CheckpointHeader(name="a", model="waller", config={})
        >>> sorted(trained_splits(header))
        ['train']
    """
    card = CATALOG.get(header.model)
    if not header.training and card is not None and not card.learned:
        return frozenset()
    training, splits = header.training, set()
    while True:
        recipe = training.get("recipe", {})
        splits.add(recipe.get("data", {}).get("split", "train"))
        if recipe.get("rehearsal"):
            splits.add(recipe["rehearsal"].get("split", "train"))
        if not training.get("parent"):
            return frozenset(splits)
        training = training["parent"].get("training", {})


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model in evaluation mode, with its header."""

    model: AtomModel
    header: CheckpointHeader
    source: str
    """File that it came from."""


def released_checkpoints() -> dict[str, Path]:
    """Return the checkpoints of the package, by name."""
    return {path.stem: path for path in sorted(WEIGHTS.glob("*.safetensors"))}


def find_checkpoint(name_or_path: str | Path) -> Path:
    """Return the file of a released name or of a path.

    Raises:
        CheckpointError: neither a released name nor a file.
    """
    released = released_checkpoints()
    if str(name_or_path) in released:
        return released[str(name_or_path)]
    path = Path(name_or_path)
    if path.is_file():
        return path
    raise CheckpointError(
        str(name_or_path),
        "neither a released model nor a file",
        f"Choose from {', '.join(released) or 'no released models'}, or give the path "
        "of a .safetensors file",
    )


def checkpoint_digest(name_or_path: str | Path) -> str:
    """Return the SHA-256 of a checkpoint's file."""
    return hashlib.sha256(find_checkpoint(name_or_path).read_bytes()).hexdigest()


def save_checkpoint(path: Path, model: AtomModel, header: CheckpointHeader) -> None:
    """Write weights and header; the file appears whole or not at all."""
    from safetensors.torch import save_file

    header = header.model_copy(update={"format": FORMAT})
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with replacing(path) as partial:
        save_file(state, partial, metadata={"debye": header.model_dump_json()})


def read_header(name_or_path: str | Path) -> CheckpointHeader:
    """Read only the header of a checkpoint.

    Raises:
        CheckpointError: not a checkpoint of this package, or of a newer format.
    """
    from safetensors import SafetensorError, safe_open

    path = str(find_checkpoint(name_or_path))
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get("debye")
    except SafetensorError as error:
        problem = f"not a safetensors file ({error})"
        raise CheckpointError(path, problem, "Give a debye checkpoint") from error
    if text is None:
        problem = "safetensors file without a debye header"
        raise CheckpointError(path, problem, "Give a checkpoint written by `debye train`")
    try:
        content = json.loads(text)
        found = content.get("format")
        if found in (1, FORMAT):
            return CheckpointHeader.model_validate(_upgraded(content) if found == 1 else content)
    except (ValueError, AttributeError) as error:
        raise CheckpointError(path, f"broken header ({error})", "Get the file again") from error
    raise CheckpointError(
        path,
        f"checkpoint format {found}, this version reads 1 to {FORMAT}",
        "Install the version of debye that wrote it, or train again",
    )


def _upgraded(content: dict[str, Any]) -> dict[str, Any]:
    """Return a header of format 1, of one target, with the fields of today."""
    target = content.pop("target", "b_factor")
    calibration = content.pop("calibration", None)
    calibrations = {target: calibration} if calibration else {}
    return content | {"targets": (target,), "calibration": calibrations}


def load_checkpoint(name_or_path: str | Path, device: str = "cpu") -> Checkpoint:
    """Load a released model by name, or any checkpoint by path, in evaluation mode.

    Raises:
        CheckpointError: no such checkpoint, or its weights do not fit its header.
    """
    from safetensors.torch import load_file

    path = find_checkpoint(name_or_path)
    header = read_header(path)
    if header.model not in CATALOG:
        problem = f"unknown model {header.model!r}"
        raise CheckpointError(str(path), problem, f"This version knows {', '.join(CATALOG)}")
    model = build_model(header.model, header.config, header.find_targets())
    weights = load_file(path, device=device)
    if header.format == 1 and find_model(header.model).learned:
        weights = {_renamed(name, header.targets[0]): value for name, value in weights.items()}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        problem = f"weights do not fit the header ({error})"
        raise CheckpointError(str(path), problem, "Train again") from error
    return Checkpoint(model.to(device).eval(), header, str(path))


def _renamed(name: str, target: str) -> str:
    """Return the current name of a weight of format 1."""
    for old, new in OLD_HEADS.items():
        if name.startswith(old):
            return f"heads.{target}.{new}{name.removeprefix(old)}"
    return name
