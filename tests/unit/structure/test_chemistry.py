"""Elements, residues, atom names."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from debye.structure.chemistry import (
    BACKBONE,
    COVALENT_RADIUS,
    ELEMENTS,
    LOCANTS,
    PROPERTY_CATEGORIES,
    RESIDUE_PROPERTIES,
    RESIDUES,
    ComponentClass,
    component_class,
    covalent_radius,
    element_code,
    is_metal,
    locant_code,
    residue_code,
    residue_property_code,
    unique_text,
)
from debye.structure.structure import EntityKind, Structure


def locant(atom: str, residue: str, kind: EntityKind) -> str:
    code = locant_code(np.array([atom]), np.array([residue]), np.array([kind], np.int8))
    return LOCANTS[int(code[0])]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ALA", "PEPTIDE"), ("MSE", "PEPTIDE"), ("DAL", "PEPTIDE"), ("UNK", "PEPTIDE"),
        ("ACE", "PEPTIDE"), ("NH2", "PEPTIDE"), ("DA", "NUCLEOTIDE"), ("A", "NUCLEOTIDE"),
        ("PSU", "NUCLEOTIDE"), ("NAG", "SACCHARIDE"), ("BMA", "SACCHARIDE"), ("HOH", "WATER"),
        ("DOD", "WATER"), ("WAT", "WATER"), ("ZN", "ION"), ("CA", "ION"), ("CL", "ION"),
        ("XE", "ION"), ("SO4", "OTHER"), ("ATP", "OTHER"), ("HEM", "OTHER"), ("nag", "UNKNOWN"),
        ("", "UNKNOWN"), ("MYLIGAND", "UNKNOWN"),
    ],
)  # fmt: skip
def test_component_class(name: str, expected: str) -> None:
    assert component_class(np.array([name]))[0] == ComponentClass[expected]


@pytest.mark.parametrize(
    ("atom", "residue", "expected"),
    [
        ("N", "ALA", "N"), ("CA", "ALA", "CA"), ("C", "ALA", "C"), ("O", "ALA", "O"),
        ("OXT", "ALA", "OXT"), ("OT1", "ALA", "O"), ("CB", "ALA", "B"), ("SG", "CYS", "G"),
        ("CG2", "THR", "G"), ("OD1", "ASP", "D"), ("SD", "MET", "D"), ("SE", "MSE", "D"),
        ("SE", "SEC", "G"), ("SE", "ALA", "other"), ("NE2", "HIS", "E"), ("CZ3", "TRP", "Z"),
        ("NZ", "LYS", "Z"), ("OH", "TYR", "H"), ("CH2", "TRP", "H"), ("NH1", "ARG", "H"),
        ("P", "SEP", "other"), ("O1P", "SEP", "other"), ("ZN", "ALA", "other"), ("H", "ALA", "other"),
        ("", "ALA", "other"), ("X", "UNK", "other"),
    ],
)  # fmt: skip
def test_protein_locants(atom: str, residue: str, expected: str) -> None:
    assert locant(atom, residue, EntityKind.PROTEIN) == expected


@pytest.mark.parametrize(
    ("atom", "expected"),
    [
        ("P", "phosphate"), ("OP1", "phosphate"), ("O1P", "phosphate"), ("O5'", "phosphate"),
        ("O3*", "phosphate"), ("C1'", "sugar"), ("O2'", "sugar"), ("C4*", "sugar"), ("N9", "base"),
        ("C7", "base"), ("O6", "base"), ("CA", "base"), ("BR", "other"),
    ],
)  # fmt: skip
def test_nucleic_locants(atom: str, expected: str) -> None:
    assert locant(atom, "DA", EntityKind.NUCLEIC) == expected


@pytest.mark.parametrize("kind", [EntityKind.ION, EntityKind.LIGAND, EntityKind.SUGAR])
@pytest.mark.parametrize("atom", ["CA", "N", "C1'", "P"])
def test_only_polymers_have_locants(kind: EntityKind, atom: str) -> None:
    assert locant(atom, atom, kind) == "other"


def test_backbone_of_a_peptide(peptide: Structure) -> None:
    backbone = np.isin(peptide.atom_name, BACKBONE)
    assert backbone.sum() == 4 * peptide.n_residues + 1
    assert "other" not in {
        LOCANTS[code]
        for code in locant_code(peptide.atom_name, peptide.residue_name, peptide.entity_kind)
    }


def test_codes_are_positions_and_zero_is_other() -> None:
    for names, code in ((ELEMENTS, element_code), (RESIDUES, residue_code)):
        assert code(np.array(names[1:])).tolist() == list(range(1, len(names)))
        assert code(np.array(["??", "", "other"])).tolist() == [0, 0, 0]
        assert len(set(names)) == len(names)
        assert names[0] == "other"
    assert LOCANTS[0] == "other"
    assert element_code(np.array(["C"])).dtype == np.int64


def test_radii_are_those_of_gemmi() -> None:
    for symbol in set(COVALENT_RADIUS) - {"D"}:
        element = gemmi.Element(symbol)
        # gemmi takes sp2 carbon, and has the radii of lutetium and hafnium swapped.
        if symbol not in ("C", "LU", "HF"):
            assert COVALENT_RADIUS[symbol] == pytest.approx(element.covalent_r, abs=1e-5), symbol


def test_metals_are_those_of_gemmi() -> None:
    symbols = np.array(sorted(COVALENT_RADIUS))
    # Metalloids: they form covalent bonds in ligands, so that a coordination distance misleads.
    clear = symbols[~np.isin(symbols, ("D", "GE", "AS", "SB", "TE", "PO", "AT", "SI", "B"))]
    expected = [gemmi.Element(symbol).is_metal for symbol in clear]
    assert is_metal(clear).tolist() == expected
    assert not is_metal(np.array(["", "X", "SE", "B"])).any()


def test_unknown_elements_have_the_radius_of_carbon() -> None:
    assert covalent_radius(np.array(["X", "", "C"])).tolist() == pytest.approx([0.76] * 3)


def test_residue_properties_cover_the_twenty() -> None:
    names = np.array([*RESIDUES[1:21]])
    assert set(names) == set(RESIDUE_PROPERTIES)
    for name, categories in PROPERTY_CATEGORIES.items():
        code = residue_property_code(names, name)
        assert set(code.tolist()) == set(range(1, len(categories))), name
        others = np.array(["MSE", "DA", "ATP", ""])
        assert (residue_property_code(others, name) == 0).all()


@pytest.mark.parametrize(
    ("residue", "size", "hydrophilicity", "charge", "aromaticity"),
    [
        ("GLY", "very small", "neutral", "neutral", "not aromatic"),
        ("TRP", "very large", "hydrophobic", "neutral", "aromatic"),
        ("ASP", "small", "hydrophilic", "negative", "not aromatic"),
        ("ARG", "large", "hydrophilic", "positive", "not aromatic"),
        ("HIS", "medium", "neutral", "neutral", "aromatic"),
    ],
)
def test_residue_categories(
    residue: str, size: str, hydrophilicity: str, charge: str, aromaticity: str
) -> None:
    expected = dict(
        zip(PROPERTY_CATEGORIES, (size, hydrophilicity, charge, aromaticity), strict=True)
    )
    for name, category in expected.items():
        code = int(residue_property_code(np.array([residue]), name)[0])
        assert PROPERTY_CATEGORIES[name][code] == category


@pytest.mark.parametrize(
    "names",
    [["CA", "N", "CA", ""], ["β", "CA", "β"], ["a" * 30, "b", "a" * 30], ["C1'", "C1*", "C1'"]],
)
def test_unique_text_is_numpy_unique(names: list[str]) -> None:
    text = np.array(names)
    distinct, row = unique_text(text)
    assert sorted(distinct.tolist()) == sorted(set(names))
    assert distinct[row].tolist() == names


def test_empty_columns() -> None:
    text, kind = np.zeros(0, "U4"), np.zeros(0, np.int8)
    assert len(component_class(text)) == len(element_code(text)) == len(is_metal(text)) == 0
    assert len(locant_code(text, text, kind)) == 0
