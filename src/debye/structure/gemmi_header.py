"""What gemmi reads besides atoms → :class:`Header` and links."""

from __future__ import annotations

import gemmi
import numpy as np
from numpy.typing import NDArray

from debye.structure.file_links import Partner
from debye.structure.header import Header


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
    # The map of gemmi has no get().
    return info[tag] if tag in info else ""  # noqa: SIM401
