"""Between PDB and mmCIF, through gemmi; an entry that does not fit is refused, never cut."""

from __future__ import annotations

import gemmi

from debye.errors import FormatError, StructureError
from debye.structure.pdb_lines import with_line_feeds, without_end

ADVICE = "Write mmCIF instead (--format cif), which has no such limit"
MOST_ATOMS = 99_999
"""Serial numbers have five columns; TER records take some of them."""
CHAIN_LETTERS, RESIDUE_LETTERS, ATOM_LETTERS = 1, 3, 4
RESIDUE_NUMBERS = range(-999, 10_000)
COORDINATES = (-999.9995, 9_999.9995)
"""Å; eight columns with three decimals."""


def pdb_to_mmcif(data: bytes, source: str) -> bytes:
    """Convert a PDB file to mmCIF, with what gemmi keeps of the header.

    Chains that are interrupted in the file (waters after the ligands) come out joined. Atoms behind
    an END record are kept, in the models that the reader gives them.
    """
    try:
        structure = gemmi.read_pdb_string(without_end(with_line_feeds(data)))
    except (RuntimeError, ValueError) as error:
        raise FormatError(
            source, f"no valid PDB file: {error}", "Repair or get it again"
        ) from error
    structure.setup_entities()
    structure.assign_label_seq_id()
    return structure.make_mmcif_document().as_string().encode()


def mmcif_to_pdb(data: bytes, source: str) -> bytes:
    """Convert mmCIF text to a PDB file, or refuse with the limit that it exceeds."""
    try:
        # Level 0 lets duplicate items pass: AlphaFold models on the web have them.
        document = gemmi.cif.read_string(data, check_level=0)
        block = next(block for block in document if block.find_mmcif_category("_atom_site."))
        structure = gemmi.make_structure_from_block(block)
    except (RuntimeError, ValueError, StopIteration) as error:
        raise FormatError(
            source, f"no valid mmCIF file: {error}", "Repair or get it again"
        ) from error
    problem = pdb_limit_problem(structure)
    if problem:
        raise StructureError(source, f"does not fit a PDB file: {problem}", ADVICE)
    return structure.make_pdb_string().encode()


def pdb_limit_problem(structure: gemmi.Structure) -> str | None:
    """Say which limit of the PDB format a structure exceeds, or None if it fits.

    Every model starts its serial numbers at one, so the largest model counts.
    """
    low, high = COORDINATES
    for model in structure:
        atoms = model.count_atom_sites() + 2 * len(model)
        if atoms > MOST_ATOMS:
            return f"{atoms} atom and TER records in one model, of at most {MOST_ATOMS}"
        for chain in model:
            if len(chain.name) > CHAIN_LETTERS:
                return f"chain name {chain.name!r} has more than one letter"
            for residue in chain:
                if len(residue.name) > RESIDUE_LETTERS:
                    return f"residue name {residue.name!r} has more than three letters"
                if residue.seqid.num not in RESIDUE_NUMBERS:
                    return f"residue number {residue.seqid.num} has more than four columns"
                for atom in residue:
                    if len(atom.name) > ATOM_LETTERS:
                        return f"atom name {atom.name!r} has more than four letters"
                    if not all(low < value < high for value in atom.pos.tolist()):
                        return f"atom at {atom.pos.tolist()} Å is outside the eight columns"
    return None
