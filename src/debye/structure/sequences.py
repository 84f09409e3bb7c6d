"""Protein sequences and keywords of an entry: what clusters, families and leakage checks compare.

One letter a residue; a modified residue counts as the amino acid that it comes from (MSE is M, SEP is S), X is
what has none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import gemmi
import numpy as np
from gemmi import cif

from debye.errors import FormatError
from debye.structure.bcif import read_categories
from debye.structure.entities import CAPS
from debye.structure.read import file_format, structure_from_bytes, uncompressed
from debye.structure.structure import EntityKind, Structure

_CATEGORIES = {
    "entity_poly": ("entity_id", "type", "pdbx_strand_id"),
    "entity_poly_seq": ("entity_id", "num", "mon_id"),
    "struct_keywords": ("pdbx_keywords", "text"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """What a file says about its molecules; empty where it is silent."""

    sequences: dict[str, str] = field(default_factory=dict)
    """Sequence of the crystallized protein, by chain as the authors name it (``entity_poly_seq``, SEQRES)."""
    keywords: str = ""


def read_annotated(path: str | Path) -> tuple[Structure, Annotation]:
    """Read all atoms of a file, see :func:`debye.structure.read_structure`, and its annotation."""
    source = str(path)
    raw = uncompressed(Path(path).expanduser().read_bytes(), source)
    return structure_from_bytes(raw, source), annotation_from_bytes(raw, source)


def annotation_from_bytes(raw: bytes, source: str) -> Annotation:
    """Return the sequences and keywords that the content of a file declares.

    Args:
        raw: The uncompressed file: mmCIF, BinaryCIF or PDB.
        source: Named in error messages.

    Raises:
        FormatError: The file is in none of these formats, or is damaged.
    """
    kind = file_format(raw, source)
    if kind == "pdb":
        return _from_pdb(raw.decode("ascii", "replace").splitlines())
    columns = _bcif_columns(raw, source) if kind == "bcif" else _mmcif_columns(raw, source)
    keywords = " ".join(text for column in columns["struct_keywords"] for text in column)
    return Annotation(sequences=_from_entities(columns), keywords=keywords)


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


def _from_entities(columns: dict[str, list[list[str]]]) -> dict[str, str]:
    residues: dict[str, dict[str, str]] = {}
    for entity, number, name in zip(*columns["entity_poly_seq"], strict=True):
        # Of several residues at one place the first is taken.
        residues.setdefault(entity, {}).setdefault(number, name)
    sequences = {}
    for entity, kind, strands in zip(*columns["entity_poly"], strict=True):
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
        elif line.startswith(("ATOM  ", "HETATM")):
            break
    proteins = {
        chain: one_letter(residues)
        for chain, residues in names.items()
        if any(gemmi.find_tabulated_residue(name).is_amino_acid() for name in residues)
    }
    return Annotation(sequences=proteins, keywords=" ".join(keywords))


def _bcif_columns(raw: bytes, source: str) -> dict[str, list[list[str]]]:
    categories, _ = read_categories(raw, _CATEGORIES, source=source, needed="atom_site")
    found = {}
    for category, names in _CATEGORIES.items():
        table = categories.get(category, {})
        rows = len(next(iter(table.values()))) if table else 0
        found[category] = [
            table[name].texts().tolist() if name in table else [""] * rows for name in names
        ]
    return found


def _mmcif_columns(raw: bytes, source: str) -> dict[str, list[list[str]]]:
    try:
        # No checks: they refuse duplicate tags.
        document = cif.read_string(raw, 0)
    except (ValueError, RuntimeError) as error:
        raise FormatError(
            source, problem=f"damaged mmCIF text ({error})", remedy="Download the file again"
        ) from error
    with_atoms = [block for block in document if len(block.find_mmcif_category("_atom_site."))]
    block = with_atoms[0] if with_atoms else document[0]
    found = {}
    for category, names in _CATEGORIES.items():
        table = block.get_mmcif_category(f"_{category}.")
        rows = len(next(iter(table.values()))) if table else 0
        found[category] = [
            [str(value or "") for value in table.get(name, [""] * rows)] for name in names
        ]
    return found
