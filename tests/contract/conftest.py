"""A crystal small enough for every contract."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from debye.structure.structure import Crystal, Entry, Structure


@pytest.fixture(scope="session")
def in_crystal(peptide: Structure) -> Structure:
    """The peptide as two chains, in a tight cell: mates touch it but do not clash."""
    extent = np.ptp(peptide.position, axis=0) + 3.0
    cell = (*map(float, extent), 90.0, 90.0, 90.0)
    chain = np.where(peptide.residue_index < 6, "A", "B")
    return replace(
        peptide,
        chain=chain,
        chain_label=chain.copy(),
        b_iso=np.linspace(10, 40, len(peptide), dtype=np.float32),
        crystal=Crystal(cell=cell, space_group="P 1"),
        entry=Entry(id="1aaa", method="X-RAY DIFFRACTION", resolution=1.7),
    )
