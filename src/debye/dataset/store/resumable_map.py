"""Long jobs in parts, each of which is a file, so that a killed job resumes with the first missing part."""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from debye.errors import StoreError, StructureError
from debye.files import replacing

Progress = Callable[[int, int], None]
"""Called with the number of entries that are done, and of all entries."""
Arrays = Mapping[str, NDArray[Any]]
Failure = dict[str, str]
"""``id`` and ``split`` of an entry that could not be used, and the ``reason``."""
Item = TypeVar("Item")
Result = TypeVar("Result")


def run_parts(
    work: Callable[..., Arrays],
    tasks: Sequence[tuple[Any, ...]],
    sizes: Sequence[int],
    folder: Path,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[Path]:
    """Run ``work(*task)`` for every task without a part file, and return all part files in order.

    Args:
        work: A function at the top level of a module; returns the arrays of one part.
        tasks: Arguments of each part, picklable.
        sizes: Entries in each part, for the progress.
        folder: Of the part files; its name must change when the tasks do.
        workers: Processes; 1 works in this process.
        progress: Called after each part.

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


def attempt_each(
    work: Callable[[Any], Result], rows: Iterable[Any]
) -> tuple[list[Result], list[Failure]]:
    """Return the results of all rows without an error, and the errors of the others.

    One odd file must not end a build of thousands, so every exception is recorded.

    Args:
        work: Returns the result of a row.
        rows: Anything with ``id`` and ``split``.
    """
    results: list[Result] = []
    failures: list[Failure] = []
    for row in rows:
        try:
            results.append(work(row))
        except Exception as error:
            reason = str(error) if isinstance(error, StructureError) else repr(error)
            failures.append({"id": row.id, "split": row.split, "reason": reason})
    return results, failures


def pack_records(records: Any) -> NDArray[np.uint8]:
    """Return JSON values as an array of bytes, to keep them in a part."""
    return np.frombuffer(json.dumps(records).encode(), np.uint8)


def unpack_records(part: Path, name: str) -> Any:
    """Return what :func:`pack_records` packed into an array of a part."""
    with np.load(part) as arrays:
        return json.loads(arrays[name].tobytes().decode())


def concatenate(
    parts: Sequence[Path],
    name: str,
    target: Path,
    dtype: DTypeLike | None = None,
    convert: Callable[[Mapping[str, NDArray[Any]]], NDArray[Any]] | None = None,
) -> int:
    """Write one array of all parts, end to end, to an ``.npy`` file; return its length.

    Reads one part at a time, so that memory does not grow with the number of parts.

    Args:
        parts: Part files.
        name: Of the array.
        target: The file.
        dtype: Of the file; None: one that fits all parts.
        convert: Returns the values to write from the arrays of a part; None: the array as it is.
    """
    shapes, kinds = [], []
    for arrays in _opened(parts):
        shapes.append(arrays[name].shape)
        kinds.append(arrays[name].dtype)
    shape = (sum(shape[0] for shape in shapes), *(shapes[0][1:] if shapes else ()))
    kind = dtype if dtype is not None else np.result_type(*kinds)
    rows = (convert(arrays) if convert else arrays[name] for arrays in _opened(parts))
    write_flat(target, rows, kind, shape)
    return shape[0]


def write_flat(
    target: Path, arrays: Iterable[NDArray[Any]], dtype: DTypeLike, shape: tuple[int, ...]
) -> None:
    """Write arrays, end to end, to an ``.npy`` file of a known shape; only one of them is in memory at a time."""
    flat = np.lib.format.open_memmap(target, mode="w+", dtype=np.dtype(dtype), shape=shape)
    start = 0
    for array in arrays:
        flat[start : start + len(array)] = array
        start += len(array)
    flat.flush()


def _opened(parts: Iterable[Path]) -> Iterator[Mapping[str, NDArray[Any]]]:
    for part in parts:
        with np.load(part) as arrays:
            yield arrays


def open_flat(path: Path) -> NDArray[Any]:
    """Open an ``.npy`` file read-only, memory-mapped; an empty one cannot be mapped and is read."""
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
    # Spawned, not forked: threads of the caller (torch, Arrow) would not survive a fork.
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
                f"one of {workers} worker processes died, most likely out of memory",
                "Run the same command again with fewer workers: finished parts are kept",
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _write_part(work: Callable[..., Arrays], task: tuple[Any, ...], path: Path) -> None:
    arrays: dict[str, Any] = dict(work(*task))
    # A part file that exists is complete, whenever the process was killed.
    with replacing(path) as partial, open(partial, "wb") as file:
        np.savez(file, **arrays)


def prepare_worker() -> None:
    """Use one thread, and end when the parent process ends, even if it is killed."""
    os.environ["OMP_NUM_THREADS"] = "1"
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
