"""A folder of structure files → facts about its entries, as a server would give them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from debye.dataset.search.ligands import Component
from debye.dataset.search.rcsb import Entity, EntryFacts
from debye.dataset.search.recipes import Polymers
from debye.dataset.store.index import SUFFIXES
from debye.errors import ConfigError, DebyeError
from debye.structure.entities import POLYMER_BOND
from debye.structure.read import read_structure
from debye.structure.structure import EntityKind, Structure


def facts_of_folder(folder: Path) -> Iterator[EntryFacts | tuple[str, DebyeError]]:
    """Yield the facts of every structure file of a folder and its subfolders, sorted by name.

    An entry is called after its file, and where two files have one name the first counts; hidden folders, as that of
    ``debye data fetch``, are passed over. In place of a file that cannot be read come its name and the error.
    """
    if not folder.is_dir():
        raise ConfigError(
            str(folder), problem="is no folder", remedy="Give the folder of the structure files"
        )
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        suffix = next((each for each in SUFFIXES if path.name.endswith(each)), None)
        if suffix and path.is_file():
            files.setdefault(path.name.removesuffix(suffix), path)
    for name, path in sorted(files.items()):
        try:
            yield facts_of_structure(read_structure(path), name)
        except DebyeError as error:
            yield name, error


def facts_of_structure(structure: Structure, name: str) -> EntryFacts:
    """Return what the atoms and the header of a structure say; there are no dates and no annotations.

    Lengths are those of what is built, and heavy atoms of a component are those of its most complete copy.
    """
    entry = structure.entry
    kind = structure.entity_kind
    protein = kind == EntityKind.PROTEIN
    return EntryFacts(
        id=name,
        methods=tuple(method.strip() for method in entry.method.split(";") if method.strip()),
        resolution=entry.resolution,
        r_free=entry.r_free,
        polymers=_polymers(structure),
        n_residues=_count(structure, protein | (kind == EntityKind.NUCLEIC)),
        n_atoms=len(structure.element),
        released="",
        revised="",
        proteins=tuple(_chains(structure, protein, name)),
        components=tuple(components_of(structure)),
    )


def _polymers(structure: Structure) -> Polymers:
    """Return the kinds of polymers as RCSB names them: sugars are one only where two are linked."""
    kind = structure.entity_kind
    has_protein = bool((kind == EntityKind.PROTEIN).any())
    has_nucleic = bool((kind == EntityKind.NUCLEIC).any())
    has_glycan = _has_linked_sugars(structure)
    match has_protein, has_nucleic, has_glycan:
        case True, False, False:
            return "Protein (only)"
        case True, False, True:
            return "Protein/Oligosaccharide"
        case True, True, False:
            return "Protein/NA"
        case False, True, False:
            return "Nucleic acid (only)"
        case False, False, True:
            return "Oligosaccharide (only)"
    return "Other"


def _has_linked_sugars(structure: Structure) -> bool:
    """Tell whether two sugars are bonded: one alone is a ligand."""
    rows = np.flatnonzero(structure.entity_kind == EntityKind.SUGAR)
    pairs = KDTree(structure.position[rows]).query_pairs(POLYMER_BOND, output_type="ndarray")
    first, second = rows[pairs[:, 0]], rows[pairs[:, 1]]
    apart = structure.residue_index[first] != structure.residue_index[second]
    # Models lie on top of each other.
    return bool((apart & (structure.model[first] == structure.model[second])).any())


def _chains(structure: Structure, protein: NDArray[np.bool_], name: str) -> Iterator[Entity]:
    for chain in np.unique(structure.chain[protein]).tolist():
        length = _count(structure, protein & (structure.chain == chain))
        yield Entity(id=f"{name}_{chain}", length=length)


def components_of(structure: Structure) -> Iterator[Component]:
    """Yield each component that is neither polymer nor water with the heavy atoms of its most complete copy.

    Alternative locations of an atom count once.
    """
    kinds = (EntityKind.LIGAND, EntityKind.ION, EntityKind.SUGAR)
    other = np.isin(structure.entity_kind, kinds)
    heavy = other & ~np.isin(structure.element, ("H", "D", "T"))
    rows = np.flatnonzero(heavy)
    names = structure.residue_name[rows].tolist()
    atoms = structure.atom_name[rows].tolist()
    seen: dict[tuple[str, int], set[str]] = {}
    for name, residue, atom in zip(
        names, structure.residue_index[rows].tolist(), atoms, strict=True
    ):
        seen.setdefault((name, residue), set()).add(atom)
    for name in sorted(set(names)):
        yield Component(name, max(len(found) for (each, _), found in seen.items() if each == name))


def _count(structure: Structure, rows: NDArray[np.bool_]) -> int:
    return len(np.unique(structure.residue_index[rows]))
