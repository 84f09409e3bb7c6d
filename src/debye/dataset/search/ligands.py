"""Apo or holo: judged by the size of an entry's components and a list of additives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, PositiveInt

State = Literal["apo", "holo"]

ADDITIVES_FILE = Path(__file__).with_name("additives.txt")


class LigandRules(BaseModel, frozen=True, extra="forbid"):
    """When a component that is neither polymer nor water counts as a ligand."""

    smallest: PositiveInt = 7
    """Least heavy atoms of a ligand; ions, solvents and most small acids have fewer."""
    also_additives: tuple[str, ...] = ()
    """Component ids that are additives besides those of the shipped list."""
    not_additives: tuple[str, ...] = ()
    """Component ids of the shipped list that count as ligands, e.g. ``CIT`` for citrate synthases."""


@dataclass(frozen=True, slots=True)
class BoundComponent:
    """A component of an entry that is neither polymer nor water."""

    id: str
    heavy_atoms: int | None
    """None if unknown; such a component counts as large enough."""


@dataclass(frozen=True, slots=True)
class LigandState:
    """The state of an entry, and which of its components decided it."""

    state: State
    ligands: tuple[str, ...]
    """Components that make it holo."""
    additives: tuple[str, ...]
    """The other components."""


NO_LIGANDS = LigandState("apo", (), ())


def ligand_state(components: Iterable[BoundComponent], rules: LigandRules) -> LigandState:
    """Return holo if one component is large enough and not an additive, else apo.

    Peptides and nucleic acids are polymers, so a protein with a bound peptide alone is apo here.

    Example:
        >>> found = [BoundComponent("GOL", 6), BoundComponent("ATP", 31), BoundComponent("MG", 1)]
        >>> ligand_state(found, LigandRules())
        LigandState(state='holo', ligands=('ATP',), additives=('GOL', 'MG'))
    """
    size: dict[str, int | None] = {}
    for component in components:
        name, heavy = component.id.upper(), component.heavy_atoms
        known = size.get(name, 0)
        size[name] = None if heavy is None or known is None else max(known, heavy)
    skipped = (additives() | _upper(rules.also_additives)) - _upper(rules.not_additives)
    ligands = {
        name
        for name, heavy in size.items()
        if name not in skipped and (heavy is None or heavy >= rules.smallest)
    }
    return LigandState(
        state="holo" if ligands else "apo",
        ligands=tuple(sorted(ligands)),
        additives=tuple(sorted(size.keys() - ligands)),
    )


@cache
def additives() -> frozenset[str]:
    """Return the shipped list; its file states contents and sources."""
    lines = ADDITIVES_FILE.read_text(encoding="utf-8").splitlines()
    return frozenset(" ".join(line for line in lines if not line.startswith("#")).split())


def _upper(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.upper() for name in names)
