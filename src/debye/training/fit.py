"""Run a recipe: data and model in, the best checkpoint out."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only

from debye.dataset.batches.graph_cache import GraphBuilder
from debye.dataset.batches.loader import choose_rows
from debye.dataset.store.labels import labels_digest
from debye.dataset.store.store import Store
from debye.errors import ConfigError
from debye.files import replacing, write_json
from debye.models.allocator import keep_freed_memory
from debye.models.base import AtomModel, Sample, TableModel
from debye.models.catalog import build_model, find_model, model_config
from debye.models.checkpoint import CheckpointHeader, read_header, save_checkpoint
from debye.targets.catalog import find_targets
from debye.targets.target import Target, Transform, robust_location_scale
from debye.training.batches import (
    ProcessShare,
    open_graphs,
    rehearsing_loader,
    training_loader,
    validation_loaders,
)
from debye.training.config import Recipe, RehearsalConfig
from debye.training.module import (
    MONITOR,
    FitModule,
    add_monitor_sums,
    monitor_figure,
    monitor_label,
)
from debye.training.start import Start, blend, start_from

RECIPE_FILE = "recipe.json"


@dataclass(frozen=True, slots=True)
class FitResult:
    """The checkpoint of a finished run, and its quality."""

    checkpoint: Path
    best_epoch: int
    monitor: str
    """Name of the figure that chose the epoch."""
    val_r: float | None
    """Monitor of the targets on the validation split (for B the mean per-structure correlation), averaged over
    crystal shown and hidden; None where nothing was validated."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a training checkpoint whole or not at all, so that a killed run can resume."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write to a temporary file, then rename it."""
        with replacing(Path(path)) as partial:
            super().save_checkpoint(checkpoint, partial, storage_options)


def fit(
    recipe: Recipe,
    store: Store,
    out: Path,
    *,
    rehearsal: Store | None = None,
    resume: bool = False,
    accelerator: str = "auto",
    devices: int | str = "auto",
    progress: bool = True,
    callbacks: Sequence[L.Callback] = (),
) -> FitResult:
    """Train a recipe on a store and return the checkpoint.

    Writes into ``out``: ``<name>.safetensors`` (the best epoch), ``last.ckpt`` and ``best.ckpt`` (to
    resume from), ``recipe.json``, and logs for TensorBoard and as CSV.

    Args:
        recipe: What is trained, and how.
        store: Data store with labels of the recipe's targets.
        out: Folder of the run.
        rehearsal: Store of the batches that ``[rehearsal]`` mixes in.
        resume: Continue a run that was stopped or killed.
        accelerator: ``auto``, ``cpu`` or ``gpu``.
        devices: Number of processes or GPUs, or ``auto``.
        progress: Show a progress bar.
        callbacks: Lightning callbacks, whose state is saved and resumed. Table models have no loop and call none.

    Raises:
        ConfigError: the model or a setting is unknown, or ``out`` holds another run.
        CheckpointError: the checkpoint to start from cannot be used.
    """
    config = model_config(recipe.model, recipe.settings)
    L.seed_everything(recipe.training.seed, workers=True, verbose=False)
    targets = scaled_targets(recipe, store)
    model = build_model(recipe.model, recipe.settings, targets)
    _check(recipe, store, model, rehearsal)
    start = start_from(model, recipe)
    _claim(out, recipe, store, rehearsal, resume)
    keep_freed_memory()
    if isinstance(model, TableModel):
        return _fit_table(model, recipe, store, out, config.model_dump(mode="json"))
    trainer = _trainer(recipe, out, accelerator, devices, progress, callbacks)
    graphs = open_graphs(recipe, store, model.graph_config, progress)
    share = ProcessShare(rank=trainer.global_rank, world_size=trainer.world_size)
    training = training_loader(recipe, store, targets, graphs[recipe.data.split], share)
    if rehearsal is not None:
        config_of = model.graph_config
        training = rehearsing_loader(training, recipe, rehearsal, targets, config_of, share)
    validation = []
    if recipe.training.keep == "best":
        graphs_of_val = graphs[recipe.data.validation_split]
        validation = validation_loaders(recipe, store, targets, graphs_of_val, share)
    module = FitModule(
        model,
        recipe,
        steps=recipe.training.epochs * len(training),
        start=start.weights if start else None,
    )
    last = out / "last.ckpt"
    if last.exists():
        # Lightning asks for the first batches before it tells the sampler the epoch that it resumes in.
        stopped = torch.load(last, map_location="cpu", weights_only=True)["epoch"]
        training.sampler.set_epoch(stopped + 1)  # type: ignore[union-attr]
    with warnings.catch_warnings():
        # The folder has been checked to be of this run.
        warnings.filterwarnings("ignore", message="Checkpoint directory .* is not empty")
        trainer.fit(module, training, validation, ckpt_path=str(last) if last.exists() else None)
    header = _header(
        recipe,
        config.model_dump(mode="json"),
        targets,
        _provenance(recipe, store, targets)
        | ({"old_store": rehearsal.digest} if rehearsal else {})
        | ({"parent": start.lineage} if start else {})
        | {"hardware": f"{trainer.world_size} × {type(trainer.accelerator).__name__}"},
    )
    return _finish(trainer, module, header, out, start)


def _fit_table(
    model: TableModel, recipe: Recipe, store: Store, out: Path, config: dict[str, Any]
) -> FitResult:
    """Fit in one pass over the training split, and correlate once over the validation split."""
    alone = ProcessShare(rank=0, world_size=1)
    graphs = GraphBuilder(store, recipe.data.split, model.graph_config)
    targets = model.targets
    (target,) = targets
    model.fit(
        Sample(
            batch.graph,
            torch.where(labels.weight > 0, labels.value, torch.nan),
            labels.log_mean_sd,
        )
        for batch in training_loader(recipe, store, targets, graphs, alone)
        for labels in [batch.labels[target.name]]
    )
    graphs = GraphBuilder(store, recipe.data.validation_split, model.graph_config)
    sums: dict[str, torch.Tensor] = {}
    for batch in validation_loaders(recipe, store, targets, graphs, alone)[0]:
        add_monitor_sums(sums, model, batch)
    val_r = monitor_figure(model, sums)
    training = _provenance(recipe, store, targets) | {"best_val_r": round(val_r, 4)}
    path = out / f"{recipe.name}.safetensors"
    save_checkpoint(path, model, _header(recipe, config, targets, training))
    return FitResult(checkpoint=path, best_epoch=0, monitor=monitor_label(targets), val_r=val_r)


def scaled_targets(recipe: Recipe, store: Store) -> tuple[Target, ...]:
    """Return the targets of a recipe; those standardized over the training set get its mean and sd.

    A target that the start checkpoint has too keeps the checkpoint's mean and sd, which fit its weights.

    Raises:
        ConfigError: there is no such target, or the training split has no usable label of it.
        StoreError: the training split has no labels of a target.
    """
    known = {}
    if recipe.start is not None:
        known = read_header(recipe.start.checkpoint).scales
    scaled = []
    for target in find_targets(recipe.targets):
        store.check_labels(recipe.data.split, target)
        if target.transform is Transform.STANDARD:
            scale = known.get(target.name) or _training_scale(recipe, store, target)
            target = target.scaled(*scale)
        scaled.append(target)
    return tuple(scaled)


def _training_scale(recipe: Recipe, store: Store, target: Target) -> tuple[float, float]:
    rows, _ = choose_rows(store, recipe.data.split, (target,), recipe.data.loader)
    found = [store.labels(recipe.data.split, row, target) for row in rows]
    value = np.concatenate([labels.value[labels.usable] for labels in found] or [np.zeros(0)])
    if not len(value):
        raise ConfigError(
            f"target {target.name}",
            f"split {recipe.data.split} has no usable label of it",
            "Label the store again, or loosen the filters of data.loader",
        )
    mean, sd = robust_location_scale(value)
    return mean, max(sd, target.minimum_sd)


def _header(
    recipe: Recipe, config: dict[str, Any], targets: Sequence[Target], training: dict[str, Any]
) -> CheckpointHeader:
    standard = [target for target in targets if target.transform is Transform.STANDARD]
    return CheckpointHeader(
        name=recipe.name,
        model=recipe.model,
        config=config,
        targets=recipe.targets,
        scales={target.name: (target.location, target.scale) for target in standard},
        training=training,
    )


def _check(recipe: Recipe, store: Store, model: AtomModel, rehearsal: Store | None) -> None:
    """Refuse what cannot be trained, before anything is written."""
    store.entries(recipe.data.split)
    if recipe.training.keep == "best":
        for target in model.targets:
            store.check_labels(recipe.data.validation_split, target)
    if (recipe.rehearsal is None) != (rehearsal is None):
        raise ConfigError(
            f"recipe {recipe.name}",
            f"rehearsal is {recipe.rehearsal}, its store is {rehearsal and rehearsal.path}",
            "Give a section [rehearsal] and a store (--rehearsal STORE), or neither",
        )
    if recipe.rehearsal is not None and rehearsal is not None:
        rehearsal.entries(recipe.rehearsal.split)
        if recipe.training.keep == "best":
            check_rehearsal(recipe, store, rehearsal)
    if recipe.data.loader.augment.other_crystal:
        _check_other_crystals(recipe, model)
    if not find_model(recipe.model).learned and not isinstance(model, TableModel):
        raise ConfigError(
            f"recipe {recipe.name}",
            f"{recipe.model} has nothing to train",
            "Use it by its name in `debye evaluate`",
        )


def check_rehearsal(recipe: Recipe, store: Store, rehearsal: Store) -> None:
    """Refuse to rehearse entries, by id, that validate the run or calibrate its bounds.

    Raises:
        ConfigError: there are such entries.
        StoreError: a store has no such split.
    """
    config = recipe.rehearsal or RehearsalConfig()
    held_out = {entry.id for entry in store.entries(recipe.data.validation_split)}
    if recipe.data.validation_only:
        held_out &= set(recipe.data.validation_only)
    seen = {entry.id for entry in rehearsal.entries(config.split)} - set(config.without)
    if seen & held_out:
        raise ConfigError(
            f"recipe {recipe.name}, rehearsal",
            f"{len(seen & held_out)} entries of the validation split are in split {config.split} of "
            f"{rehearsal.path}, for example {min(seen & held_out)}",
            "List them in rehearsal.without, or give another split",
        )


def _check_other_crystals(recipe: Recipe, model: AtomModel) -> None:
    """Refuse samples of other crystals where the model has no input for them, or cannot hide the crystal."""
    if "other_coordinates" not in model.graph_config.structure_scalars:
        problem = "the model has no input that marks such samples"
        remedy = "Add other_coordinates to settings.graph.structure_scalars"
    elif model.graph_config.nearest is not None:
        problem = "edges to nearest neighbors depend on the crystal, which must be hidden"
        remedy = "Use settings.graph.radius instead of nearest"
    else:
        return
    raise ConfigError(
        f"recipe {recipe.name}, data.loader.augment.other_crystal",
        problem,
        f"{remedy}, or set other_crystal to 0",
    )


def _claim(out: Path, recipe: Recipe, store: Store, rehearsal: Store | None, resume: bool) -> None:
    """Claim an empty folder, or one of the same run; refuse one of another run."""
    if rank_zero_only.rank:
        return  # the first process has claimed it
    described = {"recipe": recipe.model_dump(mode="json"), "store": store.digest}
    described |= {"old_store": rehearsal.digest} if rehearsal else {}
    claim_folder(out / RECIPE_FILE, described, resume)


def claim_folder(path: Path, described: dict[str, Any], resume: bool) -> None:
    """Write the description of a run into its folder; refuse a folder of another run.

    Args:
        path: File in the folder of the run.
        described: Plain values; settings that an older version lacked count as their defaults.
        resume: Accept a folder of the same run.

    Raises:
        ConfigError: the folder holds a run, of other content or without ``resume``.
    """
    out, described = path.parent, json.loads(json.dumps(described))  # tuples become lists
    if path.exists():
        if not resume:
            raise ConfigError(
                str(out),
                "already has a run",
                "Continue it with --resume, or give another folder with -o",
            )
        found = completed(json.loads(path.read_text()))
        if found != described:
            changed = [key for key in described if found.get(key) != described[key]]
            raise ConfigError(
                str(out),
                f"has a run with another {' and '.join(changed)}",
                "Resume with the same recipe, settings and store, or give another folder",
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, described)


def completed(described: dict[str, Any]) -> dict[str, Any]:
    """Return a description with the defaults of settings that an older version lacked."""
    if "recipe" not in described:
        return described
    recipe = Recipe.model_validate(described["recipe"])
    return described | {"recipe": recipe.model_dump(mode="json")}


def _trainer(
    recipe: Recipe,
    out: Path,
    accelerator: str,
    devices: int | str,
    progress: bool,
    watchers: Sequence[L.Callback],
) -> L.Trainer:
    training = recipe.training
    callbacks: list[L.Callback] = [
        *watchers,
        ModelCheckpoint(
            out,
            filename="best",
            monitor=MONITOR if training.keep == "best" else None,
            mode="max",
            enable_version_counter=False,
        ),
        # After the one above: a run that resumes must know the best epoch so far.
        ModelCheckpoint(
            out, filename="last", save_on_train_epoch_end=True, enable_version_counter=False
        ),
        LearningRateMonitor("epoch"),
    ]
    if training.patience is not None and training.keep == "best":
        callbacks.append(EarlyStopping(MONITOR, mode="max", patience=training.patience))
    return L.Trainer(
        accelerator=accelerator,
        devices=devices,
        max_epochs=training.epochs,
        check_val_every_n_epoch=training.validate_every,
        precision=training.precision,
        gradient_clip_val=training.gradient_clip,
        callbacks=callbacks,
        logger=[TensorBoardLogger(out, name="logs"), CSVLogger(out, name="logs")],
        plugins=[AtomicCheckpointIO()],
        use_distributed_sampler=False,
        reload_dataloaders_every_n_epochs=0,
        num_sanity_val_steps=0,
        limit_val_batches=None if training.keep == "best" else 0,
        enable_progress_bar=progress,
        enable_model_summary=False,
        log_every_n_steps=20,
    )


def _provenance(recipe: Recipe, store: Store, targets: Sequence[Target]) -> dict[str, Any]:
    _, left_out = choose_rows(store, recipe.data.split, targets, recipe.data.loader)
    labels = {
        target.name: labels_digest(store, recipe.data.split, target)
        for target in targets
        if not target.source.value_column
    }
    return ({"labels": labels} if labels else {}) | {
        "recipe": recipe.model_dump(mode="json"),
        "store": store.digest,
        "left_out": left_out,
        "torch": torch.__version__,
    }


def _finish(
    trainer: L.Trainer,
    module: FitModule,
    header: CheckpointHeader,
    out: Path,
    start: Start | None,
) -> FitResult:
    """Write the best (or last) epoch's weights as a released-style checkpoint."""
    best = torch.load(out / "best.ckpt", map_location="cpu", weights_only=True)
    module.load_state_dict(best["state_dict"])
    training, val_r = header.training | {"best_epoch": best["epoch"]}, None
    if module.recipe.training.keep == "best":
        val_r = float(trainer.checkpoint_callback.best_model_score)  # type: ignore[union-attr,arg-type]
        training |= {"best_val_r": round(val_r, 4)}
    if start is not None and module.recipe.start is not None:
        blend(module.best_weights, start.weights, module.recipe.start.blend)
    path = out / f"{header.name}.safetensors"
    if trainer.is_global_zero:
        save_checkpoint(path, module.best_weights, header.model_copy(update={"training": training}))
    trainer.strategy.barrier()  # gloo aborts at exit where one process leaves the others behind
    monitor = monitor_label(module.model.targets)
    return FitResult(checkpoint=path, best_epoch=best["epoch"], monitor=monitor, val_r=val_r)
