"""mmCIF text → :class:`Sites`: gemmi reads it; what it would fill in or reorder is undone here."""

from __future__ import annotations

import warnings

import gemmi
import numpy as np
from gemmi import cif
from numpy.typing import NDArray

from debye.errors import FormatError, StructureError
from debye.structure.flat_atoms import NAME_BYTES, columns_of, header_of, partners_of
from debye.structure.header import Header
from debye.structure.sites import Sites

_SITE = "_atom_site."
_FALLBACKS = {
    "id": (),
    "type_symbol": (),
    "label_alt_id": (),
    "label_atom_id": ("auth_atom_id",),
    "label_comp_id": ("auth_comp_id",),
    "label_asym_id": ("auth_asym_id",),
    "auth_asym_id": ("label_asym_id",),
    "auth_seq_id": ("label_seq_id",),
}
"""Columns that gemmi needs, and which other may stand in for a missing one."""
_LONG_NAMES = {
    "chain": ("chain_ids", ("auth_asym_id", "label_asym_id")),
    "chain_label": ("subchains", ("label_asym_id",)),
    "residue_name": ("residue_names", ("auth_comp_id", "label_comp_id")),
    "atom_name": ("atom_names", ("auth_atom_id", "label_atom_id")),
}
_ABSENT_B = 20.0
"""What gemmi gives for ``?``."""
_TENSOR = ("U[1][1]", "U[2][2]", "U[3][3]", "U[1][2]", "U[1][3]", "U[2][3]")


def read_mmcif(raw: bytes, source: str) -> Sites:
    """Read mmCIF text; of several data blocks the first that has atoms.

    Tags that occur twice, as in models of AlphaFold derivatives, are tolerated: the first counts.

    Args:
        raw: The uncompressed file.
        source: Named in error messages.

    Raises:
        FormatError: The text is no CIF.
        StructureError: It has no atoms, or no Cartesian coordinates.
    """
    block = _block_with_atoms(raw, source)
    _complete(block, source)
    structure = _parse(block, source)
    flat = gemmi.FlatStructure(structure)
    identifiers = list(block.find_loop(_SITE + "id"))
    order = None
    if not _in_file_order(identifiers, flat.serials):
        # gemmi puts atoms of one residue together. With numbers of our own we learn where they come from.
        column = block.find_loop(_SITE + "id")
        for row in range(len(identifiers)):
            column[row] = str(row)
        structure = _parse(block, source)
        flat = gemmi.FlatStructure(structure)
        order = np.argsort(flat.serials, kind="stable")
    columns = columns_of(flat, has_labels=True)
    if order is not None:
        columns = {name: column[order] for name, column in columns.items()}
    _restore_long_names(block, flat, columns)
    _mark_absent_b(block, columns["b_iso"])
    return Sites(
        **columns,
        u_aniso=_u_aniso(block, identifiers),
        partners=partners_of(structure) if len(structure.connections) else [],
        header=_header(block, structure),
    )


def _block_with_atoms(raw: bytes, source: str) -> cif.Block:
    try:
        # No checks: they refuse duplicate tags.
        document = cif.read_string(raw, 0)
    except (RuntimeError, ValueError) as error:
        raise FormatError(
            source,
            problem=f"damaged mmCIF text ({error})",
            remedy="Repair the line, or download the file again",
        ) from error
    for block in document:
        if len(block.find_values(_SITE + "Cartn_x")):
            return block
    fractional = any(len(block.find_values(_SITE + "fract_x")) for block in document)
    small = any(len(block.find_values("_atom_site_fract_x")) for block in document)
    raise StructureError(
        source,
        problem="only fractional coordinates" if fractional or small else "there are no atoms in the file",
        remedy="Give an mmCIF file with an atom_site category and Cartn_x, Cartn_y and Cartn_z",
    )


def _complete(block: cif.Block, source: str) -> None:
    """Add the columns that gemmi insists on, and make a loop of a single atom."""
    loop = block.find_loop(_SITE + "Cartn_x").get_loop()
    tags = {tag.lower() for tag in loop.tags} if loop else set()
    if loop and all(_SITE + name in tags for name in _FALLBACKS):
        return
    columns = block.get_mmcif_category(_SITE, raw=True)
    rows = len(columns["Cartn_x"])
    for name, others in _FALLBACKS.items():
        found = next((columns[other] for other in others if other in columns), None)
        if name not in columns:
            columns[name] = found or ([str(row) for row in range(rows)] if name == "id" else ["?"] * rows)
    for axis in ("Cartn_y", "Cartn_z"):
        if axis not in columns:
            raise StructureError(
                source,
                problem=f"atom_site has no {axis}",
                remedy="Give Cartesian coordinates in Cartn_x, Cartn_y and Cartn_z",
            )
    block.set_mmcif_category(_SITE, columns, raw=True)


def _parse(block: cif.Block, source: str) -> gemmi.Structure:
    try:
        return gemmi.make_structure_from_block(block)
    except (RuntimeError, ValueError) as error:
        raise FormatError(
            source,
            problem=f"mmCIF that cannot be read ({error})",
            remedy="Repair the atom_site category",
        ) from error


def _in_file_order(identifiers: list[str], serials: NDArray[np.int32]) -> bool:
    """Tell whether atoms with these serials are in the order of the file, which has these identifiers."""
    if len(serials) != len(identifiers) or (serials[1:] <= serials[:-1]).any():
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of identifiers that are no numbers
        numbers = np.fromstring(" ".join(identifiers), np.int64, sep=" ")
    return np.array_equal(numbers, serials)


def _restore_long_names(
    block: cif.Block, flat: gemmi.FlatStructure, columns: dict[str, NDArray]
) -> None:
    """Read the names that are longer than gemmi's flat arrays from the text."""
    for column, (array, tags) in _LONG_NAMES.items():
        if getattr(flat, array)[:, NAME_BYTES - 1].any():
            values = next(v for tag in tags if len(v := block.find_loop(_SITE + tag)))
            columns[column] = np.array([cif.as_string(value) for value in values])


def _mark_absent_b(block: cif.Block, b_iso: NDArray[np.float32]) -> None:
    """Put NaN where the file gives no B."""
    suspects = np.flatnonzero(b_iso == _ABSENT_B).tolist()
    if not suspects:
        return
    column = block.find_loop(_SITE + "B_iso_or_equiv")
    absent = [row for row in suspects if not len(column) or cif.is_null(column[row])]
    b_iso[absent] = np.nan


def _u_aniso(block: cif.Block, identifiers: list[str]) -> NDArray[np.float32] | None:
    """(atoms, 6) from atom_site_anisotrop, joined by identifier; None if no atom has any."""
    table = block.find("_atom_site_anisotrop.", ["id", *_TENSOR])
    if len(table) == 0:
        return None
    row_of = {identifier: row for row, identifier in enumerate(identifiers)}
    rows = np.array([row_of.get(identifier, -1) for identifier in table.column(0)])
    tensor = np.array([list(map(cif.as_number, table.column(1 + i))) for i in range(6)]).T
    values = np.full((len(identifiers), 6), np.nan, np.float32)
    values[rows[rows >= 0]] = tensor[rows >= 0]
    return None if np.isnan(values).all() else values


def _header(block: cif.Block, structure: gemmi.Structure) -> Header:
    b_type = block.find_values("_refine.pdbx_TLS_residual_ADP_flag")
    hints: list[str] = []
    is_model_archive = False
    if "_exptl.method" not in structure.info:
        for tag in ("_entry.id", "_struct.title", "_software.name", "_citation.title"):
            hints += [cif.as_string(value) for value in block.find_values(tag)]
        is_model_archive = any(name.startswith("_ma_") for name in block.get_mmcif_category_names())
    return header_of(
        structure,
        b_type=cif.as_string(b_type[0]) if len(b_type) else "",
        hints=tuple(hints),
        is_model_archive=is_model_archive,
    )
