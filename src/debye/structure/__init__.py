"""A file becomes a :class:`Structure`: reading, selecting, bonds, crystal, quality, writing."""

from debye.structure.bonds import BondOrder, Bonds, find_bonds
from debye.structure.crystal import Mates, crystal_problem, symmetry_mates
from debye.structure.read import read_structure
from debye.structure.select import Selection, select_atoms
from debye.structure.structure import BKind, Crystal, EntityKind, Entry, Structure
from debye.structure.write import WriteReport, write_with_b

__all__ = [
    "Structure",
    "Entry",
    "Crystal",
    "EntityKind",
    "BKind",
    "read_structure",
    "select_atoms",
    "Selection",
    "find_bonds",
    "Bonds",
    "BondOrder",
    "symmetry_mates",
    "Mates",
    "crystal_problem",
    "write_with_b",
    "WriteReport",
]
