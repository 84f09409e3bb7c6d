"""A folder of structure files → metadata of its entries, as a server would give them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from debye.dataset.search.ligands import BoundComponent
from debye.dataset.search.rcsb import Entity, EntryMetadata
from debye.dataset.search.recipes import Polymers
from debye.errors import ConfigError, DebyeError
from debye.files import STRUCTURE_SUFFIXES
from debye.structure.entities import POLYMER_BOND
from debye.structure.read import read_structure
from debye.structure.structure import EntityKind, Structure


def folder_metadata(folder: Path) -> Iterator[EntryMetadata | tuple[str, DebyeError]]:
    """Yield the metadata of every structure file of a folder and its subfolders, sorted by name.

    An entry is called after its file; of two files with one name the first counts. Hidden folders are left out. For a
    file that cannot be read, its name and the error are yielded.
    """
    if not folder.is_dir():
        raise ConfigError(str(folder), "is not a folder", "Give the folder of the structure files")
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        suffix = next((each for each in STRUCTURE_SUFFIXES if path.name.endswith(each)), None)
        if suffix and path.is_file():
            files.setdefault(path.name.removesuffix(suffix), path)
    for name, path in sorted(files.items()):
        try:
            yield structure_metadata(read_structure(path), name)
        except DebyeError as error:
            yield name, error


def structure_metadata(structure: Structure, name: str) -> EntryMetadata:
    """Return metadata from the atoms and the header of a structure, without dates and annotations.

    Only residues that are built count, and for a component the heavy atoms of its most complete copy.
    """
    entry = structure.entry
    kind = structure.entity_kind
    protein = kind == EntityKind.PROTEIN
    return EntryMetadata(
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
    """Return the kinds of polymers in RCSB's words: sugars are a polymer only if two are linked."""
    kind = structure.entity_kind
    has_protein = bool((kind == EntityKind.PROTEIN).any())
    has_nucleic = bool((kind == EntityKind.NUCLEIC).any())
    has_glycan = _has_linked_sugars(structure)
    names: dict[tuple[bool, bool, bool], Polymers] = {
        (True, False, False): "Protein (only)",
        (True, False, True): "Protein/Oligosaccharide",
        (True, True, False): "Protein/NA",
        (False, True, False): "Nucleic acid (only)",
        (False, False, True): "Oligosaccharide (only)",
    }
    return names.get((has_protein, has_nucleic, has_glycan), "Other")


def _has_linked_sugars(structure: Structure) -> bool:
    """Return whether two sugars are bonded: one alone is a ligand."""
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


def components_of(structure: Structure) -> Iterator[BoundComponent]:
    """Yield each component that is neither polymer nor water, with the heavy atoms of its most complete copy.

    Alternative locations of an atom count once.
    """
    kinds = (EntityKind.LIGAND, EntityKind.ION, EntityKind.SUGAR)
    other = np.isin(structure.entity_kind, kinds)
    heavy = other & ~np.isin(structure.element, ("H", "D", "T"))
    columns = (structure.residue_name, structure.residue_index, structure.atom_name)
    atoms = set(zip(*(column[heavy].tolist() for column in columns), strict=True))
    size: dict[str, int] = {}
    for (name, _), count in Counter((name, residue) for name, residue, _ in atoms).items():
        size[name] = max(count, size.get(name, 0))
    for name in sorted(size):
        yield BoundComponent(name, size[name])


def _count(structure: Structure, rows: NDArray[np.bool_]) -> int:
    return len(np.unique(structure.residue_index[rows]))
