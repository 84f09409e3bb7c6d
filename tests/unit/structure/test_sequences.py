from __future__ import annotations

import gemmi
import pytest
from homologs import protein

from debye.structure.read import source_from_bytes
from debye.structure.sequences import annotation_of, observed_sequences, read_annotated
from debye.structure.write import write_structure

PDB = """\
HEADER    TRANSFERASE
KEYWDS    TYROSINE KINASE,
KEYWDS   2 INHIBITOR
SEQRES   1 A    4  ACE MSE ALA SEP
SEQRES   1 B    3   DA  DC  DG
SEQRES   1 C    2  GLY XYZ
ATOM      1  N   MSE A   2      10.000  10.000  10.000  1.00 20.00           N
SEQRES   1 D    1  GLY
"""
CIF = """\
data_1ABC
_struct_keywords.pdbx_keywords KINASE
_struct_keywords.text 'a kinase'
loop_
_entity_poly.entity_id
_entity_poly.type
_entity_poly.pdbx_strand_id
1 'polypeptide(L)' A,B
2 polydeoxyribonucleotide C
loop_
_entity_poly_seq.entity_id
_entity_poly_seq.num
_entity_poly_seq.mon_id
1 1 MSE
1 2 LEU
1 2 ILE
1 3 SEP
2 1 DA
loop_
_atom_site.id
_atom_site.Cartn_x
_atom_site.Cartn_y
_atom_site.Cartn_z
1 1.0 2.0 3.0
"""


def test_declared_sequences_of_pdb_text() -> None:
    found = annotation_of(source_from_bytes(PDB.encode(), "x.pdb"))
    assert found.sequences == {"A": "MAS", "C": "GX"}
    assert found.keywords == "TYROSINE KINASE, INHIBITOR"


def test_declared_sequences_of_mmcif_take_the_first_of_two_residues_at_one_place() -> None:
    found = annotation_of(source_from_bytes(CIF.encode(), "x.cif"))
    assert found.sequences == {"A": "MLS", "B": "MLS"}
    assert found.keywords == "KINASE a kinase"


def test_a_damaged_category_declares_nothing() -> None:
    damaged = CIF.replace("1 3 SEP", "1 3")
    found = annotation_of(source_from_bytes(damaged.encode(), "x.cif"))
    assert found.sequences == {}
    assert found.keywords == "KINASE a kinase"


def test_observed_sequences_of_two_chains(tmp_path) -> None:
    structure = protein("1abc", "MKWHEFRGPYCITLSD", "ACDEFGHIKL")
    expected = {"A": "MKWHEFRGPYCITLSD", "B": "ACDEFGHIKL"}
    assert observed_sequences(structure) == expected
    for suffix in (".cif", ".pdb"):
        path = write_structure(structure, tmp_path / f"1abc{suffix}")
        read, _ = read_annotated(path)
        assert observed_sequences(read) == expected


@pytest.mark.benchmark
def test_benchmark_entries_agree_with_gemmi(benchmark_data) -> None:
    """Observed residues are a part of the declared ones, in their order, and so is what gemmi reads."""
    for path in sorted((benchmark_data / "formats").glob("*.pdb"))[:6]:
        _, annotation = read_annotated(path)
        structure = gemmi.read_structure(str(path))
        structure.setup_entities()
        for entity in structure.entities:
            if entity.polymer_type != gemmi.PolymerType.PeptideL or not entity.full_sequence:
                continue
            names = [gemmi.Entity.first_mon(item) for item in entity.full_sequence]
            letters = "".join(gemmi.find_tabulated_residue(name).one_letter_code for name in names)
            assert letters.upper().replace(" ", "X") in annotation.sequences.values()
