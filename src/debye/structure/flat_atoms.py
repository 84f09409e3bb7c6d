"""gemmi's flat arrays → :class:`Sites` columns."""

from __future__ import annotations

import gemmi
import numpy as np
from numpy.typing import NDArray

from debye.structure.file_links import Partner
from debye.structure.header import Header
from debye.structure.sites import SYMBOLS

NAME_BYTES = 8
"""gemmi's flat arrays cut names here."""

_HETATM = ord("H")
_NO_NUMBER = np.iinfo(np.int32).min


def columns_of(flat: gemmi.FlatStructure, *, has_labels: bool) -> dict[str, NDArray]:
    """Return the columns of :class:`Sites`, in gemmi's order of atoms.

    Args:
        flat: Made from a structure.
        has_labels: Take ``label_asym_id``; a PDB file has none, and gemmi's own are not the file's.
    """
    number = flat.resnums
    unnumbered = number == _NO_NUMBER
    return {
        "model": np.array(flat.model_num),
        "chain": _names(flat.chain_ids),
        "chain_label": _names(flat.subchains) if has_labels else np.zeros(len(number), "U1"),
        "residue_number": np.where(unnumbered, 0, number) if unnumbered.any() else np.array(number),
        "insertion_code": _characters(flat.icodes),
        "residue_name": _names(flat.residue_names),
        "atom_name": _names(flat.atom_names),
        "altloc": _characters(flat.altlocs),
        "element": SYMBOLS[flat.elements],
        "position": flat.pos.astype(np.float32),
        "occupancy": np.array(flat.occ),
        "b_iso": np.array(flat.b_iso),
        "is_hetero": flat.het_flags == _HETATM,
    }


def header_of(
    structure: gemmi.Structure, *, b_type: str, hints: tuple[str, ...], is_model_archive: bool
) -> Header:
    """Return the facts that gemmi has read; what it does not read is given."""
    info, meta = structure.info, structure.meta
    programs = [item for item in meta.software if item.classification.name == "Refinement"]
    refinement = list(meta.refinement)
    return Header(
        id=_fact(info, "_entry.id"),
        title=_fact(info, "_struct.title"),
        method=_fact(info, "_exptl.method"),
        resolution=structure.resolution,
        r_free=refinement[0].r_free if refinement else None,
        program=f"{programs[0].name} {programs[0].version}".strip() if programs else "",
        has_tls=any(len(item.tls_groups) for item in refinement),
        b_type=b_type,
        hints=hints,
        is_model_archive=is_model_archive,
        cell=structure.cell.parameters,
        space_group=structure.spacegroup_hm,
        fractional=_matrix(structure.cell.frac) if structure.cell.explicit_matrices else None,
        ncs=[(operator.given, _matrix(operator.tr)) for operator in structure.ncs],
    )


def partners_of(structure: gemmi.Structure) -> list[tuple[Partner, Partner]]:
    """Return the links within one asymmetric unit, hydrogen bonds left out."""
    return [
        (_partner(link.partner1), _partner(link.partner2))
        for link in structure.connections
        if link.type != gemmi.ConnectionType.Hydrog and link.asu != gemmi.Asu.Different
    ]


def _partner(address: gemmi.AtomAddress) -> Partner:
    residue = address.res_id
    return Partner(
        chain=address.chain_name,
        residue_number=residue.seqid.num or 0,
        insertion_code=residue.seqid.icode.strip(),
        residue_name=residue.name,
        atom_name=address.atom_name,
        altloc=address.altloc.strip("\0"),
    )


def _matrix(transform: gemmi.Transform) -> NDArray[np.float64]:
    return np.column_stack([transform.mat.tolist(), transform.vec.tolist()])


def _fact(info: gemmi.InfoMap, tag: str) -> str:
    return info[tag] if tag in info else ""


def _names(characters: NDArray[np.int8]) -> NDArray[np.str_]:
    """Return zero-padded bytes as texts of the width that is needed."""
    width = NAME_BYTES
    while width > 1 and not characters[:, width - 1].any():
        width -= 1
    # Through uint8: UTF-8 bytes above 127 are negative here.
    wide = np.ascontiguousarray(characters[:, :width].view(np.uint8)).astype(np.uint32)
    return wide.view(f"U{width}").reshape(-1)


def _characters(codes: NDArray[np.int8]) -> NDArray[np.str_]:
    """Return one character an atom, empty for blank and zero."""
    visible = np.where(codes == ord(" "), 0, codes)
    return visible.view(np.uint8).astype(np.uint32).view("U1")
