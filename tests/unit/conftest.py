from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from debye.scores.strata import StructureValues
from debye.structure.structure import EntityKind
from debye.targets.catalog import find_target


def _make(
    seed: int = 0, atoms: int = 60, *, skill: float = 0.7, level: float = 25.0, **changes
) -> StructureValues:
    """A protein of residues of six atoms (four of the backbone), with bounds; some chains of two."""
    random = np.random.default_rng(seed)
    shape = random.normal(size=atoms)
    noise = random.normal(size=atoms)
    predicted = level + 5 * (skill * shape + np.sqrt(1 - skill**2) * noise)
    columns = {
        "id": f"s{seed:03d}",
        "target": find_target("b_factor"),
        "true": (level + 6 * shape).clip(2).astype(np.float32),
        "predicted": predicted.clip(2).astype(np.float32),
        "entity_kind": np.full(atoms, EntityKind.PROTEIN, np.int8),
        "is_backbone": np.arange(atoms) % 6 < 4,
        "residue_name": np.full(atoms, "ALA"),
        "residue_index": (np.arange(atoms) // 6).astype(np.int32),
        "chain_index": (np.arange(atoms) >= atoms // 2).astype(np.int32),
        "lower": (predicted - 6).astype(np.float32),
        "upper": (predicted + 6).astype(np.float32),
        "resolution": 1.2 + 0.1 * (seed % 16),
        "cluster": f"c{seed // 3}",
    }
    return StructureValues(**(columns | changes))


@pytest.fixture(scope="session")
def make_values() -> Callable[..., StructureValues]:
    return _make


@pytest.fixture(scope="session")
def many_values() -> list[StructureValues]:
    """Structures of different sizes, levels and skill."""
    random = np.random.default_rng(5)
    return [
        _make(
            seed,
            int(random.integers(30, 200)),
            skill=random.uniform(0.2, 0.95),
            level=random.uniform(15, 60),
        )
        for seed in range(24)
    ]
