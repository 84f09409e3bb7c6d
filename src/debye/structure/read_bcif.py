"""BinaryCIF → :class:`Sites`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from debye.errors import StructureError
from debye.structure.bcif import read_categories
from debye.structure.columns import Category, atom_columns, integers_of, numbers_of, texts_of
from debye.structure.file_links import Partner
from debye.structure.header import Header
from debye.structure.sites import Sites

_CATEGORIES = (
    "atom_site", "atom_site_anisotrop", "atom_sites", "cell", "citation", "em_3d_reconstruction", "entry",
    "exptl", "pdbx_refine_tls", "refine", "reflns", "software", "space_group", "struct", "struct_conn",
    "struct_ncs_oper", "symmetry",
)  # fmt: skip
_CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_TENSOR = ("U[1][1]", "U[2][2]", "U[3][3]", "U[1][2]", "U[1][3]", "U[2][3]")
_AXES = (1, 2, 3)


def read_bcif(raw: bytes, source: str) -> Sites:
    """Read BinaryCIF; of several data blocks the first that has atoms.

    Args:
        raw: The uncompressed file.
        source: Named in error messages.

    Raises:
        FormatError: The bytes are no BinaryCIF, or are damaged.
        StructureError: It has no atoms, or no Cartesian coordinates.
    """
    categories, names = read_categories(raw, _CATEGORIES, source=source, needed="atom_site")
    site = categories.get("atom_site", {})
    missing = [axis for axis in ("Cartn_x", "Cartn_y", "Cartn_z") if axis not in site]
    if missing:
        raise StructureError(
            source,
            problem=f"atom_site has no {', '.join(missing)}"
            if site
            else "there are no atoms in the file",
            remedy="Give a file with an atom_site category and Cartesian coordinates",
        )
    return Sites(
        **atom_columns(site, source),
        u_aniso=_u_aniso(categories, site),
        partners=_partners(categories.get("struct_conn", {}), source),
        header=_header(categories, names),
    )


def _u_aniso(categories: Mapping[str, Category], site: Category) -> NDArray[np.float32] | None:
    """(atoms, 6) joined by identifier; None if no atom has any."""
    tensor = categories.get("atom_site_anisotrop", {})
    if not {"id", *_TENSOR} <= set(tensor) or "id" not in site:
        return None
    row_of = {identifier: row for row, identifier in enumerate(site["id"].texts().tolist())}
    rows = np.array([row_of.get(name, -1) for name in tensor["id"].texts().tolist()], np.int64)
    values = np.full((len(site["id"]), 6), np.nan, np.float32)
    found = np.column_stack([tensor[name].numbers() for name in _TENSOR])
    values[rows[rows >= 0]] = found[rows >= 0]
    return None if np.isnan(values).all() else values


def _partners(links: Category, source: str) -> list[tuple[Partner, Partner]]:
    """Return the links within one asymmetric unit, hydrogen bonds left out."""
    rows = max((len(column) for column in links.values()), default=0)
    if rows == 0:
        return []
    first, second = _ends(links, rows, 1, source), _ends(links, rows, 2, source)
    kind = texts_of(links, rows, "conn_type_id").tolist()
    here = texts_of(links, rows, "ptnr1_symmetry").tolist()
    there = texts_of(links, rows, "ptnr2_symmetry").tolist()
    return [
        (first[row], second[row])
        for row in range(rows)
        if kind[row].lower() != "hydrog" and here[row] == there[row]
    ]


def _ends(links: Category, rows: int, end: int, source: str) -> list[Partner]:
    side = f"ptnr{end}_"
    columns = (
        texts_of(links, rows, side + "auth_asym_id", side + "label_asym_id"),
        integers_of(links, rows, side + "auth_seq_id", side + "label_seq_id", source=source),
        texts_of(links, rows, f"pdbx_{side}PDB_ins_code"),
        texts_of(links, rows, side + "auth_comp_id", side + "label_comp_id"),
        texts_of(links, rows, side + "auth_atom_id", side + "label_atom_id"),
        texts_of(links, rows, f"pdbx_{side}label_alt_id"),
    )
    return [Partner(*values) for values in zip(*(c.tolist() for c in columns), strict=True)]


def _header(categories: Mapping[str, Category], names: set[str]) -> Header:
    def facts(category: str, column: str) -> list[str]:
        found = categories.get(category, {}).get(column)
        return [] if found is None else found.texts().tolist()

    def fact(category: str, column: str) -> str:
        return next(iter(facts(category, column)), "")

    def number(category: str, column: str) -> float:
        found = categories.get(category, {}).get(column)
        return float(found.numbers()[0]) if found is not None and len(found) else np.nan

    resolution = [
        number("refine", "ls_d_res_high"),
        number("em_3d_reconstruction", "resolution"),
        number("reflns", "d_resolution_high"),
    ]
    return Header(
        id=fact("entry", "id"),
        title=fact("struct", "title"),
        method="; ".join(filter(None, facts("exptl", "method"))),
        resolution=next((value for value in resolution if value > 0), None),
        r_free=number("refine", "ls_R_factor_R_free"),
        program=_program(categories.get("software", {})),
        has_tls=any(len(column) for column in categories.get("pdbx_refine_tls", {}).values()),
        b_type=fact("refine", "pdbx_TLS_residual_ADP_flag"),
        hints=_hints(categories),
        is_model_archive=any(name.startswith("ma_") for name in names),
        cell=tuple(number("cell", name) for name in _CELL),
        space_group=fact("symmetry", "space_group_name_H-M") or fact("space_group", "name_H-M_alt"),
        fractional=_fractional(categories.get("atom_sites", {})),
        ncs=_ncs(categories.get("struct_ncs_oper", {})),
    )


def _program(software: Category) -> str:
    """Return name and version of the first program that is said to have refined."""
    if not {"name", "classification"} <= set(software):
        return ""
    rows = len(software["name"])
    name, kind, version = (
        texts_of(software, rows, column).tolist()
        for column in ("name", "classification", "version")
    )
    found = [row for row in range(rows) if kind[row].lower() == "refinement"]
    return f"{name[found[0]]} {version[found[0]]}".strip() if found else ""


def _hints(categories: Mapping[str, Category]) -> tuple[str, ...]:
    places = (("entry", "id"), ("struct", "title"), ("software", "name"), ("citation", "title"))
    columns = [categories.get(category, {}).get(column) for category, column in places]
    return tuple(
        text for column in columns if column is not None for text in column.texts().tolist()
    )


def _fractional(category: Category) -> NDArray[np.float64] | None:
    return _operators(category, "fract_transf_")[0] if category else None


def _ncs(category: Category) -> list[tuple[bool, NDArray[np.float64]]]:
    operators = _operators(category, "") if category else []
    codes = texts_of(category, len(operators), "code").tolist()
    return [(code.lower() == "given", item) for code, item in zip(codes, operators, strict=True)]


def _operators(category: Category, prefix: str) -> list[NDArray[np.float64]]:
    """Return the (3, 4) matrices and shifts of a category, NaN where it has none."""
    rows = max((len(column) for column in category.values()), default=0)
    tags = [[f"{prefix}matrix[{i}][{j}]" for j in _AXES] + [f"{prefix}vector[{i}]"] for i in _AXES]
    cells = [numbers_of(category, rows, tag) for line in tags for tag in line]
    return list(np.array(cells).T.reshape(rows, 3, 4))
