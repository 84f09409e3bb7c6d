"""Structure → new file: for structures made by code; copies of files are :mod:`.write`'s business."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path

import gemmi
import numpy as np

from debye.errors import FormatError
from debye.structure.structure import EntityKind, Structure

_ATOM_TAGS = (
    "group_PDB", "id", "type_symbol", "label_atom_id", "label_alt_id", "label_comp_id",
    "label_asym_id", "label_entity_id", "label_seq_id", "pdbx_PDB_ins_code", "Cartn_x", "Cartn_y",
    "Cartn_z", "occupancy", "B_iso_or_equiv", "auth_seq_id", "auth_asym_id", "pdbx_PDB_model_num",
)  # fmt: skip
_POLYMERS = (EntityKind.PROTEIN, EntityKind.NUCLEIC)


def write_structure(structure: Structure, target: Path | str) -> Path:
    """Write a structure to a new mmCIF or PDB file and return its path.

    Coordinates get three decimals, occupancies and B-factors two; an unknown B is ``?`` in mmCIF and blank in
    PDB. ANISOU is not written. The same structure always gives the same bytes.

    Args:
        structure: What to write; all atoms, in order.
        target: ``.cif``, ``.pdb`` or ``.ent``, also with ``.gz``; an existing file is replaced.

    Raises:
        FormatError: The suffix names another format, or the PDB format cannot hold the structure.
    """
    target = Path(target)
    kind = Path(target.name.removesuffix(".gz")).suffix
    writers = {".cif": cif_text, ".pdb": pdb_text, ".ent": pdb_text}
    if kind not in writers:
        raise FormatError(
            str(target),
            problem=f"cannot write the format {kind!r}",
            remedy=f"Name the file {', '.join(writers)}, with or without .gz",
        )
    content = writers[kind](structure).encode()
    if target.name.endswith(".gz"):
        content = gzip.compress(content, mtime=0)
    target.write_bytes(content)
    return target


def cif_text(structure: Structure) -> str:
    """Return the structure as the text of an mmCIF file."""
    document = gemmi.cif.Document()
    block = document.add_new_block((structure.entry.id or "built").upper())
    _add_entry(block, structure)
    _add_crystal(block, structure)
    labels = np.where(structure.chain_label == "", structure.chain, structure.chain_label)
    entities = {label: index for index, label in enumerate(dict.fromkeys(labels.tolist()), start=1)}
    _add_entities(block, structure, labels.tolist(), entities)
    loop = block.init_loop("_atom_site.", list(_ATOM_TAGS))
    columns = _atom_columns(structure, labels.tolist(), entities)
    loop.set_all_values([[_quoted(value) for value in column] for column in columns])
    _add_links(block, structure, labels.tolist())
    return document.as_string()


def pdb_text(structure: Structure) -> str:
    """Return the structure as the text of a PDB file; links are not written.

    Raises:
        FormatError: A field is too wide for its columns.
    """
    lines = [*_pdb_header(structure)]
    models = np.unique(structure.model)
    for model in models:
        if len(models) > 1:
            lines.append(f"MODEL     {model:4d}")
        lines += [
            _pdb_atom(structure, int(row)) for row in np.flatnonzero(structure.model == model)
        ]
        if len(models) > 1:
            lines.append("ENDMDL")
    return "\n".join(line.ljust(80) for line in [*lines, "END"]) + "\n"


def _quoted(value: str) -> str:
    return value if value in (".", "?") else gemmi.cif.quote(value)


def _number(values: Iterable[float], decimals: int) -> list[str]:
    return ["?" if np.isnan(value) else f"{value:.{decimals}f}" for value in values]


def _atom_columns(
    structure: Structure, labels: list[str], entities: dict[str, int]
) -> list[list[str]]:
    polymer = np.isin(structure.entity_kind, _POLYMERS)
    return [
        ["HETATM" if hetero else "ATOM" for hetero in structure.is_hetero],
        [str(row) for row in range(1, len(structure) + 1)],
        structure.element.tolist(),
        structure.atom_name.tolist(),
        [altloc or "." for altloc in structure.altloc.tolist()],
        structure.residue_name.tolist(),
        labels,
        [str(entities[label]) for label in labels],
        [
            str(number) if is_polymer else "."
            for number, is_polymer in zip(
                _sequence_numbers(structure, labels), polymer, strict=True
            )
        ],
        [code or "?" for code in structure.insertion_code.tolist()],
        *(_number(structure.position[:, axis], 3) for axis in range(3)),
        _number(structure.occupancy, 2),
        _number(structure.b_iso, 2),
        [str(number) for number in structure.residue_number],
        structure.chain.tolist(),
        [str(number) for number in structure.model],
    ]


def _sequence_numbers(structure: Structure, labels: list[str]) -> list[int]:
    """Count the residues of every chain from 1, as label_seq_id does."""
    seen: dict[tuple[int, str], dict[int, int]] = {}
    numbers = []
    for model, label, residue in zip(
        structure.model.tolist(), labels, structure.residue_index.tolist(), strict=True
    ):
        chain = seen.setdefault((model, label), {})
        numbers.append(chain.setdefault(residue, len(chain) + 1))
    return numbers


def _add_entry(block: gemmi.cif.Block, structure: Structure) -> None:
    entry = structure.entry
    block.set_pair("_entry.id", gemmi.cif.quote(block.name))
    if entry.title:
        block.set_pair("_struct.title", gemmi.cif.quote(entry.title))
    if entry.method:
        block.set_pair("_exptl.method", gemmi.cif.quote(entry.method))
    if entry.resolution is not None:
        block.set_pair("_refine.pdbx_refine_id", gemmi.cif.quote(entry.method or "unknown"))
        block.set_pair("_refine.ls_d_res_high", f"{entry.resolution:.2f}")


def _add_crystal(block: gemmi.cif.Block, structure: Structure) -> None:
    if structure.crystal is None:
        return
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    for name, value in zip(names, structure.crystal.cell, strict=True):
        block.set_pair(f"_cell.{name}", f"{value:.3f}")
    space_group = gemmi.cif.quote(structure.crystal.space_group)
    block.set_pair("_symmetry.space_group_name_H-M", space_group)


def _add_entities(
    block: gemmi.cif.Block, structure: Structure, labels: list[str], entities: dict[str, int]
) -> None:
    loop = block.init_loop("_entity.", ["id", "type"])
    first_row = {label: row for row, label in reversed(list(enumerate(labels)))}
    for label, entity in entities.items():
        kind = EntityKind(int(structure.entity_kind[first_row[label]]))
        names = {EntityKind.WATER: "water", **dict.fromkeys(_POLYMERS, "polymer")}
        loop.add_row([str(entity), names.get(kind, "non-polymer")])


def _add_links(block: gemmi.cif.Block, structure: Structure, labels: list[str]) -> None:
    if not len(structure.links):
        return
    partner = ("label_asym_id", "label_comp_id", "label_atom_id", "auth_asym_id", "auth_seq_id")
    tags = [f"ptnr{side}_{name}" for side in (1, 2) for name in partner]
    loop = block.init_loop("_struct_conn.", ["id", "conn_type_id", *tags, "pdbx_dist_value"])
    for number, (first, second) in enumerate(structure.links.tolist(), start=1):
        ion = EntityKind.ION in (structure.entity_kind[first], structure.entity_kind[second])
        row = [f"link{number}", "metalc" if ion else "covale"]
        for atom in (first, second):
            row += [labels[atom], str(structure.residue_name[atom]), str(structure.atom_name[atom])]
            row += [str(structure.chain[atom]), str(structure.residue_number[atom])]
        distance = np.linalg.norm(structure.position[first] - structure.position[second])
        loop.add_row([_quoted(value) for value in row] + [f"{distance:.3f}"])


def _pdb_header(structure: Structure) -> list[str]:
    entry, lines = structure.entry, []
    if entry.id:
        lines.append(f"HEADER{'':56}{entry.id.upper()[:4]}")
    if entry.title:
        lines.append(f"TITLE     {entry.title[:70]}")
    if entry.method:
        lines.append(f"EXPDTA    {entry.method}")
    if entry.resolution is not None:
        lines.append(f"REMARK   2 RESOLUTION. {entry.resolution:7.2f} ANGSTROMS.")
    if structure.crystal is not None:
        a, b, c, alpha, beta, gamma = structure.crystal.cell
        cell = f"CRYST1{a:9.3f}{b:9.3f}{c:9.3f}{alpha:7.2f}{beta:7.2f}{gamma:7.2f}"
        lines.append(f"{cell} {structure.crystal.space_group:<11}")
    return lines


def _pdb_atom(structure: Structure, row: int) -> str:
    name, element = str(structure.atom_name[row]), str(structure.element[row])
    # The element symbol ends in column 14, unless the name needs all four columns.
    padded = f" {name:<3}" if len(element) == 1 and len(name) < 4 else f"{name:<4}"
    x, y, z = (f"{value:8.3f}" for value in structure.position[row])
    b_iso = structure.b_iso[row]
    line = (
        f"{'HETATM' if structure.is_hetero[row] else 'ATOM':<6}{row + 1:5d} {padded}"
        f"{structure.altloc[row]:1}{structure.residue_name[row]:>3} {structure.chain[row]:1}"
        f"{structure.residue_number[row]:4d}{structure.insertion_code[row]:1}   {x}{y}{z}"
        f"{structure.occupancy[row]:6.2f}{'' if np.isnan(b_iso) else f'{b_iso:.2f}':>6}"
        f"{'':10}{element:>2}"
    )
    if len(line) != 78:
        raise FormatError(
            structure.source,
            problem=f"atom {row + 1} ({name}) does not fit the columns of the PDB format: {line!r}",
            remedy="Write mmCIF",
        )
    return line
