from __future__ import annotations

import numpy as np
import pytest

from debye.structure.read import source_from_bytes
from debye.structure.select import Selection, select_atoms
from debye.structure.structure import Structure

ALTLOCS = """\
ATOM      1  N   SER A   1       0.000   0.000   0.000  1.00 10.00           N
ATOM      2  CA ASER A   1       1.458   0.000   0.000  0.40 10.00           C
ATOM      3  CA BSER A   1       1.468   0.000   0.000  0.60 10.00           C
ATOM      4  CB ASER A   1       2.000   1.400   0.000  0.40 10.00           C
ATOM      5  CB BSER A   1       2.010   1.400   0.000  0.60 10.00           C
ATOM      6  OG BSER A   1       3.400   1.400   0.000  0.60 10.00           O
ATOM      7  N  APRO A   2       1.000   5.000   0.000  0.50 10.00           N
ATOM      8  N  BSER A   2       1.000   5.100   0.000  0.50 10.00           N
ATOM      9  CA APRO A   2       2.400   5.000   0.000  0.50 10.00           C
ATOM     10  CA BSER A   2       2.400   5.100   0.000  0.50 10.00           C
ATOM     11  OG BSER A   2       3.400   5.100   0.000  0.50 10.00           O
ATOM     12  N   GLY A   3       1.000   9.000   0.000  1.00 10.00           N
ATOM     13  H   GLY A   3       1.000   9.900   0.000  1.00 10.00           H
ATOM     14  D   GLY A   3       1.000   8.100   0.000  1.00 10.00           D
HETATM   15  O   HOH A 101      20.000   9.000   0.000  1.00 10.00           O
HETATM   16  UNK UNX A 102      25.000   9.000   0.000  1.00 10.00           X
ATOM     17  CA  GLY A   3                                  1.00 10.00           C
"""


def read(text: str) -> Structure:
    return source_from_bytes(text.encode(), "test").structure


def kept(structure: Structure) -> list[str]:
    parts = zip(structure.residue_name.tolist(), structure.atom_name.tolist(), strict=True)
    return [" ".join(part) for part in parts]


def test_each_dropped_atom_is_counted_once_for_its_reason():
    structure, selection = select_atoms(read(ALTLOCS))
    assert selection == Selection(
        hydrogens=2, waters=1, no_coordinates=1, unknown_elements=1, altlocs=2 + 3
    )
    assert len(structure) + selection.total == 17


def test_the_conformer_of_highest_occupancy_stays_whole_and_ties_go_by_label():
    structure, _ = select_atoms(read(ALTLOCS))
    assert kept(structure) == [
        "SER N", "SER CA", "SER CB", "SER OG", "PRO N", "PRO CA", "GLY N",
    ]  # fmt: skip
    assert structure.altloc.tolist() == ["", "B", "B", "B", "A", "A", ""]
    assert structure.residue_index.tolist() == [0, 0, 0, 0, 1, 1, 2]


def test_the_choice_does_not_depend_on_the_order_of_atoms():
    lines = ALTLOCS.splitlines(keepends=True)
    expected = set(select_atoms(read(ALTLOCS))[0].position[:, 0].tolist())
    generator = np.random.default_rng(0)
    for _ in range(10):
        order = generator.permutation(len(lines))
        structure, selection = select_atoms(read("".join(lines[i] for i in order)))
        assert set(structure.position[:, 0].tolist()) == expected
        assert selection.total == 10
        np.testing.assert_array_equal(np.diff(structure.record) > 0, True)  # rows keep their order


def test_an_unequal_number_of_atoms_does_not_decide():
    # By the sum B would win, by the mean A does.
    text = "".join(line for line in ALTLOCS.splitlines(keepends=True)[:6])
    text = text.replace("0.60 10.00", "0.35 10.00")
    structure, _ = select_atoms(read(text))
    assert structure.altloc.tolist() == ["", "A", "A"]


def test_only_the_first_model_of_the_file_stays():
    one = "".join(ALTLOCS.splitlines(keepends=True)[:1])
    text = f"MODEL        3\n{one}ENDMDL\nMODEL        1\n{one}{one}ENDMDL\n"
    structure, selection = select_atoms(read(text))
    assert structure.model.tolist() == [3]
    assert selection == Selection(other_models=2)


def test_nothing_but_water_leaves_no_atoms():
    line = next(line for line in ALTLOCS.splitlines() if "HOH" in line)
    structure, selection = select_atoms(read(line))
    assert len(structure) == 0
    assert structure.n_residues == 0
    assert selection.waters == 1


def test_links_and_anisotropic_tensors_follow(benchmark_data):
    from debye.structure.read import read_structure

    everything = read_structure(benchmark_data / "formats" / "3a02.pdb")
    structure, _ = select_atoms(everything)
    assert structure.u_aniso is not None
    assert structure.u_aniso.shape == (len(structure), 6)
    assert {tuple(sorted(structure.element[pair])) for pair in structure.links} == {("CD", "O")}


@pytest.mark.parametrize("name", ["1hpg", "1tal"])
def test_one_conformer_a_residue_in_real_files(benchmark_data, name):
    from debye.structure.read import read_structure

    structure, selection = select_atoms(read_structure(benchmark_data / "formats" / f"{name}.pdb"))
    assert selection.altlocs > 50
    pairs = {
        (residue, altloc)
        for residue, altloc in zip(structure.residue_index, structure.altloc, strict=True)
        if altloc
    }
    assert len(pairs) == len({residue for residue, _ in pairs})
    names = set(zip(structure.residue_index.tolist(), structure.atom_name.tolist(), strict=True))
    assert len(names) == len(structure)
