"""Long jobs in pieces: each piece is one file, so that a killed job goes on where it stopped."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from debye.errors import StoreError

Progress = Callable[[int, int], None]
"""Called with how many entries are done and how many there are."""
Arrays = Mapping[str, NDArray[Any]]


def run_parts(
    work: Callable[..., Arrays],
    tasks: Sequence[tuple[Any, ...]],
    sizes: Sequence[int],
    folder: Path,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[Path]:
    """Run ``work(*task)`` for every task that has no part file yet, and return all part files in order.

    Args:
        work: A function of the top level of a module; returns the arrays of one part.
        tasks: Arguments of each part, picklable.
        sizes: Entries in each part, for the progress.
        folder: Where the part files lie; its name must change when the tasks do.
        workers: Processes; 1 works in this process.
        progress: Told after each part.

    Raises:
        StoreError: a process died (most often: out of memory); finished parts are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"part-{number:05d}.npz" for number in range(len(tasks))]
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    done, total = sum(sizes) - sum(sizes[number] for number in missing), sum(sizes)
    if progress:
        progress(done, total)
    for number in _run(work, tasks, paths, missing, min(workers, len(missing))):
        done += sizes[number]
        if progress:
            progress(done, total)
    return paths


def pack(sizes: Sequence[int] | NDArray[np.int64], limit: int) -> list[NDArray[np.int64]]:
    """Cut a sequence into runs whose sizes sum to at most a limit, or that have one element.

    Example:
        >>> [run.tolist() for run in pack([3, 4, 9, 1, 1], 8)]
        [[0, 1], [2], [3, 4]]
    """
    runs: list[list[int]] = []
    filled = limit
    for position, size in enumerate(sizes):
        if filled + size > limit:
            runs.append([])
            filled = 0
        runs[-1].append(position)
        filled += int(size)
    return [np.array(run, np.int64) for run in runs]


def concatenate(
    parts: Sequence[Path], name: str, target: Path, dtype: np.dtype | None = None
) -> int:
    """Write one array of all parts, end to end, to an ``.npy`` file; return its length.

    Reads one part at a time, so that memory does not grow with the number of parts.
    """
    shapes, kinds = [], []
    for part in parts:
        with np.load(part) as arrays:
            shapes.append(arrays[name].shape)
            kinds.append(arrays[name].dtype)
    length = sum(shape[0] for shape in shapes)
    tail = shapes[0][1:] if shapes else ()
    kind = dtype or np.result_type(*kinds)
    flat = np.lib.format.open_memmap(target, mode="w+", dtype=kind, shape=(length, *tail))
    start = 0
    for part, shape in zip(parts, shapes, strict=True):
        with np.load(part) as arrays:
            flat[start : start + shape[0]] = arrays[name]
        start += shape[0]
    flat.flush()
    return length


def open_flat(path: Path) -> NDArray[Any]:
    """Open an ``.npy`` file read-only, memory-mapped (an empty one is read: it cannot be mapped)."""
    try:
        return np.load(path, mmap_mode="r")
    except ValueError:
        return np.load(path)


def _run(
    work: Callable[..., Arrays],
    tasks: Sequence[tuple[Any, ...]],
    paths: Sequence[Path],
    missing: Sequence[int],
    workers: int,
) -> Iterator[int]:
    if workers <= 1:
        for number in missing:
            _write_part(work, tasks[number], paths[number])
            yield number
        return
    # Spawned, not forked: the caller may hold threads (torch, Arrow) that do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=prepare_worker) as pool:
        waiting = {
            pool.submit(_write_part, work, tasks[number], paths[number]): number
            for number in missing
        }
        try:
            for future in as_completed(waiting):
                future.result()
                yield waiting[future]
        except BrokenProcessPool as error:
            raise StoreError(
                str(paths[0].parent),
                problem=f"one of {workers} worker processes died, most likely out of memory",
                remedy="Run the same command again with fewer workers: finished parts are kept",
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _write_part(work: Callable[..., Arrays], task: tuple[Any, ...], path: Path) -> None:
    arrays: dict[str, Any] = dict(work(*task))
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with open(temporary, "wb") as file:
        np.savez(file, **arrays)
    # A rename is atomic: a part file that exists is complete, whenever the process was killed.
    os.replace(temporary, path)


def prepare_worker() -> None:
    """Use one thread, and end when the parent does: a killed parent must leave no process behind."""
    os.environ["OMP_NUM_THREADS"] = "1"
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
