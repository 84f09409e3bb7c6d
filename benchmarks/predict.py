"""Throughput, cold start and memory of ``debye predict``, and where the time goes.

Usage: ``python benchmarks/predict.py FOLDER [--model NAME] [--entries 200] [--large 250000 1000000]``. FOLDER holds
structure files at any depth. Limits: 60,000 atoms/s end to end (``waller-small``: 150,000), 4 s for one file of about 4,000 atoms
from a cold start, 8 GiB for a million atoms; exits with 1 if one is missed. Stages are in processor time on one core, one
entry at a time, with freed memory kept as in workers; throughput is in wall time and needs an idle machine.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

THROUGHPUT = {"waller": 60_000, "waller-small": 150_000}
COLD_START, COLD_ATOMS, MEMORY = 4.0, 4_000, 8.0
COMMAND = [sys.executable, "-c", "from debye.cli.main import main; main()", "predict"]


def evenly(folder: Path, count: int) -> list[Path]:
    """Return some of the structure files below a folder, evenly spread over their names."""
    files = sorted(
        path for path in folder.rglob("*") if path.name.endswith((".bcif.gz", ".cif.gz"))
    )
    return [files[i] for i in np.linspace(0, len(files) - 1, min(count, len(files))).astype(int)]


def nearest_in_size(files: list[Path], atoms: int) -> Path:
    """Return the file whose number of predicted atoms is nearest to the one wanted."""
    from debye.prediction.stream import BYTES_PER_ATOM
    from debye.structure.read import read_structure
    from debye.structure.select import select_atoms

    wanted = atoms * BYTES_PER_ATOM[".gz"]
    likely = sorted(files, key=lambda path: abs(path.stat().st_size - wanted))[:20]
    return min(likely, key=lambda path: abs(len(select_atoms(read_structure(path))[0]) - atoms))


def run(files: list[Path], model: str, out: Path) -> float:
    """Predict files as a user would and return the wall time until the command returns, s."""
    arguments = [*map(str, files), "--model", model, "-o", str(out), "--overwrite"]
    # Into a file: a pipe would stay open until the server that forks workers has gone as well.
    with (out.parent / f"{out.name}.log").open("w+") as log:
        start = time.perf_counter()
        code = subprocess.run([*COMMAND, *arguments], stdout=log, stderr=log).returncode
        seconds = time.perf_counter() - start
        if code:
            log.seek(0)
            sys.exit(f"debye predict ended with {code}:\n{log.read()}")
    return seconds


def predicted_atoms(folder: Path) -> int:
    """Count the table rows with a prediction."""
    from pyarrow import csv

    return sum(
        len(table) - table["b_predicted"].null_count
        for table in map(csv.read_csv, folder.glob("*.csv"))
    )


def stages(files: list[Path], model: str, out: Path) -> dict[str, float]:
    """Return the processor time of each stage on one thread, microseconds per atom."""
    import torch

    from debye.models.allocator import keep_freed_memory
    from debye.prediction.predictor import Predictor
    from debye.prediction.prepare import prepare_structure
    from debye.structure.read import read_source

    keep_freed_memory()
    torch.set_num_threads(1)
    predictor = Predictor.from_checkpoint(model)
    spent: dict[str, float] = defaultdict(float)
    atoms = 0
    for number, path in enumerate(files):
        if number == 2:  # The first ones load tables and warm caches.
            spent.clear()
            atoms = 0
        marks = [time.process_time()]
        source = read_source(path)
        marks.append(time.process_time())
        prepared = prepare_structure(source, predictor.graph_config)
        marks.append(time.process_time())
        prediction = predictor.finish([prepared])[0]
        marks.append(time.process_time())
        prediction.write(out / "stage.cif")
        marks.append(time.process_time())
        prediction.write(out / "stage.csv")
        marks.append(time.process_time())
        names = ("read", "select, bonds, mates, graph", "model", "write cif", "write csv")
        for name, start, stop in zip(names, marks[:-1], marks[1:], strict=True):
            spent[name] += stop - start
        atoms += prepared.graph.n_atoms
    return {name: 1e6 * seconds / atoms for name, seconds in spent.items()}


def write_large(atoms: int, target: Path) -> None:
    """Write a box of helices, packed as proteins are, as one mmCIF file."""
    from debye.structure.write import write_structure
    from debye.testing.peptide import build_peptide

    helix = build_peptide("MKALEWHEDFRKLYCITAQNVGSEALKRLLEEAKK" * 3)
    copies = -(-atoms // len(helix))
    side = int(np.ceil(copies**0.5))
    rows = np.tile(np.arange(len(helix)), copies)
    copy = np.repeat(np.arange(copies), len(helix))
    # Parallel helices, 9 Å apart as in bundles.
    _, axes = np.linalg.eigh(np.cov(helix.position.T))
    shift = 9.0 * ((copy % side)[:, None] * axes[:, 0] + (copy // side)[:, None] * axes[:, 1])
    large = replace(
        helix.take(rows),
        position=(helix.position[rows] + shift).astype(np.float32),
        chain=np.char.mod("h%d", copy),
        chain_label=np.char.mod("h%d", copy),
        residue_index=(helix.residue_index[rows] + copy * helix.n_residues).astype(np.int32),
        record=np.arange(len(rows), dtype=np.int32),
    )
    write_structure(large.take(np.arange(atoms)), target)


def main() -> int:
    """Print one line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="waller", help="released model or checkpoint")
    parser.add_argument("--entries", type=int, default=200)
    parser.add_argument("--large", type=int, nargs="*", default=[], help="atoms of memory tests")
    arguments = parser.parse_args()
    files = evenly(arguments.folder, arguments.entries)
    missed = []
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        seconds = run(files, arguments.model, out / "many")
        atoms = predicted_atoms(out / "many")
        rate = atoms / seconds
        least = THROUGHPUT.get(Path(arguments.model).stem, THROUGHPUT["waller"])
        missed += ["throughput"] if rate < least else []
        print(f"{len(files)} entries, {atoms:,} atoms in {seconds:.1f} s: {rate:,.0f} atoms/s")
        usual = nearest_in_size(files, COLD_ATOMS)
        seconds = min(run([usual], arguments.model, out / "one") for _ in range(3))
        missed += ["cold start"] if seconds > COLD_START else []
        print(f"cold start, {predicted_atoms(out / 'one'):,} atoms: {seconds:.2f} s")
        for stage, cost in stages(files[::5], arguments.model, out).items():
            print(f"  {stage:30} {cost:6.1f} µs/atom on one core")
        for atoms in sorted(arguments.large):
            write_large(atoms, out / "large.cif")
            seconds = run([out / "large.cif"], arguments.model, out / "large")
            # The largest so far, of commands: they predict large structures themselves.
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
            missed += ["memory"] if peak > MEMORY * atoms / 1e6 else []
            print(f"{atoms:,} atoms: {seconds:.0f} s, at most {peak:.1f} GiB")
    if missed:
        print(f"missed: {', '.join(missed)}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
