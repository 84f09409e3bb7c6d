"""Make ``src/debye/structure/components.npz`` from the Chemical Component Dictionary.

The dictionary is Biotite's copy (a development dependency), reduced to what bonds need: heavy atoms,
bonds between them, and the class of each component. Run it again when Biotite ships a newer copy:

    python scripts/make_component_table.py
"""

from __future__ import annotations

import argparse
import lzma
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import biotite
import numpy as np
from biotite.structure.info.ccd import get_ccd
from numpy.typing import NDArray

from debye.structure.components import BLOCK_FILTERS, ComponentClass

TARGET = Path(__file__).parents[1] / "src" / "debye" / "structure" / "components.npz"
BLOCK = 384
"""Components that are packed together: fewer open faster, more compress better."""
FIRST_BLOCK = (
    "ALA ARG ASN ASP CYS GLN GLU GLY HIS ILE LEU LYS MET PHE PRO SER THR TRP TYR VAL MSE UNK ACE NME "
    "NH2 SEP TPO PTR CSO CME PCA KCX LLP OCS A C G U T N I DA DC DG DT DU DI NAG NDG BMA MAN FUC FUL "
    "GAL GLC BGC SIA HEM HEC FAD FMN NAD NAP NDP ATP ADP AMP ANP GTP GDP GNP SAM SAH COA PLP TPP UDP "
    "GOL EDO SO4 PO4 ACT PEG PGE PG4 1PE MPD DMS FMT MES EPE TRS CIT TLA BME DTT IMD IPA EOH NO3 SCN "
    "AZI CO3 BCT SF4 FES F3S CL1 BCL CLA PHO"
).split()
"""Frequent components: in one block, so that most structures open a single one."""
WATERS = ("HOH", "DOD")
CAPS = ("ACE", "FOR", "NH2", "NME")
"""The ends of a peptide, which the dictionary calls non-polymers."""


@dataclass
class Dictionary:
    """Heavy atoms and the bonds between them, as flat columns."""

    ids: NDArray[np.str_]
    kind: NDArray[np.str_]
    names: NDArray[np.str_]
    """(names,) distinct heavy-atom names in natural order: C1, C2, ..., C10."""
    component: NDArray[np.intp]
    name: NDArray[np.intp]
    bond_component: NDArray[np.intp]
    pairs: NDArray[np.intp]
    """(bonds, 2) row in names of each end."""
    order: NDArray[np.uint8]


def natural_key(name: str) -> list[tuple[int, str]]:
    """Sort digits by value, so that names count up and the table packs well."""
    return [(int(p), "") if p.isdigit() else (-1, p) for p in re.findall(r"\d+|\D", name)]


def read_dictionary() -> Dictionary:
    """Reduce the dictionary to heavy atoms and the bonds between them."""
    block = get_ccd()
    atoms, bonds = block["chem_comp_atom"], block["chem_comp_bond"]
    ids = block["chem_comp"]["id"].as_array()
    by_id = np.argsort(ids)
    component = by_id[np.searchsorted(ids, atoms["comp_id"].as_array(), sorter=by_id)]
    heavy = ~np.isin(atoms["type_symbol"].as_array(), ("H", "D"))
    atom_name = atoms["atom_id"].as_array()[heavy]
    names = np.array(sorted(set(atom_name.tolist()), key=lambda name: (natural_key(name), name)))
    number = {name: row for row, name in enumerate(names.tolist())}
    name = np.array([number[text] for text in atom_name.tolist()])
    component = component[heavy]
    bond_component = by_id[np.searchsorted(ids, bonds["comp_id"].as_array(), sorter=by_id)]
    pairs = np.stack(
        [
            np.array([number.get(text, -1) for text in bonds[f"atom_id_{end}"].as_array().tolist()])
            for end in (1, 2)
        ],
        axis=1,
    )
    # A name may be a heavy atom in one component and a hydrogen in another.
    known = np.unique(component * len(names) + name)
    keep = np.isin(bond_component[:, None] * len(names) + pairs, known).all(axis=1)
    keep &= (pairs >= 0).all(axis=1)
    order = np.select(
        [
            bonds["pdbx_aromatic_flag"].as_array() == "Y",
            bonds["value_order"].as_array() == "SING",
            bonds["value_order"].as_array() == "DOUB",
            bonds["value_order"].as_array() == "TRIP",
        ],
        [4, 1, 2, 3],
    )
    if not order[keep].all():
        raise SystemExit("a bond order is none of SING, DOUB, TRIP: extend the table")
    kind = np.char.upper(block["chem_comp"]["type"].as_array())
    return Dictionary(
        ids, kind, names, component, name, bond_component[keep], pairs[keep], order[keep]
    )


def classify(dictionary: Dictionary) -> NDArray[np.uint8]:
    """Class of each component, from ``_chem_comp.type`` and its number of heavy atoms."""
    heavy = np.bincount(dictionary.component, minlength=len(dictionary.ids))

    def class_of(name: str, kind: str, atoms: int) -> ComponentClass:
        if name in WATERS:
            return ComponentClass.WATER
        if "SACCHARIDE" in kind:
            return ComponentClass.SACCHARIDE
        if "DNA" in kind or "RNA" in kind:
            return ComponentClass.NUCLEOTIDE
        if ("PEPTIDE" in kind and kind != "PEPTIDE-LIKE") or name in CAPS:
            return ComponentClass.PEPTIDE
        return ComponentClass.ION if atoms == 1 else ComponentClass.OTHER

    rows = zip(dictionary.ids.tolist(), dictionary.kind.tolist(), heavy.tolist(), strict=True)
    return np.array([class_of(*row) for row in rows], dtype=np.uint8)


def split_bytes(values: NDArray[np.integer]) -> bytes:
    """Low bytes, then high bytes: the high ones are nearly all zero and pack to nothing."""
    return values.astype("<i2").view(np.uint8).reshape(-1, 2).T.tobytes()


def pack_block(dictionary: Dictionary, rows: NDArray[np.intp]) -> bytes:
    """Pack some components; :func:`debye.structure.components.unpack_block` is the inverse."""
    counts, name_steps, steps, spans, orders = [], [], [], [], []
    for row in rows:
        names = np.sort(
            dictionary.name[slice(*np.searchsorted(dictionary.component, [row, row + 1]))]
        )
        bonds = slice(*np.searchsorted(dictionary.bond_component, [row, row + 1]))
        local = np.sort(np.searchsorted(names, dictionary.pairs[bonds]), axis=1)
        by_first = np.lexsort((local[:, 1], local[:, 0]))
        local = local[by_first]
        counts.append((len(names), len(local)))
        name_steps.append(np.diff(names, prepend=0))
        steps.append(np.diff(local[:, 0], prepend=0))
        spans.append(local[:, 1] - local[:, 0])
        orders.append(dictionary.order[bonds][by_first])
    columns = np.array(counts)
    raw = split_bytes(columns[:, 0]) + split_bytes(columns[:, 1])
    raw += split_bytes(np.concatenate(name_steps))
    for part in (steps, spans, orders):
        raw += np.concatenate(part).astype(np.uint8).tobytes()
    return lzma.compress(raw, format=lzma.FORMAT_RAW, filters=BLOCK_FILTERS)


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=TARGET)
    output = parser.parse_args().output
    dictionary = read_dictionary()
    rank = {name: number for number, name in enumerate(FIRST_BLOCK)}
    # Stable: the frequent ones first, then in the order of the dictionary.
    ordered = np.argsort([rank.get(n, BLOCK) for n in dictionary.ids.tolist()], kind="stable")
    starts = [0, len(rank.keys() & set(dictionary.ids.tolist()))]
    starts += [*range(starts[-1] + BLOCK, len(ordered), BLOCK), len(ordered)]
    blocks = [pack_block(dictionary, ordered[first:last]) for first, last in pairwise(starts)]
    ids = "".join(name.ljust(5) for name in dictionary.ids[ordered].tolist()).encode("ascii")
    classes = classify(dictionary)[ordered].tobytes()
    header = lzma.compress(ids + classes, format=lzma.FORMAT_RAW, filters=BLOCK_FILTERS)
    modified = max(get_ccd()["chem_comp"]["pdbx_modified_date"].as_array().tolist())
    np.savez(
        output,
        source=np.array(
            f"wwPDB Chemical Component Dictionary, last change {modified}, "
            f"from biotite {biotite.__version__}"
        ),
        header=np.frombuffer(header, np.uint8),
        names=dictionary.names.astype("S4"),
        blocks=np.frombuffer(b"".join(blocks), np.uint8),
        block_ends=np.cumsum([len(block) for block in blocks]).astype(np.int32),
        block_starts=np.array(starts[:-1], np.int32),
    )
    print(
        f"{output}: {len(ordered):,} components, {len(dictionary.name):,} heavy atoms, "
        f"{len(dictionary.order):,} bonds, {output.stat().st_size / 1e6:.2f} MB"
    )


if __name__ == "__main__":
    main()
