"""mmCIF text → :class:`Sites`: atoms from the rows of their loop, the rest by gemmi."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np
from gemmi import cif
from numpy.typing import NDArray

from debye.errors import FormatError, StructureError
from debye.structure.cif_loop import Loop, find_loop, numbers_together
from debye.structure.columns import Category, Column, PlainColumn, atom_columns, usual_names
from debye.structure.gemmi_header import header_of, partners_of
from debye.structure.header import Header
from debye.structure.sites import Sites

_SITE = "_atom_site."
_AXES = ("Cartn_x", "Cartn_y", "Cartn_z")
_TOGETHER = (_AXES, ("occupancy", "B_iso_or_equiv"))
_RESOLUTION = (
    "_refine.ls_d_res_high",
    "_em_3d_reconstruction.resolution",
    "_reflns.d_resolution_high",
)
_R_FREE = ("_refine.ls_R_factor_R_free",)
_TENSOR = ("U[1][1]", "U[2][2]", "U[3][3]", "U[1][2]", "U[1][3]", "U[2][3]")


def read_mmcif(raw: bytes, source: str) -> Sites:
    """Read mmCIF text; of several data blocks the first that has atoms.

    Tags that occur twice, as in models derived from AlphaFold's, are tolerated: the first counts.

    Args:
        raw: The uncompressed file.
        source: Named in error messages.

    Raises:
        FormatError: The text is no CIF.
        StructureError: It has no atoms, or no Cartesian coordinates.
    """
    loop = find_loop(raw, _SITE)
    site, block = _with_loop(raw, loop, source) if loop else (None, None)
    if site is None or block is None:
        site, block = _in_general(raw, source)
    missing = [axis for axis in _AXES if axis not in site]
    if missing:
        raise StructureError(
            source,
            problem=f"atom_site has no {', '.join(missing)}",
            remedy="Give an mmCIF file with Cartesian coordinates, not fractional ones",
        )
    structure = _parse(block, source)
    return Sites(
        **atom_columns(site, source),
        u_aniso=_u_aniso(block, site),
        partners=partners_of(structure),
        header=_header(block, structure),
    )


def _with_loop(raw: bytes, loop: Loop, source: str) -> tuple[Category | None, cif.Block | None]:
    """Return the atoms and the rest, or nothing if there are several blocks or further atoms."""
    document = _document(raw[: loop.start] + raw[loop.end :], source)
    if len(document) != 1 or len(document[0].find_mmcif_category(_SITE)):
        return None, None
    columns = usual_names(loop.columns)
    site: dict[str, Column] = {**columns}
    for group in _TOGETHER:
        if all(name in columns for name in group):
            numbers = numbers_together([columns[name] for name in group])
            site.update(zip(group, map(PlainColumn, numbers), strict=True))
    return site, document[0]


def _in_general(raw: bytes, source: str) -> tuple[Category, cif.Block]:
    """Return the atoms and the rest of the first block with atoms, whatever CIF it is written in."""
    block = _block_with_atoms(_document(raw, source), source)
    site = {
        name: PlainColumn(np.array([value or "" for value in column], np.str_))
        for name, column in block.get_mmcif_category(_SITE).items()
    }
    block.find_mmcif_category(_SITE).erase()
    return usual_names(site), block


def _document(raw: bytes, source: str) -> cif.Document:
    try:
        # No checks: they refuse duplicate tags.
        return cif.read_string(raw, 0)
    except (RuntimeError, ValueError) as error:
        raise FormatError(
            source,
            problem=f"damaged mmCIF text ({error})",
            remedy="Repair the line, or download the file again",
        ) from error


def _block_with_atoms(document: cif.Document, source: str) -> cif.Block:
    for block in document:
        if len(block.find_mmcif_category(_SITE)):
            return block
    small = any(len(block.find_values("_atom_site_fract_x")) for block in document)
    raise StructureError(
        source,
        problem="only fractional coordinates of a small molecule"
        if small
        else "there are no atoms in the file",
        remedy="Give an mmCIF file with an atom_site category",
    )


def _parse(block: cif.Block, source: str) -> gemmi.Structure:
    try:
        return gemmi.make_structure_from_block(block)
    except (RuntimeError, ValueError) as error:
        raise FormatError(
            source,
            problem=f"mmCIF that cannot be read ({error})",
            remedy="Repair the category",
        ) from error


def _u_aniso(block: cif.Block, site: Category) -> NDArray[np.float32] | None:
    """(atoms, 6) from atom_site_anisotrop, joined by identifier; None if no atom has any."""
    table = block.find("_atom_site_anisotrop.", ["id", *_TENSOR])
    if len(table) == 0 or "id" not in site:
        return None
    row_of = {identifier: row for row, identifier in enumerate(site["id"].texts().tolist())}
    rows = np.array([row_of.get(cif.as_string(text), -1) for text in table.column(0)])
    tensor = np.array([list(map(cif.as_number, table.column(1 + i))) for i in range(6)]).T
    values = np.full((len(site["id"]), 6), np.nan, np.float32)
    values[rows[rows >= 0]] = tensor[rows >= 0]
    return None if np.isnan(values).all() else values


def _header(block: cif.Block, structure: gemmi.Structure) -> Header:
    b_type = block.find_values("_refine.pdbx_TLS_residual_ADP_flag")
    hints: list[str] = []
    is_model_archive = False
    if "_exptl.method" not in structure.info:
        for tag in ("_entry.id", "_struct.title", "_software.name", "_citation.title"):
            hints += [cif.as_string(value) for value in block.find_values(tag)]
        names = block.get_mmcif_category_names()
        is_model_archive = any(name.lower().startswith("_ma_") for name in names)
    header = header_of(
        structure,
        b_type=cif.as_string(b_type[0]) if len(b_type) else "",
        hints=tuple(hints),
        is_model_archive=is_model_archive,
    )
    if not header.space_group:
        header = replace(header, space_group=_first_text(block, "_space_group.name_H-M_alt"))
    if not structure.resolution:
        header = replace(header, resolution=_first_number(block, _RESOLUTION))
    if header.r_free is None or np.isnan(header.r_free):
        header = replace(header, r_free=_first_number(block, _R_FREE))
    return header


def _first_text(block: cif.Block, tag: str) -> str:
    return next((cif.as_string(text) for text in block.find_values(tag)), "")


def _first_number(block: cif.Block, tags: tuple[str, ...]) -> float | None:
    """Return what gemmi leaves out where a category is not complete."""
    for tag in tags:
        for text in block.find_values(tag):
            if cif.as_number(text) > 0:
                return cif.as_number(text)
    return None
