"""Elements, residues and atom names: constants and their codes.

Every ``*_code`` function returns the position in the tuple of its name, and position 0 is ``other``:
the number of categories is the length of the tuple. Lengths in Å, volumes in Å³.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import gemmi
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from debye.structure.components import ComponentClass, open_table
from debye.structure.row_keys import text_numbers
from debye.structure.structure import EntityKind

_Number = TypeVar("_Number", bound=np.generic)

OTHER = "other"

ELEMENTS = (
    *(OTHER, "C", "O", "N", "S", "P", "SE", "ZN", "MG", "CA", "CL", "NA", "FE", "K", "MN", "F"),
    *("BR", "CU", "NI", "CO", "I", "CD", "HG", "MO", "B", "SI", "AS", "H", "D"),
)
"""Elements of PDB entries, common ones first; ``other`` takes the rest (V, W, Xe, lanthanides, ...)."""

LOCANTS = (
    *(OTHER, "N", "CA", "C", "O", "OXT", "B", "G", "D", "E", "Z", "H"),
    *("phosphate", "sugar", "base"),
)
"""Relative location of an atom in its residue: for proteins the backbone atoms one by one and side-chain
atoms by their Greek letter (beta to eta), for nucleic acids the part; ``other`` for everything else."""

RESIDUES = (
    *(OTHER, "ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE", "LEU"),
    *("LYS", "MET", "PHE", "PRO", "SER", "THR", "TRP", "TYR", "VAL"),
    *("MSE", "A", "C", "G", "U", "DA", "DC", "DG", "DT"),
)
"""Residue identities: the 20 amino acids, selenomethionine, the eight nucleotides."""

STANDARD_RESIDUES = tuple(name for name in RESIDUES if name not in (OTHER, "MSE"))
"""The 20 amino acids and the eight nucleotides."""

COFACTORS = frozenset(
    "HEM HEA HEB HEC HDD HAS SRM DHE F43 B12 CNC COB COY FAD FMN FNR RBF F42 NAD NAI NAP NDP NAJ NDC "
    "COA ACO SCA MCA BCO PLP PMP LLP PLR TPP TDP THD TPQ SAM SAH BTN BTI LPA LPB THF THG FOL FFO C2F H4B "
    "BH4 HBI MGD MTE PCD MOS GSH GTT PQQ TTQ CLA CHL BCL BCB PHO BPH UQ1 UQ2 UQ8 U10 PNS PN7 ATP ADP AMP "
    "ANP ACP AGS GTP GDP GNP GSP SF4 FES F3S CLF CFM ICS".split()
)
"""Components that enzymes work with: hemes, flavins, nicotinamides, coenzyme A, pyridoxal, thiamine and
adenosyl groups, folates, pterins, quinones, chlorophylls, iron-sulfur clusters (after the CoFactor database,
Fischer, Holliday & Thornton 2010, doi:10.1093/bioinformatics/btq442), and the nucleotides that carry
phosphate, with their stable analogs."""


class ResidueProperties(NamedTuple):
    """Properties of one amino acid residue, as numbers and (below) as categories."""

    size: float
    """Partial molar volume of the residue, Å³ (Zamyatnin, 1972, Prog. Biophys. Mol. Biol. 24, 107)."""
    hydrophilicity: float
    """Hydrophilicity, kcal/mol scale (Hopp & Woods, 1981, doi:10.1073/pnas.78.6.3824)."""
    charge: float
    """Charge at pH 7, elementary charges; histidine counts as neutral (side chain pKa near 6)."""
    aromaticity: float
    """1 for an aromatic ring in the side chain, else 0."""


_PROPERTIES = """
ALA  88.6 -0.5  0 0   ARG 173.4  3.0  1 0   ASN 114.1  0.2  0 0   ASP 111.1  3.0 -1 0   CYS 108.5 -1.0  0 0
GLN 143.8  0.2  0 0   GLU 138.4  3.0 -1 0   GLY  60.1  0.0  0 0   HIS 153.2 -0.5  0 1   ILE 166.7 -1.8  0 0
LEU 166.7 -1.8  0 0   LYS 168.6  3.0  1 0   MET 162.9 -1.3  0 0   PHE 189.9 -2.5  0 1   PRO 112.7  0.0  0 0
SER  89.0  0.3  0 0   THR 116.1 -0.4  0 0   TRP 227.8 -3.4  0 1   TYR 193.6 -2.3  0 1   VAL 140.0 -1.5  0 0
""".split()
RESIDUE_PROPERTIES = {
    name: ResidueProperties(*map(float, values))
    for name, *values in zip(*(_PROPERTIES[column::5] for column in range(5)), strict=True)
}

PROPERTY_CATEGORIES = {
    "size": (OTHER, "very small", "small", "medium", "large", "very large"),
    "hydrophilicity": (OTHER, "hydrophobic", "neutral", "hydrophilic"),
    "charge": (OTHER, "negative", "neutral", "positive"),
    "aromaticity": (OTHER, "not aromatic", "aromatic"),
}
"""Categories of each residue property; ``other`` is everything but the 20 amino acids."""

PROPERTY_BOUNDS = {
    "size": (100.0, 130.0, 160.0, 180.0),
    "hydrophilicity": (-1.2, 0.1),
    "charge": (-0.5, 0.5),
    "aromaticity": (0.5,),
}
"""Values that part neighboring categories. Sizes: the volume classes of IMGT (Pommié et al., 2004,
doi:10.1002/jmr.647), whose gaps these bounds fall into."""

# Cordero et al. (2008), doi:10.1039/b801115j, Table 2; C sp3; Mn, Fe, Co low spin.
_RADII = """
H .31 D .31 HE .28 LI 1.28 BE .96 B .84 C .76 N .71 O .66 F .57 NE .58 NA 1.66 MG 1.41 AL 1.21 SI 1.11
P 1.07 S 1.05 CL 1.02 AR 1.06 K 2.03 CA 1.76 SC 1.70 TI 1.60 V 1.53 CR 1.39 MN 1.39 FE 1.32 CO 1.26
NI 1.24 CU 1.32 ZN 1.22 GA 1.22 GE 1.20 AS 1.19 SE 1.20 BR 1.20 KR 1.16 RB 2.20 SR 1.95 Y 1.90 ZR 1.75
NB 1.64 MO 1.54 TC 1.47 RU 1.46 RH 1.42 PD 1.39 AG 1.45 CD 1.44 IN 1.42 SN 1.39 SB 1.39 TE 1.38 I 1.39
XE 1.40 CS 2.44 BA 2.15 LA 2.07 CE 2.04 PR 2.03 ND 2.01 PM 1.99 SM 1.98 EU 1.98 GD 1.96 TB 1.94 DY 1.92
HO 1.92 ER 1.89 TM 1.90 YB 1.87 LU 1.87 HF 1.75 TA 1.70 W 1.62 RE 1.51 OS 1.44 IR 1.41 PT 1.36 AU 1.36
HG 1.32 TL 1.45 PB 1.46 BI 1.48 PO 1.40 AT 1.50 RN 1.50 FR 2.60 RA 2.21 AC 2.15 TH 2.06 PA 2.00 U 1.96
NP 1.90 PU 1.87 AM 1.80 CM 1.69
""".split()
COVALENT_RADIUS: dict[str, float] = dict(zip(_RADII[::2], map(float, _RADII[1::2]), strict=True))
"""Å, by element symbol in upper case."""
UNKNOWN_RADIUS = COVALENT_RADIUS["C"]
"""Radius of an element that is not in the table (X, empty), Å."""

NOT_METALS = frozenset("H D HE B C N O F NE SI P S CL AR GE AS SE BR KR SB TE I XE AT RN".split())
"""Nonmetals, metalloids and noble gases; every other element of the radius table is a metal."""

WATER_NAMES = ("HOH", "DOD", "WAT", "H2O", "TIP", "TIP3", "TP3", "SPC")
"""The dictionary's names of water and those that programs write."""

MAIN_CHAIN = ("N", "CA", "C")
"""Names of the atoms of the main chain of a protein."""
BACKBONE = (*MAIN_CHAIN, "O", "OXT")
"""Names of all backbone atoms of a protein."""
_PROTEIN_BACKBONE = {**dict(zip(BACKBONE, BACKBONE, strict=True)), "OT1": "O", "OT2": "OXT"}
_SELENIUM = {"MSE": "D", "SEC": "G", "CSE": "G"}
_PHOSPHATE = frozenset("P OP1 OP2 OP3 O1P O2P O3P O5' O3' O5* O3* SP S1P S2P".split())

SYMBOLS = np.array([gemmi.Element(number).name.upper() for number in range(120)])
"""Chemical symbols by gemmi's element numbers; ``X`` is unknown, ``D`` has a number of its own."""

_KNOWN_SYMBOLS = frozenset(SYMBOLS.tolist()) - {"X"}
_ONE_LETTER = frozenset("HDCNOSPFBIKVWYU")
_ORGANIC = frozenset("HDCNOSPFI")


def component_class(names: NDArray[np.str_]) -> NDArray[np.int8]:
    """Class of each component, from the Chemical Component Dictionary.

    Example:
        >>> component_class(np.array(["ALA", "DA", "NAG", "HOH", "ZN", "ATP", "???"])).tolist()
        [1, 2, 3, 4, 5, 6, 0]
    """

    def classify(name: str) -> int:
        if name in WATER_NAMES:
            return ComponentClass.WATER
        table = open_table()
        row = table.row.get(name)
        return ComponentClass.UNKNOWN if row is None else int(table.kind[row])

    return _by_name(names, classify, np.int8)


def element_code(elements: NDArray[np.str_]) -> NDArray[np.int64]:
    """Position of each element in :data:`ELEMENTS`, 0 for other elements.

    Example:
        >>> element_code(np.array(["C", "ZN", "W"])).tolist()
        [1, 7, 0]
    """
    return _by_name(elements, _positions(ELEMENTS), np.int64)


def covalent_radius(elements: NDArray[np.str_]) -> NDArray[np.float32]:
    """Single-bond covalent radius, Å (Cordero et al., 2008, doi:10.1039/b801115j).

    Elements without one get that of carbon.
    """
    return _by_name(elements, lambda e: COVALENT_RADIUS.get(e, UNKNOWN_RADIUS), np.float32)


def is_metal(elements: NDArray[np.str_]) -> NDArray[np.bool_]:
    """True for metals; metalloids (B, Si, Ge, As, Sb, Te) and unknown symbols count as nonmetals."""
    return _by_name(elements, lambda e: e in COVALENT_RADIUS and e not in NOT_METALS, np.bool_)


def residue_code(residue_name: NDArray[np.str_]) -> NDArray[np.int64]:
    """Position of each residue in :data:`RESIDUES`, 0 for modified residues and ligands."""
    return _by_name(residue_name, _positions(RESIDUES), np.int64)


def residue_property_code(residue_name: NDArray[np.str_], name: str) -> NDArray[np.int64]:
    """One property as position in its :data:`PROPERTY_CATEGORIES`, 0 for all but the 20 amino acids.

    Example:
        >>> code = residue_property_code(np.array(["ASP", "GLY", "MSE"]), "charge")
        >>> [PROPERTY_CATEGORIES["charge"][c] for c in code]
        ['negative', 'neutral', 'other']
    """
    bounds = PROPERTY_BOUNDS[name]
    codes = {
        residue: 1 + int(np.searchsorted(bounds, getattr(row, name)))
        for residue, row in RESIDUE_PROPERTIES.items()
    }
    return _by_name(residue_name, lambda residue: codes.get(residue, 0), np.int64)


def locant_code(
    atom_name: NDArray[np.str_], residue_name: NDArray[np.str_], entity_kind: NDArray[np.int8]
) -> NDArray[np.int64]:
    """Position of each atom's relative location in :data:`LOCANTS`.

    Only proteins and nucleic acids have locants, so that calcium (``CA``) is not taken for an alpha carbon. The
    residue name distinguishes the selenium of selenomethionine (delta) from that of selenocysteine.

    Example:
        >>> protein = np.full(4, EntityKind.PROTEIN, np.int8)
        >>> code = locant_code(np.array(["CA", "OXT", "NE1", "SE"]), np.array(["MSE"] * 4), protein)
        >>> [LOCANTS[c] for c in code]
        ['CA', 'OXT', 'E', 'D']
    """
    position = _positions(LOCANTS)
    names, row = unique_text(atom_name)
    protein = np.array([position(_protein_locant(name)) for name in names.tolist()], np.int64)[row]
    nucleic = np.array([position(_nucleic_locant(name)) for name in names.tolist()], np.int64)[row]
    selenium = np.flatnonzero(row == np.searchsorted(names, "SE")) if "SE" in names else []
    protein[selenium] = [position(_SELENIUM.get(name, OTHER)) for name in residue_name[selenium]]
    code = np.where(entity_kind == EntityKind.PROTEIN, protein, 0)
    return np.where(entity_kind == EntityKind.NUCLEIC, nucleic, code)


def _protein_locant(name: str) -> str:
    """Element letter, Greek letter, branch: ``CG2`` is gamma."""
    if name in _PROTEIN_BACKBONE:
        return _PROTEIN_BACKBONE[name]
    return name[1] if len(name) > 1 and name[0] in "CNOS" and name[1] in "BGDEZH" else OTHER


def _nucleic_locant(name: str) -> str:
    """Primed names are the sugar (old files write ``*``); O5' and O3' belong to the phosphate."""
    if name in _PHOSPHATE:
        return "phosphate"
    if name.endswith(("'", "*")):
        return "sugar"
    return "base" if name[:1] in ("C", "N", "O", "S") else OTHER


def unique_text(text: NDArray[np.str_]) -> tuple[NDArray[np.str_], NDArray[np.intp]]:
    """Sorted distinct strings, and which one each row is: ``np.unique``, many times faster.

    Example:
        >>> names, row = unique_text(np.array(["CA", "N", "CA"]))
        >>> names.tolist(), row.tolist()
        (['CA', 'N'], [0, 1, 0])
    """
    encoded = pa.array(text_numbers(text)).dictionary_encode()
    order = np.argsort(encoded.dictionary.to_numpy())
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    row = rank[encoded.indices.to_numpy()]
    some_row = np.empty_like(order)
    some_row[row] = np.arange(len(row))
    return text[some_row], row


def _by_name(
    names: NDArray[np.str_], function: Callable[[str], float], dtype: type[_Number]
) -> NDArray[_Number]:
    """Apply a function once to every distinct name."""
    distinct, row = unique_text(names)
    return np.array([function(name) for name in distinct.tolist()], dtype=dtype)[row]


def _positions(names: tuple[str, ...]) -> Callable[[str], int]:
    rows = {name: row for row, name in enumerate(names)}
    return lambda name: rows.get(name, 0)


def _letters(text: str) -> str:
    return "".join(filter(str.isalpha, text)).upper()


def clean_symbols(symbols: NDArray[np.str_]) -> NDArray[np.str_]:
    """Return symbols in upper case, without charges; ``X`` replaces anything but a symbol.

    Example:
        >>> clean_symbols(np.array(["C", "Zn2+", "", "Q"])).tolist()
        ['C', 'ZN', '', 'X']
    """
    distinct, row = unique_text(symbols)
    clean = [_letters(text) for text in distinct.tolist()]
    known = [text if not text or text in _KNOWN_SYMBOLS else "X" for text in clean]
    return np.array(known, np.str_)[row]


def known_elements(
    element: NDArray[np.str_], atom_name: NDArray[np.str_], residue_name: NDArray[np.str_]
) -> NDArray[np.str_]:
    """Return the elements; unknown ones (``X`` or empty) are derived from the names of atom and residue.

    Example:
        >>> element, atom = np.array(["C", "X", "", ""]), np.array(["CA", "CA", "CA", "1HB"])
        >>> known_elements(element, atom, np.array(["ALA", "ALA", "CA", "ALA"])).tolist()
        ['C', 'C', 'CA', 'H']
    """
    unknown = np.flatnonzero((element == "X") | (element == ""))
    if len(unknown) == 0:
        return element
    element = element.astype("U2")
    pairs = zip(atom_name[unknown].tolist(), residue_name[unknown].tolist(), strict=True)
    element[unknown] = [element_of(name, residue) for name, residue in pairs]
    return element


def element_of(atom_name: str, residue_name: str) -> str:
    """Return the element that an atom name implies, ``X`` if it implies none.

    The first letter decides, except in components of one atom, which are named after their element, and where
    only two letters make an element.

    Example:
        >>> element_of("CA", "GLY"), element_of("ZN", "ZN"), element_of("FE1", "SF4")
        ('C', 'ZN', 'FE')
    """
    letters = _letters(atom_name)
    component = residue_name.upper().rstrip("0123456789")
    if residue_name.upper() in ("UNX", "UNL", "DUM") or not letters:
        return "X"
    if letters == component and letters in _KNOWN_SYMBOLS:
        return letters
    if (
        letters[0] in _ORGANIC
    ):  # FE, SE and CL of cofactors and modified residues are not F, S and C
        selenium = letters[:2] == "SE" and residue_name.upper() in ("MSE", "SEC")
        return letters[:2] if selenium or letters[:2] in ("FE", "CL") else letters[0]
    if letters[:2] in _KNOWN_SYMBOLS:
        return letters[:2]
    return letters[0] if letters[0] in _ONE_LETTER else "X"


def element_of_padded_name(name: str) -> str:
    """Return the element that an atom name in its four columns implies, ``X`` if it implies none.

    Symbols are aligned to the second column, so that " CA " is carbon and "CA  " calcium; names of four
    characters are hydrogens ("HG11") or start with their symbol.

    Example:
        >>> [element_of_padded_name(name) for name in (" CA ", "CA  ", "HG11", "1HB ", "FE1 ")]
        ['C', 'CA', 'H', 'H', 'FE']
    """
    name = name.upper()
    one, two = name[1], name[:2]
    if name[0] == " " or name[0].isdigit():
        return one if one in _KNOWN_SYMBOLS else "X"
    if not one.isalpha() or (name[3] != " " and name[0] in "HD"):
        return name[0] if name[0] in _KNOWN_SYMBOLS else "X"
    return next((symbol for symbol in (two, name[0]) if symbol in _KNOWN_SYMBOLS), "X")
