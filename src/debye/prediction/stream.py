"""Many inputs → files, in several processes; one bad input does not stop the others."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

# Nothing slow here: the parent of worker processes starts them at once.
from debye.dataset.packing import pack
from debye.errors import ConfigError, DebyeError
from debye.files import is_same_file
from debye.prediction.inputs import Input, OutputFormat

if TYPE_CHECKING:
    from debye.prediction.prediction import Prediction
    from debye.prediction.predictor import Precision, Predictor
    from debye.prediction.prepare import CrystalUse, Prepared

BATCH_ATOMS = 16_000
"""Structures are predicted together up to this number of atoms: small calls of a model are slow."""
ALONE_ATOMS = 200_000
"""Expected size from which structures are predicted one at a time, with all cores and memory."""
PRELOADED = [
    "debye.dataset.store.resumable_map",
    "debye.models.waller",
    "debye.prediction.predictor",
    "debye.structure.write",
    "pyarrow.csv",
    "safetensors.torch",
]
"""Modules that the fork server imports once for all workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionPlan:
    """How every input is predicted, and which files are written."""

    model: str
    out: Path
    formats: tuple[OutputFormat, ...] = ("cif", "csv")
    crystal: CrystalUse = "auto"
    resolution: float | None = None
    """Å; None: that of each file."""
    draw: Callable[[Prediction, Path], object] | None = None
    """Draws ``<stem>.png`` too; the function must be importable by name."""
    table: bool = False
    """Also return a table of the residues as text."""
    overwrite: bool = False
    mirror: Path | None = None
    """Folder of entries that need not be downloaded."""
    precision: Precision = "auto"
    device: str = "cpu"
    batch_atoms: int = BATCH_ATOMS
    """Most atoms in one call of the model, unless a structure is larger."""

    def targets(self, item: Input) -> dict[str, Path]:
        """Return the files of an input, by format."""
        kinds = (*self.formats, "png") if self.draw else self.formats
        return {kind: self.out / f"{item.stem}.{kind}" for kind in kinds}

    def missing(self, item: Input) -> dict[str, Path]:
        """Return the files to write: those that do not exist, or all with ``overwrite``."""
        return {
            kind: path
            for kind, path in self.targets(item).items()
            # The input itself is not an earlier result: writing it explains what to do.
            if self.overwrite or not path.exists() or is_same_file(path, item.path)
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for one input; the message is one line, the summary or the reason."""

    name: str
    status: Literal["done", "skipped", "failed"]
    message: str
    atoms: int = 0
    """Atoms with a prediction."""
    table: str = ""
    """Table of the residues, if it was wanted."""


def usable_formats(
    model: str, formats: tuple[OutputFormat, ...] | None = None
) -> tuple[OutputFormat, ...]:
    """Return the formats to write; if None are given, ``cif`` and ``csv``, or only ``csv`` where B is not predicted.

    Copies of structures by a model without B-factors are a ``ConfigError``.
    """
    wanted: tuple[OutputFormat, ...] = formats or ("cif", "csv")
    copies = [kind for kind in wanted if kind in ("cif", "pdb")]
    # Released models predict B. Other headers are read in this process, which takes a second.
    if not copies or not Path(model).is_file():
        return wanted
    from debye.models.checkpoint import read_header

    targets = read_header(model).find_targets()
    if any(target.in_b_column for target in targets):
        return wanted
    if formats is None:
        return ("csv",)
    problem = f"predicts {', '.join(target.name for target in targets)}, no B-factors"
    problem += f", so it writes no {' or '.join(copies)}"
    raise ConfigError(model, problem, "Use --format csv or parquet")


def predict_all(
    inputs: Sequence[Input], plan: PredictionPlan, *, workers: int = 1
) -> Iterator[Outcome]:
    """Predict every input and write its files; yield each outcome, also of a failure, as soon as it is known.

    Each of several worker processes uses one core. Very large structures come last, one at a time, on all cores.
    """
    waiting = []
    for item in inputs:
        if plan.missing(item):
            waiting.append((item, item.expected_atoms()))
        else:
            files = [str(path) for path in plan.targets(item).values()]
            exist = f"{', '.join(files)} exist{'s' if len(files) == 1 else ''}"
            yield Outcome(item.name, "skipped", f"skipped: {exist} (--overwrite to replace)")
    small = [(item, atoms) for item, atoms in waiting if atoms < ALONE_ATOMS]
    large = [[item] for item, atoms in waiting if atoms >= ALONE_ATOMS]
    groups = list(pack(small, plan.batch_atoms))
    if workers > 1 and len(groups) > 1:
        yield from _in_processes(groups, plan, min(workers, len(groups)))
        groups = []
    if groups and not large:
        from debye.models.allocator import keep_freed_memory

        keep_freed_memory()
    for group in [*groups, *large]:
        yield from _predict_group(group, plan)
    _load_predictor.cache_clear()


def _in_processes(
    groups: Sequence[list[Input]], plan: PredictionPlan, workers: int
) -> Iterator[Outcome]:
    """Run groups in worker processes; if workers keep dying, run inputs one by one to find the cause."""
    unfinished = dict(enumerate(groups))
    for _ in range(2):  # A death that no input has caused does not come twice.
        if unfinished:
            yield from _in_one_pool(unfinished, plan, min(workers, len(unfinished)))
    for item in chain.from_iterable(unfinished.values()):
        alone = {0: [item]}
        yield from _in_one_pool(alone, plan, 1)
        if alone:
            reason = "the process died, most likely out of memory. Free some memory."
            yield Outcome(item.name, "failed", f"{item.name}: {reason}")


def _in_one_pool(
    unfinished: dict[int, list[Input]], plan: PredictionPlan, workers: int
) -> Iterator[Outcome]:
    """Run groups and remove those that finish; a worker that dies ends the whole pool."""
    futures: dict[Future[list[Outcome]], int] = {}
    with _pool(workers) as pool:
        try:
            with suppress(BrokenProcessPool):
                for number, group in unfinished.items():
                    futures[pool.submit(_predict_group, group, plan)] = number
            for future in as_completed(futures):
                if isinstance(future.exception(), BrokenProcessPool):
                    continue
                del unfinished[futures[future]]
                yield from future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _pool(workers: int) -> ProcessPoolExecutor:
    # Never a plain fork: the threads of torch and Arrow do not survive it. A fork server imports once.
    kinds = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in kinds else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload(PRELOADED)
    return ProcessPoolExecutor(workers, context, initializer=_prepare_worker)


def _prepare_worker() -> None:
    import torch

    from debye.dataset.store.resumable_map import prepare_worker
    from debye.models.allocator import keep_freed_memory

    prepare_worker()
    torch.set_num_threads(1)
    keep_freed_memory()


def _predict_group(group: Sequence[Input], plan: PredictionPlan) -> list[Outcome]:
    """Predict some inputs in one pass of the model and write their files."""
    from debye.prediction.prepare import prepare_structure
    from debye.structure.read import read_source

    predictor = _load_predictor(plan.model, plan.device, plan.precision)
    outcomes, prepared = [], []
    for item in group:
        try:
            source = read_source(item.local_file(plan.mirror))
            ready = prepare_structure(
                source, predictor.graph_config, crystal=plan.crystal, resolution=plan.resolution
            )
            prepared.append((item, ready))
        except Exception as error:
            outcomes.append(_failure(item, error))
    return [*outcomes, *_finish(predictor, prepared, plan)]


def _finish(
    predictor: Predictor, batch: list[tuple[Input, Prepared]], plan: PredictionPlan
) -> Iterator[Outcome]:
    try:
        predictions = predictor.finish([ready for _, ready in batch]) if batch else []
    except Exception as error:
        if len(batch) == 1:
            yield _failure(batch[0][0], error)
        else:
            for single in batch:
                yield from _finish(predictor, [single], plan)
        return
    for (item, _), prediction in zip(batch, predictions, strict=True):
        yield _write(item, prediction, plan)


def _write(item: Input, prediction: Prediction, plan: PredictionPlan) -> Outcome:
    from debye.prediction.prediction import residue_text

    try:
        for kind, path in plan.missing(item).items():
            if kind == "png" and plan.draw is not None:
                plan.draw(prediction, path)
            else:
                prediction.write(path)
        summary = prediction.summary()
        table = residue_text(prediction) if plan.table else ""
    except Exception as error:
        return _failure(item, error)
    return Outcome(item.name, "done", summary, int(prediction.has_prediction.sum()), table)


def _failure(item: Input, error: Exception) -> Outcome:
    # Whatever one input raises, the others are still predicted: a bug is reported, not raised.
    reason = f"{item.name}: {type(error).__name__}: {error}"
    if isinstance(error, DebyeError):
        reason = str(error)
    elif isinstance(error, MemoryError):
        reason = f"{item.name}: not enough memory. Free some, or use a larger machine."
    return Outcome(item.name, "failed", reason)


@lru_cache(maxsize=1)
def _load_predictor(model: str, device: str, precision: Precision) -> Predictor:
    from debye.prediction.predictor import Predictor

    return Predictor.from_checkpoint(model, device=device, precision=precision)
