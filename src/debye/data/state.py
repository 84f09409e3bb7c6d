"""Apo or holo: whether a ligand that is no additive is bound."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from debye.structure.structure import EntityKind, Structure

ADDITIVES = tuple(
    """
    12P 15P 1BO 1MZ 1PE 1PG 2BU 2HP 2ME 2PE 33O 4MZ 7PE ACE ACN ACT ACY AE3 AE4 ARS ART AST AZI B3P
    B4T BCN BCT BEN BEZ BIS BMA BME BNG BNZ BOG BTB BU1 BU2 BU3 BU9 BUD C10 C8E CAC CCN CE9 CHES
    CIT CM5 CO3 CPS CXS CYN D10 D12 DCE DD9 DDQ DHL DIO DMF DMS DOD DTT DTU DTV EDO EEE EOH EPE ETE
    ETF FCN FLC FLH FMT FUC FUL GAI GOL GUN HEX HEZ HOH HTG ICT IMD IOH IPA LDA LFA LMR LMT LMU M2M
    MAN MEE MES MLA MLI MLT MOH MPD MPO MRD MTG MXE MYR N8E NAG NDG NG6 NH2 NH4 NHE NO2 NO3 OCT OES
    OLA OLB OLC OXL OXY P2K P33 P3G P4G P6G PDO PE3 PE4 PE5 PE7 PE8 PEG PEO PEU PG0 PG4 PG5 PG6 PGE
    PGO PGR PHN PI PIN PLM PO3 PO4 POL RES SCN SDS SEO SIN SO3 SO4 SRT STE SUC TAM TAR TCA TEA TEG
    TES TFA TLA TMA TMN TOE TOL TRE TRS UND UNK UNL UNX URE WAT XPE
    """.split()
)
"""Components that crystals hold for reasons of their own: additives, buffers, cryoprotectants, detergents, and the
sugars of N-glycans."""


def ligands(structure: Structure, fewest_atoms: int, additives: Collection[str]) -> tuple[str, ...]:
    """Return the components that count as ligands, sorted.

    Args:
        structure: Heavy atoms of one conformer.
        fewest_atoms: Heavy atoms of a component that counts.
        additives: Components that never count.
    """
    rows = np.isin(structure.entity_kind, [EntityKind.LIGAND, EntityKind.SUGAR])
    size = np.bincount(structure.residue_index[rows], minlength=structure.n_residues)
    large = rows & (size[structure.residue_index] >= fewest_atoms)
    names = set(structure.residue_name[large].tolist())
    return tuple(sorted(names - set(additives)))
