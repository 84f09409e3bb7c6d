"""A small index with structure files that this project builds itself, and the store of it."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from debye.dataset.store.build import build_store
from debye.dataset.store.store import Store
from debye.structure.structure import Crystal, Entry, Structure
from debye.structure.write import write_structure
from debye.testing.peptide import build_peptide

SEQUENCES = {
    "1aaa": "MKWHEFRGPYCITLSDNQVA",
    "1aab": "ACDEFGHIKLMNPQRSTVWYACDEFGHIKLMNPQRSTVWY",
    "1aac": "GAVLIPFWMS" * 6,
    "1aad": "MKTAYIAKQRQISFVKSHFSRQ",
    "2bbb": "DEKRHNQSTY" * 4,
    "2bbc": "LLKKLLKKLL" * 3,
}


def make_structure(entry_id: str) -> Structure:
    """Build one entry: helix in a large cell, B rising along the chain with some noise."""
    generator = np.random.default_rng([ord(letter) for letter in entry_id])
    structure = build_peptide(SEQUENCES[entry_id], source=entry_id)
    b = 15 + 0.4 * structure.residue_index + generator.gamma(4.0, 1.5, len(structure))
    # Along its own axes the chain fits a cell so tightly that its mates touch it.
    centered = structure.position - structure.position.mean(axis=0)
    position = centered @ np.linalg.svd(centered, full_matrices=False)[2].T
    extent = np.ptp(position, axis=0)
    return replace(
        structure,
        position=np.round(position, 3),
        b_iso=np.round(b, 2).astype(np.float32),
        crystal=Crystal(
            cell=(*(float(length) for length in np.round(extent + 2.6, 2)), 90.0, 90.0, 90.0),
            space_group="P 1",
        ),
        entry=Entry(id=entry_id, method="X-RAY DIFFRACTION", resolution=1.8),
    )


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six entries in two splits; one says that its crystal is not to be used, one file is missing."""
    folder = tmp_path_factory.mktemp("data")
    formats = [".cif", ".pdb", ".cif.gz", ".ent.gz", ".pdb.gz", ".cif"]
    rows = []
    for (entry_id, _), suffix in zip(SEQUENCES.items(), formats, strict=True):
        nested = folder / "structures" / entry_id[1:3]
        nested.mkdir(parents=True, exist_ok=True)
        write_structure(make_structure(entry_id), nested / f"{entry_id}{suffix}")
        rows.append(
            {
                "id": entry_id,
                "split": "train" if entry_id < "2" else "val",
                "cluster": f"c{entry_id[1]}",
                "representative": int(entry_id in ("1aaa", "2bbb")),
                "has_crystal": int(entry_id != "1aad"),
                "near364": int(entry_id == "1aac"),
                "whole_entry": int(entry_id != "1aab"),
                "source": "built",
            }
        )
    rows.append({"id": "9zzz", "split": "val"})
    with open(folder / "index.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture(scope="session")
def store(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The finished store of :func:`data_folder`."""
    out = tmp_path_factory.mktemp("store") / "store"
    return build_store(data_folder / "index.csv", data_folder / "structures", out)
