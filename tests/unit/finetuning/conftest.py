"""Crystals of one small protein, as files of a user, and what is wrong with some of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from debye.structure.structure import Crystal, Entry, Structure
from debye.structure.write import write_structure
from debye.testing.peptide import build_peptide

if TYPE_CHECKING:
    from debye.finetuning.context import TuningRun


def make_crystal(number: int, sequence: str = "MKWHEFRGPYCITL") -> Structure:
    """The same protein, a little displaced, with other B-factors and another cell each time."""
    generator = np.random.default_rng([7, number])
    structure = build_peptide(sequence)
    b = 15 + 3 * np.abs(structure.residue_index - 6.5) + generator.gamma(4.0, 0.5, len(structure))
    position = structure.position + generator.normal(0, 0.05, structure.position.shape)
    extent = np.ptp(position, axis=0) + 3.0 + 0.01 * number
    return replace(
        structure,
        position=np.round(position, 3).astype(np.float32),
        b_iso=np.round(b, 2).astype(np.float32),
        crystal=Crystal(cell=(*map(float, extent), 90.0, 90.0, 90.0), space_group="P 1"),
        entry=Entry(id=f"X{number}", method="X-RAY DIFFRACTION", resolution=1.5),
    )


@pytest.fixture(scope="session")
def family_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four crystals, a copy of one of them in another format, and four files that are no targets."""
    folder = tmp_path_factory.mktemp("family")
    for number, name in enumerate(["Apo.cif", "holo-1.pdb", "holo-2.mmcif", "deep/Third.ent"]):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_suffix(".pdb" if path.suffix == ".ent" else ".cif")
        temporary = temporary if path.suffix != ".pdb" else path
        write_structure(make_crystal(number), temporary)
        temporary.rename(path)
    write_structure(make_crystal(0), folder / "renamed.pdb")
    (folder / "broken.cif").write_text("data_x\nloop_\n_atom_site.id\n")
    flat = make_crystal(9)
    write_structure(replace(flat, b_iso=np.full(len(flat), 20, np.float32)), folder / "flat.cif")
    model = make_crystal(8)
    entry = Entry(id="nmr", method="SOLUTION NMR")
    write_structure(replace(model, entry=entry, crystal=None), folder / "nmr.cif")
    (folder / "notes.txt").write_text("no structure")
    return folder


@pytest.fixture(scope="session")
def make_run() -> Callable[[Path], TuningRun]:
    """Make a fine-tuning of a model of B-factors in a folder."""
    from debye.finetuning.config import FinetuneConfig, StartModel
    from debye.finetuning.context import TuningRun
    from debye.models.checkpoint import CheckpointHeader

    header = CheckpointHeader(name="base", model="meta_gnn", config={})
    start = StartModel(checkpoint="base", sha256="", header=header)
    return lambda out: TuningRun(start, FinetuneConfig(), out)
