"""Edges to symmetry mates are those of gemmi's neighbor search."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest

from debye.graph.neighbors import radius_neighbors
from debye.structure.crystal import COINCIDENT, Mates, crystal_problem, symmetry_mates
from debye.structure.read import read_structure
from debye.structure.select import select_atoms
from debye.structure.structure import Crystal, Structure
from debye.testing.peptide import build_peptide

RADIUS = 5.0


def gemmi_edges(structure: Structure, radius: float) -> tuple[Counter, set[int]]:
    """(receiver, sender, length to 0.01 Å) of every edge by gemmi, and the atoms on special positions."""
    crystal = structure.crystal
    assert crystal is not None
    model = gemmi.Model(1)
    chain = gemmi.Chain("A")
    for row, (element, place) in enumerate(
        zip(structure.element.tolist(), structure.position.tolist(), strict=True)
    ):
        residue = gemmi.Residue()
        residue.name, residue.seqid = "UNL", gemmi.SeqId(row + 1, " ")
        atom = gemmi.Atom()
        atom.name, atom.element = "X", gemmi.Element(element.capitalize())
        atom.pos, atom.serial = gemmi.Position(*place), row
        residue.add_atom(atom)
        chain.add_residue(residue)
    model.add_chain(chain)
    whole = gemmi.Structure()
    whole.add_model(model)
    whole.cell = gemmi.UnitCell(*crystal.cell)
    whole.spacegroup_hm = crystal.space_group
    whole.setup_cell_images()
    search = gemmi.NeighborSearch(whole[0], whole.cell, radius + 1).populate()
    edges, special = Counter(), set()
    for row, place in enumerate(structure.position.tolist()):
        here = gemmi.Position(*place)
        for mark in search.find_atoms(here, "\0", min_dist=0, radius=radius):
            # A mark stays in the unit cell; the distance is that to its nearest image.
            length = search.dist(here, mark.pos)
            sender = mark.residue_idx
            if sender != row or length > COINCIDENT:
                edges[row, sender, round(length, 2)] += 1
            elif mark.image_idx != 0:
                special.add(row)
    return edges, special


def our_edges(structure: Structure, mates: Mates, radius: float) -> Counter:
    edges = radius_neighbors(structure.position, mates, radius)
    length = np.linalg.norm(edges.vector, axis=1)
    rows = zip(edges.receiver.tolist(), edges.sender.tolist(), length.tolist(), strict=True)
    return Counter((receiver, sender, round(d, 2)) for receiver, sender, d in rows)


def compare(structure: Structure) -> int:
    """Assert equal edges; return the number of edges from mates."""
    mates = symmetry_mates(structure, RADIUS)
    ours, (theirs, special) = our_edges(structure, mates, RADIUS), gemmi_edges(structure, RADIUS)
    pairs, gemmi_pairs = Counter(), Counter()
    for edges, found in ((ours, pairs), (theirs, gemmi_pairs)):
        for (receiver, sender, length), count in edges.items():
            # gemmi counts an atom on a special position once for each operation that leaves it there.
            # It takes images in double precision, here they are float32: leave the last 0.01 Å out.
            if sender not in special and abs(length - RADIUS) > 0.011:
                found[receiver, sender] += count
    assert len(special) < 0.01 * len(structure) + 1
    assert pairs == gemmi_pairs
    # The lengths agree too, but for those that 0.01 Å cuts in two.
    assert (ours - theirs).total() < 0.01 * ours.total()
    return int(radius_neighbors(structure.position, mates, RADIUS).is_mate.sum())


CELLS = {
    "P 1": (30.0, 18.0, 17.0, 88.0, 95.0, 91.0),
    "P 1 21 1": (34.0, 21.0, 40.0, 90.0, 94.0, 90.0),
    "C 1 2 1": (60.0, 30.0, 40.0, 90.0, 98.0, 90.0),
    "P 21 21 21": (26.0, 38.0, 44.0, 90.0, 90.0, 90.0),
    "I 2 2 2": (48.0, 54.0, 66.0, 90.0, 90.0, 90.0),
    "P 43 21 2": (41.0, 41.0, 66.0, 90.0, 90.0, 90.0),
    "P 65 2 2": (52.0, 52.0, 90.0, 90.0, 90.0, 120.0),
    "H 3 2": (70.0, 70.0, 90.0, 90.0, 90.0, 120.0),
    "R 3": (46.0, 46.0, 46.0, 80.0, 80.0, 80.0),
    "I 21 3": (80.0, 80.0, 80.0, 90.0, 90.0, 90.0),
}


@pytest.mark.parametrize("space_group", CELLS)
def test_built_crystals(space_group):
    crystal = Crystal(cell=CELLS[space_group], space_group=space_group)
    peptide = replace(build_peptide("MKWHEFRGPYCITW"), crystal=crystal)
    generator = np.random.default_rng(0)
    contacts = 0
    for _ in range(40):
        shift = generator.uniform(0, 40, 3).astype(np.float32)
        placed = replace(peptide, position=peptide.position + shift)
        try:
            contacts = compare(placed)
        except ValueError:  # this place makes copies clash, as no crystal does
            continue
        if contacts:
            break
    assert contacts > 0


@pytest.mark.parametrize("name", ["3a02.pdb", "1r0f.pdb", "1pga.cif", "1acj.bcif", "1rpe.pdb"])
def test_files_of_the_pdb(benchmark_data: Path, name):
    structure, _ = select_atoms(read_structure(benchmark_data / "formats" / name))
    assert crystal_problem(structure.crystal, len(structure)) is None
    assert compare(structure) > 0


def test_a_sample_of_every_crystal_system(benchmark_data: Path):
    wanted = (
        "P 1",
        "C 1 2 1",
        "P 21 21 2",
        "P 41 21 2",
        "P 61 2 2",
        "H 3",
        "H 3 2",
        "I 2 3",
        "F 2 2 2",
    )
    with (benchmark_data / "index.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["has_crystal"] == "1"]
    found = {}
    for row in sorted(rows, key=lambda row: int(row["n_atoms"])):
        if row["space_group"] in wanted:
            found.setdefault(row["space_group"], row["id"])
    assert len(found) >= 7
    for entry in found.values():
        path = benchmark_data / "structures" / entry[1:3] / f"{entry}.bcif.gz"
        structure, _ = select_atoms(read_structure(path))
        assert compare(structure) > 0, entry
