"""Effects are differences of predictions with and without a neighbor: by hand, and by other ways."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from debye.explanation.case import make_case
from debye.explanation.explanation import explain_case
from debye.explanation.neighbors import Kind, find_neighbors
from debye.explanation.occlusion import hide_features, occlude_neighbors
from debye.graph.features import USUAL_CONTACTS


def neighbors_of(case, reach=8.0):
    return find_neighbors(case.structure, case.rows, reach, in_crystal=case.in_crystal)


def effects_of(case, reach=8.0, workers=1):
    found = occlude_neighbors(case, neighbors_of(case, reach), workers=workers)
    return {(item.neighbor.residue.name, item.neighbor.operation): item.effect for item in found}


def test_effects_on_a_count_of_contacts_are_the_contacts(counting, in_crystal):
    """Of a model that counts, each neighbor's effect is its own count; that of one out of reach is 0."""
    isolated = replace(in_crystal, crystal=None)
    case = make_case(counting, isolated, "A:5", atom="CA")
    near, far = 0, 0
    for item in occlude_neighbors(case, neighbors_of(case, 25.0)):
        position = item.neighbor.position
        contacts = (cdist(case.structure.position[case.rows], position) <= 5.0).sum()
        assert item.effect == pytest.approx(-20.0 * contacts / USUAL_CONTACTS[5.0], abs=1e-5)
        near, far = near + (contacts > 0), far + (contacts == 0)
    assert near > 2
    assert far > 2


def test_effects_of_mates_are_their_contacts(counting, in_crystal):
    case = make_case(counting, in_crystal, "A:5")
    mates = [near for near in neighbors_of(case) if near.kind == Kind.MATE]
    found = occlude_neighbors(case, mates)
    for item in found:
        contacts = (cdist(case.structure.position[case.rows], item.neighbor.position) <= 5.0).sum(1)
        assert item.effect == pytest.approx(-contacts.mean(), abs=1e-5)
    features = {row.name: row.effect for row in hide_features(case, mates)}
    assert sum(item.effect for item in found) < -0.5
    assert sum(item.effect for item in found) == pytest.approx(
        features["all symmetry mates"], abs=1e-5
    )


def test_without_a_residue_is_what_a_file_without_it_gives(case, predictor, in_crystal):
    neighbor = next(near for near in neighbors_of(case) if near.kind == Kind.SAME_CHAIN)
    (found,) = occlude_neighbors(case, [neighbor])
    rest = in_crystal.take(in_crystal.residue_index != neighbor.residue.index)
    other = make_case(predictor, rest, "A:5")
    value = {
        name: float(each.output.first.value[each.rows].mean())
        for name, each in (("with", case), ("without", other))
    }
    scale = float(case.output.first.log_mean_sd[0, 1].exp())
    assert found.effect == pytest.approx(scale * (value["with"] - value["without"]), abs=1e-4)
    assert abs(found.effect) > 1e-3


def test_all_mates_are_the_difference_to_a_prediction_without_crystal(case, predictor, in_crystal):
    row = next(row for row in hide_features(case, []) if row.name == "all symmetry mates")
    on = predictor.predict_structure(in_crystal)
    off = predictor.predict_structure(in_crystal, crystal="off")
    expected = (on.b_predicted - off.b_predicted)[case.rows].mean()
    assert row.with_level == pytest.approx(expected, abs=1e-3)


def test_hidden_resolution_is_the_difference_to_an_unknown_one(case, predictor, in_crystal):
    row = next(row for row in hide_features(case, []) if row.name == "the resolution")
    unknown = replace(in_crystal, entry=replace(in_crystal.entry, resolution=None))
    b = [predictor.predict_structure(each).b_predicted for each in (in_crystal, unknown)]
    assert row.with_level == pytest.approx((b[0] - b[1])[case.rows].mean(), abs=1e-3)


def test_what_is_not_known_is_not_hidden(predictor, in_crystal):
    unknown = replace(in_crystal, entry=replace(in_crystal.entry, resolution=None))
    case = make_case(predictor, unknown, "A:5", crystal="off")
    names = {row.name for row in hide_features(case, neighbors_of(case))}
    assert names == {"its own name", "its own bonds"}


def test_the_name_of_a_residue_that_has_none_makes_no_difference(predictor, in_crystal):
    names = in_crystal.residue_name.copy()
    names[in_crystal.residue_index == 4] = "UNK"
    case = make_case(predictor, replace(in_crystal, residue_name=names), "A:5")
    locant = case.graph.config.node_categories.index("locant")
    case.graph.categories[case.rows, locant] = 0
    again = replace(case, output=case.predict(case.graph))
    row = next(row for row in hide_features(again, []) if row.name == "its own name")
    assert row.effect == 0.0


def test_order_and_pose_of_the_atoms_do_not_matter(case, predictor, in_crystal):
    expected = effects_of(case)
    order = np.random.default_rng(1).permutation(len(in_crystal))
    shuffled = effects_of(make_case(predictor, in_crystal.take(order), "A:5"))
    assert shuffled == pytest.approx(expected, abs=2e-3)

    isolated = replace(in_crystal, crystal=None)
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3))).Q
    position = (in_crystal.position @ rotation.T + [5.0, -3.0, 1.0]).astype(np.float32)
    moved = effects_of(make_case(predictor, replace(isolated, position=position), "A:5"))
    assert moved == pytest.approx(effects_of(make_case(predictor, isolated, "A:5")), abs=2e-3)


def test_threads_do_not_change_the_effects(case):
    assert effects_of(case, workers=3) == pytest.approx(effects_of(case), abs=1e-5)


def test_the_largest_effect_comes_first(case):
    sizes = [abs(item.effect) for item in explain_case(case).contributions]
    assert len(sizes) > 5
    assert sizes == sorted(sizes, reverse=True)
