"""Apo or holo from the components of an entry."""

from __future__ import annotations

import csv

import pytest

from debye.dataset.search.ligands import BoundComponent, LigandRules, additives, ligand_state
from debye.structure.components import find_component

RULES = LigandRules()


@pytest.mark.parametrize(
    ("components", "state", "ligands"),
    [
        ([], "apo", ()),
        ([("MG", 1), ("GOL", 6), ("PEG", 7), ("NAG", 15)], "apo", ()),
        ([("ATP", 31)], "holo", ("ATP",)),
        ([("BCT", 4), ("XYZ", 6)], "apo", ()),
        ([("XYZ", 7)], "holo", ("XYZ",)),
        ([("XYZ", None)], "holo", ("XYZ",)),
        ([("XYZ", 3), ("XYZ", 9), ("abc", 9)], "holo", ("ABC", "XYZ")),
    ],
)
def test_size_and_the_list_decide(components, state, ligands):
    found = ligand_state([BoundComponent(*item) for item in components], RULES)
    assert (found.state, found.ligands) == (state, ligands)


def test_a_recipe_adds_to_the_list_and_takes_from_it():
    components = [BoundComponent("CIT", 13), BoundComponent("SAH", 26)]
    rules = LigandRules(also_additives=("sah",), not_additives=("CIT",))
    found = ligand_state(components, rules)
    assert found.ligands == ("CIT",)
    assert found.additives == ("SAH",)


def test_the_shipped_list_has_only_ids():
    assert {"GOL", "HOH", "NAG", "SO4"} <= additives()
    assert all(name.isalnum() and name == name.upper() for name in additives())
    assert len(additives()) > 150


def test_states_agree_with_the_benchmark(benchmark_data):
    """Every entry of the index: its ligands, with the sizes of the component dictionary.

    The index counted the atoms in the file: pentanoic acid (LEA) has seven, but six where it is bound as an amide. And it
    counts the sugars that end N-glycans: here they are additives, also where they are what a protein binds.
    """
    differ = []
    with open(benchmark_data / "index.csv", newline="") as file:
        for row in csv.DictReader(file):
            found = [name for name in row["ligands"].split(";") if name]
            components = []
            for name in found:
                known = find_component(name)
                components.append(BoundComponent(name, len(known.atom_names) if known else None))
            if (ligand_state(components, RULES).state == "holo") != (row["holo"] == "1"):
                differ.append((row["id"], row["ligands"], row["holo"]))
    assert differ == [
        ("1a3k", "GAL;NAG", "1"),
        ("1gca", "CA;GAL", "1"),
        ("1myr", "BMA;FUC;GOL;MAN;NAG;NDG;SO4;XYP;ZN", "1"),
        ("1nsc", "CA;NAG;SIA", "1"),
        ("1t0o", "BMA;GAL;MAN;NAG", "1"),
        ("1vwk", "LEA", "0"),
        ("3e81", "EDO;MG;PEG;SLB;VN4", "1"),
        ("4a4a", "CA;GAL;GOL;NDG;SO4", "1"),
    ]
