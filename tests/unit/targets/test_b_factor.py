"""Verdicts on the B column: what must be refused is, and what is sound is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from debye.structure.read import read_structure
from debye.structure.select import select_atoms
from debye.structure.structure import BKind, EntityKind, Entry, Structure
from debye.targets.b_factor import (
    BReason,
    assess_b,
    b_labels,
    relative_trust,
    resolution_trust,
)

ATOMS = ("N", "CA", "C", "O", "CB", "CG", "CD", "CE")
XRAY = Entry(method="X-RAY DIFFRACTION", resolution=2.0)


def protein(residues: int = 40, chains: str = "A", seed: int = 0) -> Structure:
    """Residues of eight atoms with individually refined B around 30 Å²."""
    per_chain = residues * len(ATOMS)
    atoms = per_chain * len(chains)
    generator = np.random.default_rng(seed)
    number = np.repeat(np.arange(residues), len(ATOMS))
    blank = np.full(atoms, "")
    return Structure(
        source="test",
        record=np.arange(atoms, dtype=np.int32),
        model=np.ones(atoms, np.int32),
        chain=np.repeat(list(chains), per_chain),
        chain_label=blank,
        residue_number=np.tile(number, len(chains)).astype(np.int32),
        insertion_code=blank,
        residue_name=np.full(atoms, "LYS"),
        atom_name=np.tile(ATOMS, residues * len(chains)),
        altloc=blank,
        element=np.full(atoms, "C"),
        position=generator.normal(size=(atoms, 3)).astype(np.float32),
        occupancy=np.ones(atoms, np.float32),
        b_iso=(10 + generator.gamma(4, 5, atoms)).round(2).astype(np.float32),
        is_hetero=np.zeros(atoms, bool),
        entity_kind=np.full(atoms, EntityKind.PROTEIN, np.int8),
        residue_index=np.repeat(np.arange(residues * len(chains)), len(ATOMS)).astype(np.int32),
        entry=XRAY,
    )


def with_b(structure: Structure, b: np.ndarray) -> Structure:
    return replace(structure, b_iso=np.asarray(b, np.float32))


def test_individual_b_factors_are_usable() -> None:
    quality = assess_b(protein(chains="AB"))
    assert not quality.reasons
    assert quality.usable.all()
    assert quality.masked == {}
    assert quality.chains == {}


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"method": "SOLUTION NMR"}, BReason.NOT_XRAY),
        ({"method": "ELECTRON MICROSCOPY"}, BReason.NOT_XRAY),
        ({"method": "NEUTRON DIFFRACTION"}, BReason.NOT_XRAY),
        ({"method": "NEUTRON DIFFRACTION; X-RAY DIFFRACTION"}, BReason.NOT_XRAY),
        ({"is_predicted": True, "b_kind": BKind.NOT_CRYSTALLOGRAPHIC}, BReason.PREDICTED),
        ({"b_kind": BKind.NOT_CRYSTALLOGRAPHIC}, BReason.NOT_CRYSTALLOGRAPHIC),
        ({"b_kind": BKind.RESIDUAL}, BReason.RESIDUAL),
    ],
)
def test_header_refuses_the_entry(facts: dict, reason: BReason) -> None:
    quality = assess_b(replace(protein(), entry=replace(XRAY, **facts)))
    assert quality.reasons == (reason,)
    assert not quality.usable.any()


@pytest.mark.parametrize(
    "facts",
    [
        {"method": ""},
        {"method": "X-RAY DIFFRACTION; NEUTRON DIFFRACTION"},
        {"method": "SOLUTION SCATTERING; X-RAY DIFFRACTION"},
        {"b_kind": BKind.FULL, "has_tls": True},
        {"b_kind": BKind.UNKNOWN, "has_tls": True},
    ],
)
def test_header_that_must_not_refuse(facts: dict) -> None:
    assert assess_b(replace(protein(), entry=replace(XRAY, **facts))).usable.all()


def test_displacements_instead_of_b_are_refused() -> None:
    structure = protein()
    u = structure.b_iso / (8 * np.pi**2)
    assert assess_b(with_b(structure, u)).reasons == (BReason.DISPLACEMENT,)
    # The sharpest crystals: B of 1.5 to 8 at 0.5 Å resolution.
    sharp = 1.5 + (structure.b_iso - 10) / 6
    assert assess_b(with_b(structure, sharp)).usable.all()


@pytest.mark.parametrize("constant", [20.0, 0.01])
def test_constant_b_is_refused(constant: float) -> None:
    structure = protein()
    reasons = assess_b(with_b(structure, np.full(len(structure), constant))).reasons
    assert BReason.CONSTANT in reasons
    mostly = structure.b_iso.copy()
    mostly[: int(0.6 * len(mostly))] = 20.0
    assert assess_b(with_b(structure, mostly)).reasons == (BReason.CONSTANT,)


def test_zero_everywhere_is_refused() -> None:
    structure = protein()
    quality = assess_b(with_b(structure, np.zeros(len(structure))))
    assert quality.reasons
    assert quality.masked[BReason.ZERO] == len(structure)


def test_missing_everywhere_is_refused() -> None:
    structure = protein()
    assert BReason.MISSING in assess_b(with_b(structure, np.full(len(structure), np.nan))).reasons


def test_one_value_per_residue_is_refused() -> None:
    structure = protein()
    grouped = structure.b_iso[::8][structure.residue_index]
    quality = assess_b(with_b(structure, grouped))
    assert quality.reasons == (BReason.GROUPED,)
    assert quality.chains == {"A": BReason.GROUPED}


def test_rounding_does_not_hide_one_value_per_residue() -> None:
    structure = protein()
    grouped = structure.b_iso[::8][structure.residue_index].astype(np.float64)
    noise = np.random.default_rng(1).uniform(-0.002, 0.002, len(grouped))
    assert assess_b(with_b(structure, grouped + noise)).reasons == (BReason.GROUPED,)


@pytest.mark.parametrize(("share", "is_refused"), [(0.15, False), (0.3, True)])
def test_share_of_constant_residues_decides(share: float, is_refused: bool) -> None:
    structure = protein(residues=100)
    b = structure.b_iso.copy()
    constant = structure.residue_index < share * 100
    b[constant] = b[::8][structure.residue_index[constant]]
    quality = assess_b(with_b(structure, b))
    assert bool(quality.reasons) == is_refused
    if not is_refused:
        np.testing.assert_array_equal(quality.usable, ~constant)
        assert quality.masked == {BReason.GROUPED: constant.sum()}


def test_two_values_per_residue_are_usable_glycines_included() -> None:
    structure = protein(residues=60)
    backbone = np.isin(structure.atom_name, ATOMS[:4])
    two = np.where(
        backbone,
        structure.b_iso[::8][structure.residue_index],
        structure.b_iso[7::8][structure.residue_index],
    )
    # Every third residue loses its side chain, as glycine: four atoms, one value.
    kept = backbone | (structure.residue_index % 3 > 0)
    quality = assess_b(with_b(structure, two).take(kept))
    assert quality.usable.all()


def test_a_refused_chain_does_not_take_the_others_with_it() -> None:
    structure = protein(chains="ABC")
    b = structure.b_iso.copy()
    second = structure.chain == "B"
    b[second] = b[::8][structure.residue_index][second]
    quality = assess_b(with_b(structure, b))
    assert not quality.reasons
    np.testing.assert_array_equal(quality.usable, ~second)
    assert quality.chains == {"B": BReason.GROUPED}
    counts = b_labels(with_b(structure, b)).reasons
    assert counts == {f"chain: {BReason.GROUPED}": second.sum()}


def test_an_entry_with_most_residues_refused_is_refused() -> None:
    structure = protein(chains="ABC")
    b = structure.b_iso.copy()
    refused = structure.chain != "B"
    b[refused] = b[::8][structure.residue_index][refused]
    assert assess_b(with_b(structure, b)).reasons == (BReason.GROUPED,)


def test_atoms_are_masked_for_their_own_reasons() -> None:
    structure = protein()
    b, occupancy = structure.b_iso.copy(), structure.occupancy.copy()
    b[:4] = [np.nan, 0.0, -5.0, 600.0]
    occupancy[4] = 0
    quality = assess_b(replace(with_b(structure, b), occupancy=occupancy))
    assert not quality.reasons
    assert not quality.usable[:5].any()
    assert quality.usable[5:].all()
    assert quality.masked == {
        BReason.MISSING: 1,
        BReason.ZERO: 1,
        BReason.ABSURD: 2,
        BReason.ZERO_OCCUPANCY: 1,
    }


def test_atoms_at_the_cap_are_masked_and_the_rest_stays() -> None:
    structure = protein()
    capped = np.minimum(structure.b_iso, np.quantile(structure.b_iso, 0.9))
    at_cap = capped == capped.max()
    quality = assess_b(with_b(structure, capped))
    np.testing.assert_array_equal(quality.usable, ~at_cap)
    assert quality.masked[BReason.CAPPED] == at_cap.sum()


def test_a_group_refined_ligand_is_no_cap() -> None:
    structure = protein()
    ligand = structure.residue_index == 39
    kind = structure.entity_kind.copy()
    kind[ligand] = EntityKind.LIGAND
    b = structure.b_iso.copy()
    b[ligand] = 200.0
    quality = assess_b(replace(with_b(structure, b), entity_kind=kind))
    assert quality.masked == {BReason.GROUPED: 8}
    np.testing.assert_array_equal(quality.usable, ~ligand)


def test_atoms_at_the_floor_stay() -> None:
    structure = protein()
    floored = np.maximum(structure.b_iso, np.quantile(structure.b_iso, 0.2))
    floored[structure.residue_index == 3] = floored.min()
    quality = assess_b(with_b(structure, floored))
    assert quality.usable.all()


def test_single_ions_follow_the_entry() -> None:
    structure = protein(chains="AB")
    ion = np.append(np.arange(320), 320)  # chain B: one atom
    quality = assess_b(structure.take(ion))
    assert quality.usable.all()
    assert quality.chains == {}


def test_too_few_atoms() -> None:
    assert assess_b(protein(residues=6)).reasons == (BReason.TOO_FEW,)
    assert not assess_b(protein(residues=7)).reasons


def test_anisotropic_values_must_agree_with_b() -> None:
    structure = protein()
    u = np.zeros((len(structure), 6), np.float32)
    u[:, :3] = (structure.b_iso / (8 * np.pi**2))[:, None] * [0.7, 1.0, 1.3]
    assert assess_b(replace(structure, u_aniso=u)).usable.all()
    half = np.where(np.arange(len(u))[:, None] % 2, u, np.nan)
    assert assess_b(replace(structure, u_aniso=half)).usable.all(), "not every atom has ANISOU"
    residual = with_b(structure, structure.b_iso - 8)
    assert assess_b(replace(residual, u_aniso=u)).reasons == (BReason.ANISOU_DISAGREES,)


def test_empty_structure_is_refused_not_crashed() -> None:
    quality = assess_b(protein().take(np.zeros(320, bool)))
    assert quality.reasons
    assert len(quality.usable) == 0


def test_verdict_does_not_depend_on_the_order_of_atoms_and_changes_nothing() -> None:
    structure = protein(chains="AB")
    b = np.minimum(structure.b_iso, 50.0)
    b[:40] = b[0]
    structure = with_b(structure, b)
    order = np.random.default_rng(3).permutation(len(structure))
    shuffled = structure.take(order)
    before = shuffled.b_iso.copy()
    quality = assess_b(shuffled)
    np.testing.assert_array_equal(shuffled.b_iso, before)
    np.testing.assert_array_equal(quality.usable, assess_b(structure).usable[order])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("2fcf.pdb", BReason.RESIDUAL),
        ("2gts.pdb", BReason.RESIDUAL),
        ("1hlz.pdb", BReason.GROUPED),
        ("3b8a.pdb", BReason.GROUPED),
        ("8u4l.cif.gz", BReason.NOT_XRAY),
        ("1l2y.bcif", BReason.NOT_XRAY),
        ("1l2y.pdb", BReason.NOT_XRAY),
    ],
)
def test_refused_benchmark_files(benchmark_data: Path, name: str, reason: BReason) -> None:
    structure, _ = select_atoms(read_structure(benchmark_data / "formats" / name))
    assert assess_b(structure).reasons == (reason,)


@pytest.mark.parametrize(
    "name",
    "1a34.pdb 1acj.bcif 1fh5.pdb 1hpg.pdb 1lmq.pdb 1pga.cif 1r0f.pdb 1rpe.pdb 1tal.pdb 1ts8.pdb "
    "200l.cif 2gzv.pdb.gz 3a02.pdb 3cro.pdb 3pcj.pdb 3uln.cif.gz 5fwo_noheader.pdb".split(),
)
def test_usable_benchmark_files(benchmark_data: Path, name: str) -> None:
    structure, _ = select_atoms(read_structure(benchmark_data / "formats" / name))
    quality = assess_b(structure)
    assert not quality.reasons
    assert quality.usable.mean() > 0.96


def test_predicted_models_are_refused(benchmark_data: Path) -> None:
    for path in sorted((benchmark_data / "af_models").glob("*.cif.gz"))[::8]:
        structure, _ = select_atoms(read_structure(path))
        assert BReason.PREDICTED in assess_b(structure).reasons, path.name


def test_sample_of_the_structures_is_usable(benchmark_data: Path) -> None:
    paths = sorted((benchmark_data / "structures").rglob("*.bcif.gz"))[::100]
    atoms = usable = 0
    for path in paths:
        structure, _ = select_atoms(read_structure(path))
        quality = assess_b(structure)
        assert not quality.reasons, f"{path.name}: {quality}"
        atoms += len(structure)
        usable += quality.usable.sum()
    # These were chosen for individual B-factors; 99.85 % of the atoms of 550 entries are usable.
    assert usable > 0.99 * atoms


def test_trust_falls_with_resolution() -> None:
    trust = [resolution_trust(resolution) for resolution in (0.9, 1.5, 2.2, 3.0)]
    assert trust == sorted(trust, reverse=True)
    assert resolution_trust(2.2) == pytest.approx(0.5)
    assert relative_trust(None) == relative_trust(2.0) == 1.0


def test_labels_count_why_values_cannot_be_used() -> None:
    structure = protein()
    b = structure.b_iso.copy()
    b[3] = 0.0
    labels = b_labels(with_b(structure, b))
    assert np.flatnonzero(~labels.usable).tolist() == [3]
    assert labels.reasons == {"B is zero": 1}
    np.testing.assert_array_equal(labels.value, b)
    refused = b_labels(replace(structure, entry=Entry(is_predicted=True)))
    assert not refused.usable.any()
    assert refused.reasons == {f"entry: {BReason.PREDICTED}": len(structure)}
