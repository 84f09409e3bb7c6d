"""Contents of the picture; how it looks is for eyes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from outputs import CountsContacts, predictor_of

from debye.explanation.case import Contribution, FeatureEffect, make_case
from debye.explanation.explanation import Explanation
from debye.explanation.neighbors import Kind, Neighbor, list_residues
from debye.plots.contributions import plot_contributions, save_contributions
from debye.plots.drawing import BLUE, RED


@pytest.fixture
def explanation(peptide) -> Explanation:
    """Residue 5 among its neighbors, one of them a mate; effects of -3 to 1.5 Å²."""
    residues = list_residues(peptide)
    effects = {5: -3.0, 3: 1.5, 2: -1.0, 8: 0.5}
    contributions = []
    for index, effect in effects.items():
        rows = np.flatnonzero(peptide.residue_index == index)
        is_mate = index == 8
        neighbor = Neighbor(
            residue=residues[index],
            kind=Kind.MATE if is_mate else Kind.SAME_CHAIN,
            distance=3.0,
            rows=rows,
            position=peptide.position[rows] + np.float32(5.0 * is_mate),
            operation="x,y,z-1" * is_mate,
        )
        contributions.append(Contribution(neighbor, effect))
    return Explanation(
        case=make_case(predictor_of(CountsContacts(), "tiny"), peptide, "A:5"),
        method="occlusion",
        reach=8.0,
        contributions=tuple(contributions),
        features=(FeatureEffect("its own name", -0.25),),
    )


def bars_of(figure) -> list[float]:
    return [bar.get_width() for bar in figure.axes[0].patches]


def test_bars_are_the_effects_neighbors_first(explanation):
    assert bars_of(plot_contributions(explanation)) == [-3.0, 1.5, -1.0, 0.5, -0.25]
    assert bars_of(plot_contributions(explanation, top=2)) == [-3.0, 1.5, -0.25]


def test_the_scale_is_symmetric_so_that_white_is_no_effect(explanation):
    figure = plot_contributions(explanation)
    assert figure.axes[2].get_ylim() == (-3.0, 3.0)
    assert figure.axes[0].patches[0].get_facecolor()[:3] == pytest.approx(BLUE)
    red = figure.axes[0].patches[1].get_facecolor()[:3]
    assert red[0] > 0.8 > red[2]
    assert RED[0] > RED[2]


def test_the_mate_is_dashed_and_named(explanation):
    scene = plot_contributions(explanation).axes[1]
    texts = [text.get_text() for text in scene.texts]
    assert texts[0] == "A:GLU5" or texts[0].startswith("A:")
    assert [text for text in texts if text.endswith("(mate)")] == ["A:PRO9 (mate)"]
    styles = [line.get_linestyle()[0][1] for line in scene.collections]
    assert any(style is not None for style in styles)


@pytest.mark.parametrize("case", ["nothing", "one atom", "no effect"])
def test_odd_explanations_can_be_drawn(explanation, tmp_path, case):
    if case == "nothing":
        explanation = replace(explanation, contributions=(), features=())
    elif case == "one atom":
        first = explanation.contributions[0]
        ion = replace(
            first.neighbor, rows=first.neighbor.rows[:1], position=first.neighbor.position[:1]
        )
        explanation = replace(explanation, contributions=(replace(first, neighbor=ion),))
    else:
        explanation = replace(
            explanation,
            contributions=tuple(replace(item, effect=0.0) for item in explanation.contributions),
        )
    path = save_contributions(explanation, tmp_path / "new" / "x.png")
    assert path.read_bytes().startswith(b"\x89PNG")
