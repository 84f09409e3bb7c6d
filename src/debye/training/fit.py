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
from pydantic import BaseModel

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
from debye.training.batches import RunBatches
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
    """Name of the figure that chose the epoch, for B the mean per-structure correlation."""
    val_r: float | None
    """That figure on the validation split, over crystal shown and hidden; None where nothing was validated."""


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
        store: Data store with labels of the recipe's targets.
        rehearsal: Store of the batches that ``[rehearsal]`` mixes in.
        resume: Continue a run that was stopped or killed.
        accelerator: ``auto``, ``cpu`` or ``gpu``; ``devices`` is the number of processes or GPUs, or ``auto``.
        callbacks: Lightning callbacks, whose state is saved and resumed. Table models have no loop and call none.

    Raises:
        ConfigError: the model or a setting is unknown, ``out`` has another run, or the start checkpoint does not fit.
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
        return _fit_table(model, recipe, store, out, config)
    trainer = _trainer(recipe, out, accelerator, devices, progress, callbacks)
    rank, size = trainer.global_rank, trainer.world_size
    batches = RunBatches(recipe=recipe, store=store, model=model, rank=rank, world_size=size)
    graphs = batches.open_graphs(progress=progress)
    training, validation = batches.training(graphs[recipe.data.split]), []
    if rehearsal is not None:
        training = batches.rehearsing(training, rehearsal)
    if recipe.training.keep == "best":
        validation = batches.validation(graphs[recipe.data.validation_split])
    steps = recipe.training.epochs * len(training)
    module = FitModule(model, recipe, steps, start.weights if start else None)
    last = out / "last.ckpt"
    if last.exists():
        # Lightning asks for the first batches before it tells the sampler the epoch that it resumes in.
        stopped = torch.load(last, map_location="cpu", weights_only=True)["epoch"]
        training.sampler.set_epoch(stopped + 1)  # type: ignore[union-attr]
    with warnings.catch_warnings():
        # The folder has been checked to be of this run.
        warnings.filterwarnings("ignore", message="Checkpoint directory .* is not empty")
        trainer.fit(module, training, validation, ckpt_path=str(last) if last.exists() else None)
    more = {"old_store": rehearsal.digest} if rehearsal else {}
    more |= {"parent": start.lineage} if start else {}
    more |= {"hardware": f"{trainer.world_size} × {type(trainer.accelerator).__name__}"}
    header = _header(recipe, config, store, targets, more)
    return _finish(trainer, module, header, out, start)


def _fit_table(
    model: TableModel, recipe: Recipe, store: Store, out: Path, config: BaseModel
) -> FitResult:
    """Fit in one pass over the training split, and correlate once over the validation split."""
    batches = RunBatches(recipe=recipe, store=store, model=model)
    training, validation = (
        GraphBuilder(store, split, model.graph_config)
        for split in (recipe.data.split, recipe.data.validation_split)
    )
    targets = model.targets
    (target,) = targets
    model.fit(
        Sample(
            batch.graph, torch.where(labels.weight > 0, labels.value, torch.nan), labels.log_mean_sd
        )
        for batch in batches.training(training)
        for labels in [batch.labels[target.name]]
    )
    sums: dict[str, torch.Tensor] = {}
    for batch in batches.validation(validation)[0]:
        add_monitor_sums(sums, model, batch)
    val_r = monitor_figure(model, sums)
    header = _header(recipe, config, store, targets, {"best_val_r": round(val_r, 4)})
    path = out / f"{recipe.name}.safetensors"
    save_checkpoint(path, model, header)
    return FitResult(checkpoint=path, best_epoch=0, monitor=monitor_label(targets), val_r=val_r)


def scaled_targets(recipe: Recipe, store: Store) -> tuple[Target, ...]:
    """Return the targets of a recipe; those standardized over the training set get its mean and sd.

    A target that the start checkpoint has too keeps the checkpoint's mean and sd, which fit its weights. Unknown
    targets, and splits without their labels, are errors.
    """
    known = {} if recipe.start is None else read_header(recipe.start.checkpoint).scales
    scaled = list(find_targets(recipe.targets))
    for number, target in enumerate(scaled):
        store.check_labels(recipe.data.split, target)
        if target.transform is Transform.STANDARD:
            scale = known.get(target.name) or _training_scale(recipe, store, target)
            scaled[number] = target.scaled(*scale)
    return tuple(scaled)


def _training_scale(recipe: Recipe, store: Store, target: Target) -> tuple[float, float]:
    rows, _ = choose_rows(store, recipe.data.split, (target,), recipe.data.loader)
    found = [store.labels(recipe.data.split, row, target) for row in rows]
    value = np.concatenate([labels.value[labels.usable] for labels in found] or [np.zeros(0)])
    if not len(value):
        problem = f"split {recipe.data.split} has no usable label of it"
        remedy = "Label the store again, or loosen the filters of data.loader"
        raise ConfigError(f"target {target.name}", problem, remedy)
    mean, sd = robust_location_scale(value)
    return mean, sd or target.minimum_sd


def _header(
    recipe: Recipe, config: BaseModel, store: Store, targets: Sequence[Target], more: dict[str, Any]
) -> CheckpointHeader:
    """Return the header of a checkpoint, with where it comes from and ``more`` of that."""
    _, left_out = choose_rows(store, recipe.data.split, targets, recipe.data.loader)
    labels = {
        target.name: labels_digest(store, recipe.data.split, target)
        for target in targets
        if not target.source.value_column
    }
    training = {
        "recipe": recipe.model_dump(mode="json"),
        "store": store.digest,
        "left_out": left_out,
        "torch": torch.__version__,
    }
    standard = [target for target in targets if target.transform is Transform.STANDARD]
    return CheckpointHeader(
        name=recipe.name,
        model=recipe.model,
        config=config.model_dump(mode="json"),
        targets=recipe.targets,
        scales={target.name: (target.location, target.scale) for target in standard},
        training=({"labels": labels} if labels else {}) | training | more,
    )


def _check(recipe: Recipe, store: Store, model: AtomModel, rehearsal: Store | None) -> None:
    """Refuse what cannot be trained, before anything is written."""
    where, rehearsing = f"recipe {recipe.name}", recipe.rehearsal
    store.entries(recipe.data.split)
    if recipe.training.keep == "best":
        for target in model.targets:
            store.check_labels(recipe.data.validation_split, target)
    if (rehearsing is None) != (rehearsal is None):
        problem = f"rehearsal is {rehearsing}, its store is {rehearsal and rehearsal.path}"
        remedy = "Give a section [rehearsal] and a store (--rehearsal STORE), or neither"
        raise ConfigError(where, problem, remedy)
    if rehearsing is not None and rehearsal is not None:
        rehearsal.entries(rehearsing.split)
        if recipe.training.keep == "best":
            check_rehearsal(recipe, store, rehearsal)
    if recipe.data.loader.augment.other_crystal:
        _check_other_crystals(recipe, model)
    if not find_model(recipe.model).learned and not isinstance(model, TableModel):
        problem = f"{recipe.model} has nothing to train"
        raise ConfigError(where, problem, "Use it by its name in `debye evaluate`")


def check_rehearsal(recipe: Recipe, store: Store, rehearsal: Store) -> None:
    """Refuse to rehearse entries, by id, that validate the run or calibrate its bounds (``ConfigError``)."""
    config = recipe.rehearsal or RehearsalConfig()
    held_out = {entry.id for entry in store.entries(recipe.data.validation_split)}
    if recipe.data.validation_only:
        held_out &= set(recipe.data.validation_only)
    seen = {entry.id for entry in rehearsal.entries(config.split)} - set(config.without)
    if both := seen & held_out:
        place = f"split {config.split} of {rehearsal.path}, for example {min(both)}"
        problem = f"{len(both)} entries of the validation split are in {place}"
        remedy = "List them in rehearsal.without, or give another split"
        raise ConfigError(f"recipe {recipe.name}, rehearsal", problem, remedy)


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
    where = f"recipe {recipe.name}, data.loader.augment.other_crystal"
    raise ConfigError(where, problem, f"{remedy}, or set other_crystal to 0")


def _claim(out: Path, recipe: Recipe, store: Store, rehearsal: Store | None, resume: bool) -> None:
    """Claim an empty folder, or one of the same run; refuse one of another run."""
    if rank_zero_only.rank:
        return  # the first process has claimed it
    described = {"recipe": recipe.model_dump(mode="json"), "store": store.digest}
    described |= {"old_store": rehearsal.digest} if rehearsal else {}
    targets = [target for target in find_targets(recipe.targets) if not target.source.value_column]
    labels = {each.name: labels_digest(store, recipe.data.split, each) for each in targets}
    described |= {"labels": labels} if labels else {}
    claim_folder(out / RECIPE_FILE, described, resume)


def claim_folder(path: Path, described: dict[str, Any], resume: bool) -> None:
    """Write the description of a run into its folder; refuse a folder of another run, or of any without ``resume``.

    The description has plain values; settings that an older version lacked count as their defaults.
    """
    out, described = path.parent, json.loads(json.dumps(described))  # tuples become lists
    if not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        write_json(path, described)
        return
    if not resume:
        remedy = "Continue it with --resume, or give another folder with -o"
        raise ConfigError(str(out), "already has a run", remedy)
    found = completed(json.loads(path.read_text()))
    if found != described:
        changed = [key for key in described if found.get(key) != described[key]]
        problem = f"has a run with another {' and '.join(changed)}"
        remedy = "Resume with the same recipe, settings and store, or give another folder"
        raise ConfigError(str(out), problem, remedy)


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
    validates = training.keep == "best"
    saving: dict[str, Any] = {"dirpath": out, "enable_version_counter": False}
    callbacks: list[L.Callback] = [
        *watchers,
        ModelCheckpoint(
            **saving, filename="best", monitor=MONITOR if validates else None, mode="max"
        ),
        # After the one above: a run that resumes must know the best epoch so far.
        ModelCheckpoint(**saving, filename="last", save_on_train_epoch_end=True),
        LearningRateMonitor("epoch"),
    ]
    if training.patience is not None and validates:
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
        num_sanity_val_steps=0,
        limit_val_batches=None if validates else 0,
        enable_progress_bar=progress,
        enable_model_summary=False,
        log_every_n_steps=20,
    )


def _finish(
    trainer: L.Trainer, module: FitModule, header: CheckpointHeader, out: Path, start: Start | None
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
