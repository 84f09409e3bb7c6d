"""Protein sequences and keywords of an entry, and the alignment of two chains.

One letter a residue; a modified residue counts as the amino acid that it comes from (MSE is M, SEP is S), or
else is X.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

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

    The structure is one conformer of one model, as :func:`~debye.structure.select_atoms` returns it.
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


@dataclass(frozen=True, slots=True)
class ChainMatch:
    """Atoms of two chains, paired by aligned residue and atom name."""

    first: NDArray[np.intp]
    """(pairs,) rows of the first structure."""
    second: NDArray[np.intp]
    """(pairs,) rows of the second structure."""
    identity: float
    """Share of the aligned residues that have the same name; 0 if none is aligned."""

    def __len__(self) -> int:
        return len(self.first)


def match_chains(
    first: Structure, first_chain: str, second: Structure, second_chain: str
) -> ChainMatch:
    """Pair the protein atoms of two chains, as the authors name these.

    The observed residues are aligned from end to end, by name alone; a modified residue counts as the one that
    it is made from (selenomethionine as methionine). Atoms of the same name in aligned residues are paired.
    """
    mine, theirs = _residues(first, first_chain), _residues(second, second_chain)
    aligned = align_residues([name for name, _ in mine], [name for name, _ in theirs])
    pairs: list[tuple[int, int]] = []
    same = 0
    for left, right in aligned:
        same += mine[left][0] == theirs[right][0]
        atoms = theirs[right][1]
        pairs += [(row, atoms[name]) for name, row in mine[left][1].items() if name in atoms]
    rows = np.array(pairs, np.intp).reshape(-1, 2)
    return ChainMatch(rows[:, 0], rows[:, 1], same / len(aligned) if aligned else 0.0)


def align_residues(first: list[str], second: list[str]) -> list[tuple[int, int]]:
    """Align two lists of residue names from end to end; return the positions that are paired.

    Example:
        >>> align_residues(["MET", "ALA", "GLY", "SER"], ["ALA", "GLY", "TRP", "SER"])
        [(1, 0), (2, 1), (3, 3)]
    """
    if not first or not second:
        return []
    cigar = gemmi.align_string_sequences(first, second, []).cigar_str()
    pairs, left, right = [], 0, 0
    for count, kind in re.findall(r"(\d+)([MID])", cigar):
        ends = left + int(count) * (kind in "MI"), right + int(count) * (kind in "MD")
        if kind == "M":
            pairs += zip(range(left, ends[0]), range(right, ends[1]), strict=True)
        left, right = ends
    return pairs


def _residues(structure: Structure, chain: str) -> list[tuple[str, dict[str, int]]]:
    """Return name, and row of each atom by its name, of every protein residue of a chain, in order."""
    rows = np.flatnonzero(
        (structure.chain == chain) & (structure.entity_kind == EntityKind.PROTEIN)
    )
    found: dict[int, tuple[str, dict[str, int]]] = {}
    columns = (structure.residue_index, structure.residue_name, structure.atom_name)
    some = (column[rows].tolist() for column in columns)
    for row, residue, name, atom in zip(rows.tolist(), *some, strict=True):
        # The one-letter code of the residue that this one is, or is made from.
        code = gemmi.find_tabulated_residue(name).one_letter_code.strip().upper()
        found.setdefault(residue, (code or name, {}))[1].setdefault(atom, row)
    return list(found.values())
