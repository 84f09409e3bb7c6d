"""Many inputs → files: several processes, results as they come, one bad input does not stop the rest."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

# Nothing slow here: where workers predict, this process starts them at once and imports no more itself.
from debye.errors import DebyeError
from debye.files import is_same_file
from debye.prediction.inputs import Input, OutputFormat, local_file

if TYPE_CHECKING:
    from debye.prediction.inference import Precision
    from debye.prediction.prediction import Prediction
    from debye.prediction.predictor import Predictor
    from debye.prediction.prepare import CrystalUse, Prepared

BYTES_PER_ATOM = {".gz": 14, ".bcif": 25, "": 85}
"""Size of a structure file per atom record, by the end of its name; rough, for planning only."""
BATCH_ATOMS = 16_000
"""Structures go through the model together up to this many atoms: it hides the cost of small calls."""
ALONE_ATOMS = 200_000
"""Structures that may be larger are predicted one at a time, with all cores and all memory."""
PRELOADED = [
    "debye.dataset.store.parts",
    "debye.models.waller",
    "debye.prediction.predictor",
    "debye.structure.annotate",
    "pyarrow.csv",
    "safetensors.torch",
]
"""Modules that every worker needs, imported once for all."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to do with every input."""

    model: str
    out: Path
    formats: tuple[OutputFormat, ...] = ("cif", "csv")
    crystal: CrystalUse = "auto"
    resolution: float | None = None
    """Å; None: what each file says."""
    draw: Callable[[Prediction, Path], object] | None = None
    """Also draw ``<stem>.png`` with this function, which must be importable by name."""
    table: bool = False
    """Also make a table of the residues as text."""
    overwrite: bool = False
    mirror: Path | None = None
    """Folder that identifiers are looked up in before they are downloaded."""
    precision: Precision = "auto"
    device: str = "cpu"

    def targets(self, item: Input) -> dict[str, Path]:
        """Return the files to write for an input, by format."""
        kinds = (*self.formats, "png") if self.draw else self.formats
        return {kind: self.out / f"{item.stem}.{kind}" for kind in kinds}

    def missing(self, item: Input) -> dict[str, Path]:
        """Return the files that are not there yet, or all of them if they are to be replaced."""
        targets = self.targets(item)
        if self.overwrite:
            return targets
        return {
            kind: path
            for kind, path in targets.items()
            # The input itself is no earlier result: writing it will explain what to do.
            if not path.exists() or is_same_file(item.path, path)
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one input."""

    name: str
    status: Literal["done", "kept", "failed"]
    message: str
    """One line: the summary, or the reason."""
    atoms: int = 0
    """Atoms with a prediction."""
    table: str = ""
    """Table of the residues, if asked for."""


def predict_all(inputs: Sequence[Input], job: Job, *, workers: int = 1) -> Iterator[Outcome]:
    """Predict every input and write its files; yield an outcome for each as soon as it is there.

    Args:
        inputs: What to predict.
        job: How, and what to write.
        workers: Processes; each does everything from reading to writing, on one core. Very large
            structures come last and one at a time, on all cores.

    Yields:
        One outcome per input, in the order of completion. Failures are outcomes too.
    """
    waiting = []
    for item in inputs:
        if job.missing(item):
            waiting.append((item, planned_atoms(item)))
        else:
            yield Outcome(name=item.name, status="kept", message="kept, the output exists")
    small = [(item, atoms) for item, atoms in waiting if atoms < ALONE_ATOMS]
    large = [[item] for item, atoms in waiting if atoms >= ALONE_ATOMS]
    groups = list(batches(small, BATCH_ATOMS))
    if workers > 1 and len(groups) > 1:
        yield from _in_processes(groups, job, min(workers, len(groups)))
        groups = []
    if groups and not large:
        from debye.models.allocator import keep_freed_memory

        keep_freed_memory()
    for group in [*groups, *large]:
        yield from _predict_group(group, job)
    _load_predictor.cache_clear()


def planned_atoms(item: Input) -> int:
    """Estimate the number of atoms of an input from the size of its file; a download counts as 5,000."""
    if item.path is None:
        return 5_000
    name = item.path.name.lower()
    per_atom = next(size for end, size in BYTES_PER_ATOM.items() if name.endswith(end))
    return item.path.stat().st_size // per_atom


def batches(items: Iterable[tuple[Item, int]], largest: int = BATCH_ATOMS) -> Iterator[list[Item]]:
    """Group items, each with its size, in order, so that sizes add up to at most ``largest``.

    A larger item comes alone.

    Example:
        >>> list(batches([("a", 3), ("b", 4), ("c", 9), ("d", 1)], largest=8))
        [['a', 'b'], ['c'], ['d']]
    """
    group: list[Item] = []
    total = 0
    for item, size in items:
        if group and total + size > largest:
            yield group
            group, total = [], 0
        group.append(item)
        total += size
    if group:
        yield group


def _in_processes(groups: Sequence[list[Input]], job: Job, workers: int) -> Iterator[Outcome]:
    """Run groups in worker processes; if they die again and again, find out which input kills them."""
    unfinished = dict(enumerate(groups))
    for _ in range(2):  # A death that has nothing to do with an input does not come twice.
        if unfinished:
            yield from _in_one_pool(unfinished, job, min(workers, len(unfinished)))
    for group in unfinished.values():
        for item in group:
            yield _alone(item, job)


def _in_one_pool(unfinished: dict[int, list[Input]], job: Job, workers: int) -> Iterator[Outcome]:
    """Run groups and take out those that finish; a worker that dies takes the rest of the pool along."""
    futures: dict[Future[list[Outcome]], int] = {}
    with _pool(workers) as pool:
        try:
            with suppress(BrokenProcessPool):
                for number, group in unfinished.items():
                    futures[pool.submit(_predict_group, group, job)] = number
            for future in as_completed(futures):
                if isinstance(future.exception(), BrokenProcessPool):
                    continue
                del unfinished[futures[future]]
                yield from future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _alone(item: Input, job: Job) -> Outcome:
    try:
        with _pool(1) as pool:
            return pool.submit(_predict_group, [item], job).result()[0]
    except BrokenProcessPool:
        reason = f"{item.name}: the process died, most likely out of memory. Free some memory."
        return Outcome(name=item.name, status="failed", message=reason)


def _pool(workers: int) -> ProcessPoolExecutor:
    # Never a plain fork: torch's and Arrow's threads do not survive it. A fork server imports them once.
    kinds = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in kinds else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload(PRELOADED)
    return ProcessPoolExecutor(workers, context, initializer=_prepare_worker)


def _prepare_worker() -> None:
    import torch

    from debye.dataset.store.parts import prepare_worker
    from debye.models.allocator import keep_freed_memory

    prepare_worker()
    torch.set_num_threads(1)
    keep_freed_memory()


def _predict_group(group: Sequence[Input], job: Job) -> list[Outcome]:
    """Predict some inputs in one pass of the model and write their files."""
    from debye.prediction.prepare import prepare_file

    predictor = _load_predictor(job.model, job.device, job.precision)
    outcomes, prepared = [], []
    for item in group:
        try:
            path = local_file(item, job.mirror)
            ready = prepare_file(
                path, predictor.graph_config, crystal=job.crystal, resolution=job.resolution
            )
            prepared.append((item, ready))
        except Exception as error:
            outcomes.append(_failure(item, error))
    return [*outcomes, *_finish(predictor, prepared, job)]


def _finish(
    predictor: Predictor, batch: list[tuple[Input, Prepared]], job: Job
) -> Iterator[Outcome]:
    if not batch:
        return
    try:
        predictions = predictor.finish([ready for _, ready in batch])
    except Exception as error:
        if len(batch) == 1:
            yield _failure(batch[0][0], error)
            return
        for single in batch:
            yield from _finish(predictor, [single], job)
        return
    for (item, _), prediction in zip(batch, predictions, strict=True):
        yield _write(item, prediction, job)


def _write(item: Input, prediction: Prediction, job: Job) -> Outcome:
    from debye.prediction.residues import residue_text

    try:
        for kind, path in job.missing(item).items():
            if kind == "png" and job.draw is not None:
                job.draw(prediction, path)
            else:
                prediction.write(path)
        summary = prediction.summary()
        table = residue_text(prediction) if job.table else ""
    except Exception as error:
        return _failure(item, error)
    return Outcome(
        name=item.name,
        status="done",
        message=summary,
        atoms=int(prediction.has_prediction.sum()),
        table=table,
    )


def _failure(item: Input, error: Exception) -> Outcome:
    # Whatever one input raises, the others are still predicted: a bug is reported, not passed on.
    known = isinstance(error, DebyeError)
    reason = str(error) if known else f"{item.name}: {type(error).__name__}: {error}"
    if isinstance(error, MemoryError):
        reason = f"{item.name}: not enough memory. Free some, or use a larger machine."
    return Outcome(name=item.name, status="failed", message=reason)


@lru_cache(maxsize=1)
def _load_predictor(model: str, device: str, precision: Precision) -> Predictor:
    """Load a model once a process."""
    from debye.prediction.predictor import Predictor

    return Predictor.from_checkpoint(model, device=device, precision=precision)
