from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from debye.prediction.calibration import Calibration, Interval, fit_calibration
from debye.scores.strata import ErrorClass, error_classes
from debye.structure.structure import EntityKind


def errors(atoms: int = 100_000, seed: int = 0) -> dict[str, np.ndarray]:
    """Heteroscedastic, skewed errors, of different size for each class and resolution flag."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, len(ErrorClass), atoms)
    known = rng.random(atoms) < 0.5
    width = rng.uniform(1, 10, atoms)
    true_size = np.array([0.5, 1.0, 3.0, 2.0, 2.5])[kind] * np.where(known, 1.0, 2.0)
    noise = rng.gamma(2.0, 1.0, atoms) - 2.0
    predicted = np.full(atoms, 100.0)
    return {
        "true": predicted + noise * width * true_size,
        "predicted": predicted,
        "width": width,
        "atom_class": kind,
        "resolution_known": known,
    }


def test_bounds_hold_the_stated_share_on_new_atoms_of_every_class():
    fitted = fit_calibration(**errors())
    fresh = errors(seed=1)
    for known in (True, False):
        for kind in ErrorClass:
            rows = (fresh["atom_class"] == kind) & (fresh["resolution_known"] == known)
            lower, upper = fitted.bounds(
                fresh["predicted"][rows],
                fresh["width"][rows],
                fresh["atom_class"][rows],
                resolution_known=known,
                minimum=-1e9,
            )
            inside = (lower <= fresh["true"][rows]) & (fresh["true"][rows] <= upper)
            # 10,000 atoms: the share itself is uncertain by 0.003.
            assert inside.mean() == pytest.approx(0.9, abs=0.012)
            assert (fresh["true"][rows] < lower).mean() == pytest.approx(0.05, abs=0.01)


def test_skew_survives():
    fitted = fit_calibration(**errors())
    for item in fitted.intervals:
        assert item.upper > -item.lower


def test_rare_class_borrows_the_quantiles_of_all_atoms():
    sample = errors()
    rare = sample["atom_class"] == ErrorClass.OTHER
    keep = ~rare | (np.cumsum(rare) <= 50)
    fitted = fit_calibration(**{name: values[keep] for name, values in sample.items()})
    other = [item for item in fitted.intervals if item.atom_class == ErrorClass.OTHER]
    assert all(item.atoms < 200 for item in other)
    kept = {name: values[keep] for name, values in sample.items()}
    ratio = (kept["true"] - kept["predicted"]) / kept["width"]
    for item in other:
        everything = ratio[kept["resolution_known"] == item.resolution_known]
        assert [item.lower, item.upper] == pytest.approx(np.quantile(everything, [0.05, 0.95]))


def test_without_calibration_for_unknown_resolution_the_known_one_is_lent():
    sample = errors()
    known = sample["resolution_known"]
    fitted = fit_calibration(**{name: values[known] for name, values in sample.items()})
    args = (np.array([50.0]), np.array([2.0]), np.array([0]))
    assert fitted.bounds(*args, resolution_known=False) == fitted.bounds(
        *args, resolution_known=True
    )


def test_bounds_are_wider_where_the_crystal_is_unknown_if_errors_were():
    sample = errors()
    mates = np.arange(len(sample["true"])) % 2 == 0
    sample["true"] = 100.0 + (sample["true"] - 100.0) * np.where(mates, 1.0, 2.0)
    fitted = fit_calibration(**sample, crystal_known=mates)
    args = (np.array([50.0]), np.ones(1), np.array([ErrorClass.BACKBONE]))
    inside = fitted.bounds(*args, resolution_known=True, crystal_known=True)
    outside = fitted.bounds(*args, resolution_known=True, crystal_known=False)
    assert float(outside[1][0] - 50.0) == pytest.approx(2 * float(inside[1][0] - 50.0), rel=0.1)


def test_ligands_and_small_components_are_classes_of_their_own(peptide):
    kind = np.full(len(peptide), EntityKind.LIGAND, np.int8)
    classes = error_classes(replace(peptide, entity_kind=kind))
    size = np.bincount(peptide.residue_index)[peptide.residue_index]
    assert np.array_equal(classes == ErrorClass.LIGAND, size >= 7)
    assert np.array_equal(classes == ErrorClass.OTHER, size < 7)


def test_older_calibrations_without_a_class_for_nucleic_acids_lend_that_of_ligands():
    fitted = fit_calibration(**errors())
    older = Calibration(
        intervals=tuple(i for i in fitted.intervals if i.atom_class != ErrorClass.NUCLEIC)
    )
    args = (np.array([50.0, 50.0]), np.ones(2))
    kinds = np.array([ErrorClass.OTHER, ErrorClass.NUCLEIC])
    lower, upper = older.bounds(*args, kinds, resolution_known=True)
    assert lower[0] == lower[1]
    assert upper[0] == upper[1]


def test_bounds_hold_the_prediction_and_respect_the_minimum():
    biased = Calibration(
        intervals=tuple(
            Interval(atom_class=kind, resolution_known=True, lower=0.5, upper=0.7, atoms=9)
            for kind in ErrorClass
        )
    )
    lower, upper = biased.bounds(
        np.array([1.0, 50.0]), np.ones(2), np.array([0, 2]), resolution_known=True, minimum=1.0
    )
    assert lower.tolist() == [1.0, 50.0]
    assert upper.tolist() == pytest.approx([1.7, 50.7])


def test_nan_atoms_do_not_count():
    sample = errors()
    spoiled = {name: values.copy() for name, values in sample.items()}
    spoiled["true"][::3] = np.nan
    spoiled["width"][1::3] = 0
    kept = {name: values[2::3] for name, values in sample.items()}
    assert fit_calibration(**spoiled) == fit_calibration(**kept)


def test_nothing_usable_is_refused():
    sample = errors(10)
    sample["true"][:] = np.nan
    with pytest.raises(ValueError, match="none of 10 atoms"):
        fit_calibration(**sample)


def test_survives_the_header_as_json():
    fitted = fit_calibration(**errors())
    assert Calibration.model_validate_json(fitted.model_dump_json()) == fitted
    assert Calibration.model_validate(fitted.model_dump(mode="json")) == fitted


def test_classes_of_a_peptide(peptide):
    kinds = error_classes(peptide)
    assert (kinds == ErrorClass.BACKBONE).sum() == 4 * 13 + 1
    assert not (kinds == ErrorClass.OTHER).any()
    assert set(peptide.atom_name[kinds == ErrorClass.SIDE_CHAIN]) >= {"CB", "SD", "NE1"}
