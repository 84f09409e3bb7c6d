"""Protein sequences and keywords of an entry: what clusters, families and leakage checks compare.

One letter a residue; a modified residue counts as the amino acid that it comes from (MSE is M, SEP is S), or
else is X.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import gemmi
import numpy as np

from debye.structure.entities import CAPS
from debye.structure.facts import CategoryFacts
from debye.structure.formats.pdb import PdbFile
from debye.structure.read import SourceFile, read_source
from debye.structure.structure import EntityKind, Structure


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """What a file declares about its molecules; empty if it does not."""

    sequences: dict[str, str] = field(default_factory=dict)
    """Sequence of the crystallized protein, by chain as the authors name it (``entity_poly_seq``, SEQRES)."""
    keywords: str = ""


def read_annotated(path: str | Path) -> tuple[Structure, Annotation]:
    """Read all atoms of a file, see :func:`debye.structure.read_structure`, and its annotation."""
    source = read_source(path)
    return source.structure, annotation_of(source)


def annotation_of(source: SourceFile) -> Annotation:
    """Return the sequences and keywords that a file declares."""
    content = source.content
    if isinstance(content, PdbFile):
        return _from_pdb(content.head.decode("ascii", "replace").splitlines())
    facts = CategoryFacts(content)
    keywords = [facts.texts("struct_keywords", item) for item in ("pdbx_keywords", "text")]
    rows = max(map(len, keywords))
    keywords = [text for texts in keywords for text in texts or [""] * rows]
    return Annotation(sequences=_declared(facts), keywords=" ".join(keywords))


def observed_sequences(structure: Structure) -> dict[str, str]:
    """Return the sequence of the protein residues that have atoms, by author chain, in the order of the file.

    Args:
        structure: One conformer of one model, as :func:`~debye.structure.select_atoms` returns it.
    """
    protein = np.flatnonzero(structure.entity_kind == EntityKind.PROTEIN)
    _, first = np.unique(structure.residue_index[protein], return_index=True)
    chains: dict[str, list[str]] = {}
    for row in protein[np.sort(first)]:
        chains.setdefault(str(structure.chain[row]), []).append(str(structure.residue_name[row]))
    found = {chain: one_letter(names) for chain, names in chains.items()}
    return {chain: sequence for chain, sequence in found.items() if sequence}


def one_letter(names: Iterable[str]) -> str:
    """Return residue names as one-letter codes; the caps of a chain are left out.

    Example:
        >>> one_letter(["ACE", "MSE", "ALA", "SEP", "XYZ"])
        'MASX'
    """
    letters = []
    for name in names:
        if name not in CAPS:
            residue = gemmi.find_tabulated_residue(name)
            letter = residue.one_letter_code.upper().strip() if residue.is_amino_acid() else ""
            letters.append(letter or "X")
    return "".join(letters)


def _declared(facts: CategoryFacts) -> dict[str, str]:
    """Return the declared sequences by chain."""

    def columns(category: str, *items: str) -> Iterable[tuple[str, ...]]:
        return zip(*(facts.texts(category, item) for item in items), strict=False)

    residues: dict[str, dict[str, str]] = {}
    for entity, number, name in columns("entity_poly_seq", "entity_id", "num", "mon_id"):
        # Of several residues at one place the first is taken.
        residues.setdefault(entity, {}).setdefault(number, name)
    sequences = {}
    for entity, kind, strands in columns("entity_poly", "entity_id", "type", "pdbx_strand_id"):
        if "polypeptide" in kind and entity in residues:
            sequence = one_letter(residues[entity].values())
            sequences |= {strand.strip(): sequence for strand in strands.split(",")}
    return {strand: sequence for strand, sequence in sequences.items() if strand and sequence}


def _from_pdb(lines: Iterable[str]) -> Annotation:
    names: dict[str, list[str]] = {}
    keywords = []
    for line in lines:
        if line.startswith("SEQRES"):
            names.setdefault(line[11:12].strip(), []).extend(line[19:70].split())
        elif line.startswith("KEYWDS"):
            keywords.append(line[10:79].strip())
    proteins = {
        chain: one_letter(residues)
        for chain, residues in names.items()
        if any(gemmi.find_tabulated_residue(name).is_amino_acid() for name in residues)
    }
    return Annotation(sequences=proteins, keywords=" ".join(keywords))
