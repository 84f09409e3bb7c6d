"""The packed component table."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from debye.structure.components import TABLE, ComponentClass, find_component, open_table


def bonds_of(name: str) -> set[tuple[str, str, int]]:
    component = find_component(name)
    assert component is not None
    names = component.atom_names
    return {
        (names[i], names[j], order)
        for (i, j), order in zip(component.pairs.tolist(), component.order.tolist(), strict=True)
    }


def test_phenylalanine_has_an_aromatic_ring_and_one_double_bond() -> None:
    ring = {
        ("CG", "CD1"),
        ("CG", "CD2"),
        ("CD1", "CE1"),
        ("CD2", "CE2"),
        ("CE1", "CZ"),
        ("CE2", "CZ"),
    }
    expected = {(*sorted(pair), 4) for pair in ring} | {
        ("CA", "N", 1), ("C", "CA", 1), ("CA", "CB", 1), ("C", "O", 2), ("C", "OXT", 1),
        ("CB", "CG", 1),
    }  # fmt: skip
    assert {(*sorted(bond[:2]), bond[2]) for bond in bonds_of("PHE")} == expected


def test_triple_bonds_and_metals_are_kept() -> None:
    assert {order for *_, order in bonds_of("CYN")} == {3}
    iron = {bond for bond in bonds_of("HEM") if "FE" in bond}
    assert len(iron) == 4


@pytest.mark.parametrize("name", ["ALA", "A1ABC", "ZZZ", "HEM", "VV7", "001", "000"])
def test_pairs_are_local_sorted_and_distinct(name: str) -> None:
    component = find_component(name)
    assert component is not None
    assert (component.pairs[:, 0] < component.pairs[:, 1]).all()
    assert component.pairs.max(initial=0) < len(component.atom_names)
    assert len(np.unique(component.pairs, axis=0)) == len(component.pairs)
    assert len(set(component.atom_names)) == len(component.atom_names)


@pytest.mark.parametrize("name", ["", "?", "NOSUCH", "ala", "UNKNOWN_LIGAND"])
def test_unknown_names_are_none(name: str) -> None:
    assert find_component(name) is None


def test_single_atoms_have_no_bonds() -> None:
    zinc = find_component("ZN")
    assert zinc is not None
    assert zinc.atom_names == ("ZN",)
    assert zinc.pairs.shape == (0, 2)


def test_table_says_where_it_is_from_and_is_small() -> None:
    table = open_table()
    assert "Chemical Component Dictionary" in table.source
    assert len(table.row) == len(table.kind) > 45_000
    assert set(np.unique(table.kind)) <= set(ComponentClass)
    assert TABLE.stat().st_size < 2_000_000


@pytest.mark.slow
def test_opening_is_lazy() -> None:
    code = (
        "import debye.structure.bonds, debye.structure.chemistry\n"
        "from debye.structure.components import open_table\n"
        "raise SystemExit(open_table.cache_info().currsize)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
