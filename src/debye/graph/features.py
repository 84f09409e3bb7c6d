"""The catalogs of features of atoms and of structures: what each is, its unit and where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

from debye.graph.neighbors import LUMPED, Packing, packing, weighted_contact_number
from debye.plugins import Catalog
from debye.structure import chemistry
from debye.structure.bonds import BondOrder, Bonds
from debye.structure.crystal import Mates, volume_per_atom
from debye.structure.facts import diffraction_method
from debye.structure.row_keys import changes, row_keys, spread, text_numbers
from debye.structure.secondary_structure import SecondaryStructure, secondary_structure
from debye.structure.structure import EntityKind, Structure

PACKING_RADII = (5.0, 7.0, 10.0, 12.0)  # Å
USUAL_CONTACTS = {5.0: 20.0, 7.0: 50.0, 10.0: 130.0, 12.0: 210.0}
"""Typical number of neighbors of a buried atom at each radius (Å): divides the contact numbers."""
USUAL_DENSITY = 4.0  # Å⁻², of a buried atom
USUAL_WCN = 5.0  # Å⁻², of a buried atom
SURFACE_RADIUS = 10.0  # Å
USUAL_DEPTH = 5.0  # Å
TERMINUS_REACH = 5.0  # residues
MOST_BONDS = 6
USUAL_RESOLUTION = 2.0  # Å
RESOLUTION_RANGE = 0.5  # Å
USUAL_VOLUME = 35.0  # Å³ of crystal for each heavy atom of a protein
OTHER_COORDINATES = "other_coordinates"
"""The feature that :meth:`debye.graph.AtomGraph.as_transfer_query` sets."""


@dataclass(slots=True)
class FeatureContext:
    """What features are computed from; costly shared quantities are computed once."""

    structure: Structure
    bonds: Bonds
    mates: Mates | None
    """None: the crystal is unknown or not to be used."""
    resolution: float | None = None
    """Å; None where unknown or hidden."""
    packing_radii: tuple[float, ...] = PACKING_RADII
    """Å. The radii that the features need: each costs time."""
    _shared: dict[str, Any] = field(default_factory=dict)

    def packing(self) -> tuple[Packing, Packing]:
        """Contact numbers and densities at ``packing_radii``, isolated and in the crystal."""
        if "packing" not in self._shared:
            mates = Mates() if self.mates is None else self.mates
            if mates.radius < max(self.packing_radii):
                mates = Mates()  # found for edges only: no feature of the crystal is computed
            self._shared["packing"] = packing(self.structure.position, mates, self.packing_radii)
        return self._shared["packing"]

    def weighted_contact_numbers(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(atoms,) sum of 1/d² over all atoms, Å⁻², isolated and in the crystal."""
        if "wcn" not in self._shared:
            mates = Mates() if self.mates is None else self.mates
            self._shared["wcn"] = weighted_contact_number(self.structure, mates)
        return self._shared["wcn"]

    def chain_rank(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(atoms,) residues of the same polymer chain before, and after, each atom's residue."""
        if "rank" not in self._shared:
            self._shared["rank"] = _chain_rank(self.structure)
        return self._shared["rank"]


def _chain_rank(structure: Structure) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    before = np.zeros(len(structure), np.int64)
    after = np.zeros(len(structure), np.int64)
    rows = np.flatnonzero(structure.is_polymer)
    if not len(rows):
        return before, after
    place = (structure.residue_number, structure.insertion_code)
    starts = changes(structure.chain[rows], *(column[rows] for column in place))
    # One row for each run of atoms of one residue, of which there is mostly one a residue.
    chain = structure.chain[rows[starts]]
    key = row_keys(chain, *(column[rows[starts]] for column in place))
    residues, first, of_run = np.unique(key, return_index=True, return_inverse=True)
    _, chain_of = np.unique(text_numbers(chain[first]), return_inverse=True)
    begin = np.searchsorted(chain_of, chain_of, side="left")
    end = np.searchsorted(chain_of, chain_of, side="right") - 1
    rank = np.arange(len(residues))
    before[rows] = spread((rank - begin)[of_run], starts, len(rows))
    after[rows] = spread((end - rank)[of_run], starts, len(rows))
    return before, after


Compute = Callable[[FeatureContext], NDArray]


@dataclass(frozen=True, slots=True)
class NodeFeature:
    """One feature of an atom."""

    name: str
    kind: Literal["category", "scalar"]
    unit: str
    source: str
    """Definition or reference, for the table in the docs."""
    compute: Compute
    """Returns (atoms,) int64 codes, or float32 values near unit scale."""
    size: int = 0
    """Number of categories; 0 for a scalar."""
    packing_radius: float | None = None
    """Å, of the packing that it needs; None: none."""
    isolated_as: str | None = None
    """The feature whose values it takes when the crystal is hidden; None: it does not depend on symmetry mates."""
    mate_reach: float = 0.0
    """Å. Distance up to which it needs symmetry mates."""


def _codes(name: str, names: Sequence[str], source: str, compute: Compute) -> NodeFeature:
    return NodeFeature(name, "category", "code", source, compute, size=len(names))


def _property(name: str) -> NodeFeature:
    return NodeFeature(
        f"residue_{name}",
        "category",
        "code",
        f"{name} class of the 20 amino acids, 'other' for all else; debye.structure.chemistry.RESIDUE_PROPERTIES",
        lambda context: chemistry.residue_property_code(context.structure.residue_name, name),
        size=len(chemistry.PROPERTY_CATEGORIES[name]),
    )


def _packed(
    quantity: Literal["contacts", "density"], radius: float, *, crystal: bool
) -> NodeFeature:
    """Describe a column of :class:`debye.graph.neighbors.Packing` by what it is divided by."""
    name, unit, meaning, usual = {
        "contacts": ("contact_number", "neighbors", "heavy atoms", USUAL_CONTACTS[radius]),
        "density": ("density", "Å⁻²", "sum of 1/d² over heavy atoms", USUAL_DENSITY),
    }[quantity]

    def compute(context: FeatureContext) -> NDArray[np.float32]:
        column = context.packing_radii.index(radius)
        found = getattr(context.packing()[crystal], quantity)[:, column]
        return (found / usual).astype(np.float32)

    isolated = f"{name}_{radius:g}"
    return NodeFeature(
        f"crystal_{isolated}" if crystal else isolated,
        "scalar",
        f"{unit} / {usual:g}",
        f"{meaning} within {radius:g} Å{', symmetry mates counted' * crystal}",
        compute,
        packing_radius=radius,
        isolated_as=isolated if crystal else None,
        mate_reach=radius if crystal else 0.0,
    )


def _terminus(name: str, side: int) -> NodeFeature:
    def compute(context: FeatureContext) -> NDArray[np.float32]:
        decay = np.exp(-context.chain_rank()[side] / TERMINUS_REACH)
        return np.where(context.structure.is_polymer, decay, 0.0).astype(np.float32)

    source = f"exp(-n/{TERMINUS_REACH:g}), n residues of the chain {('before', 'after')[side]}; 0 off chains"
    return NodeFeature(name, "scalar", "1", source, compute)


def _locant(context: FeatureContext) -> NDArray[np.int64]:
    atoms = context.structure
    return chemistry.locant_code(atoms.atom_name, atoms.residue_name, atoms.entity_kind)


def _bond_count(context: FeatureContext) -> NDArray[np.int64]:
    count = np.bincount(context.bonds.pairs.ravel(), minlength=len(context.structure))
    return np.minimum(count, MOST_BONDS)


def _highest_bond(context: FeatureContext) -> NDArray[np.int64]:
    highest = np.zeros(len(context.structure), np.int64)
    # Of values written to one place the last one stays: the highest.
    order = np.argsort(context.bonds.order, kind="stable")
    for end in context.bonds.pairs[order].T:
        highest[end] = np.maximum(highest[end], context.bonds.order[order])
    return highest


def _depth(context: FeatureContext) -> NDArray[np.float32]:
    isolated, _ = context.packing()
    contacts = isolated.contacts[:, context.packing_radii.index(SURFACE_RADIUS)]
    position = context.structure.position
    surface = position[contacts < USUAL_CONTACTS[SURFACE_RADIUS] / 2]
    if not len(surface):
        surface = position[np.argmin(contacts)][None]
    return (cKDTree(surface).query(position)[0] / USUAL_DEPTH).astype(np.float32)


_NODE_FEATURES = (
    _codes(
        "element",
        chemistry.ELEMENTS,
        "chemical element; rare ones share a code",
        lambda context: chemistry.element_code(context.structure.element),
    ),
    _codes(
        "locant",
        chemistry.LOCANTS,
        "relative location in the residue: backbone atom or Greek letter of remoteness",
        _locant,
    ),
    _codes(
        "residue",
        chemistry.RESIDUES,
        "identity of the 20 amino acids and 8 nucleotides, 'other' for all else",
        lambda context: chemistry.residue_code(context.structure.residue_name),
    ),
    _codes(
        "entity_kind",
        tuple(EntityKind.__members__),
        "debye.structure.EntityKind",
        lambda context: context.structure.entity_kind.astype(np.int64),
    ),
    *(_property(name) for name in chemistry.PROPERTY_CATEGORIES),
    _codes(
        "bond_count",
        tuple(str(count) for count in range(MOST_BONDS + 1)),
        f"bonds to heavy atoms, metals included; more than {MOST_BONDS} count as that many",
        _bond_count,
    ),
    _codes(
        "highest_bond",
        tuple(order.name.lower() for order in BondOrder),
        "highest debye.structure.BondOrder of the atom's bonds",
        _highest_bond,
    ),
    _codes(
        "secondary_structure",
        tuple(kind.name.lower() for kind in SecondaryStructure),
        "helix, strand or coil, debye.structure.secondary_structure",
        lambda context: secondary_structure(context.structure),
    ),
    NodeFeature(
        "degree_5",
        "scalar",
        "neighbors / 20",
        "heavy atoms within 5 Å: the degree of Sarparast et al. (2024), arXiv:2408.12519",
        _packed("contacts", 5.0, crystal=False).compute,
        packing_radius=5.0,
    ),
    *(_packed("contacts", r, crystal=crystal) for r in PACKING_RADII for crystal in (False, True)),
    *(_packed("density", r, crystal=crystal) for r in PACKING_RADII for crystal in (False, True)),
    NodeFeature(
        "wcn",
        "scalar",
        f"Å⁻² / {USUAL_WCN:g}",
        "weighted contact number, Lin et al. (2008), doi:10.1002/prot.21983",
        lambda context: context.weighted_contact_numbers()[0] / np.float32(USUAL_WCN),
    ),
    NodeFeature(
        "crystal_wcn",
        "scalar",
        f"Å⁻² / {USUAL_WCN:g}",
        "weighted contact number, symmetry mates counted",
        lambda context: context.weighted_contact_numbers()[1] / np.float32(USUAL_WCN),
        isolated_as="wcn",
        mate_reach=LUMPED,
    ),
    NodeFeature(
        "depth",
        "scalar",
        f"Å / {USUAL_DEPTH:g}",
        f"distance to the nearest atom at the surface, that has fewer than {USUAL_CONTACTS[SURFACE_RADIUS] / 2:g} "
        f"neighbors within {SURFACE_RADIUS:g} Å; after Chakravarty & Varadarajan (1999), "
        "doi:10.1016/S0969-2126(99)80097-5",
        _depth,
        packing_radius=SURFACE_RADIUS,
    ),
    _terminus("from_first_residue", 0),
    _terminus("from_last_residue", 1),
)
NODE_FEATURES = Catalog("atom feature", "debye.features", NodeFeature, _NODE_FEATURES)


def find_feature(name: str) -> NodeFeature:
    """Look up a feature by name; a ConfigError says which names exist."""
    return NODE_FEATURES.find(name)


def category_size(name: str) -> int:
    """Return the number of categories of a categorical feature."""
    return find_feature(name).size


def packing_radii(names: Sequence[str]) -> tuple[float, ...]:
    """Return the radii (Å) at which the named features need contact numbers or densities."""
    radii = {find_feature(name).packing_radius for name in names}
    return tuple(sorted(radius for radius in radii if radius is not None))


def mate_reach(names: Sequence[str]) -> float:
    """Return the distance (Å) up to which the named features need symmetry mates; 0: none.

    All radii of the packing are counted together: the largest one decides.
    """
    crystal = [row for row in map(find_feature, names) if row.isolated_as is not None]
    packed = packing_radii(names) if any(row.packing_radius for row in crystal) else ()
    return max([0.0, *packed, *(row.mate_reach for row in crystal)])


@dataclass(frozen=True, slots=True)
class StructureFeature:
    """One feature of a structure."""

    name: str
    summary: str
    """Definition and unit, for the table in the docs."""
    compute: Callable[[FeatureContext], float]
    """Returns a value near unit scale."""
    hides_with: Literal["crystal", "resolution"] | None = None
    """It is 0 when the crystal, or the resolution, is hidden; None: neither changes it."""


def _resolution(context: FeatureContext) -> float:
    if context.resolution is None:
        return 0.0
    return (context.resolution - USUAL_RESOLUTION) / RESOLUTION_RANGE


def log_atoms(n_atoms: int) -> float:
    """Return log10 of a number of atoms, near unit scale.

    Example:
        >>> round(log_atoms(1000), 6)
        -0.5
    """
    return float(np.log10(max(1, n_atoms)) - 3.5)


def _crystal_volume(context: FeatureContext) -> float:
    crystal = context.structure.crystal
    if context.mates is None or crystal is None:
        return 0.0
    return float(np.log(volume_per_atom(crystal, len(context.structure)) / USUAL_VOLUME) / 0.3)


def _other_coordinates(context: FeatureContext) -> float:
    entry = context.structure.entry
    refined_elsewhere = bool(entry.method) and not diffraction_method(entry.method)
    return float(entry.is_predicted or refined_elsewhere)


_STRUCTURE_FEATURES = (
    StructureFeature(
        "resolution",
        f"(resolution - {USUAL_RESOLUTION:g} Å) / {RESOLUTION_RANGE:g} Å, 0 where unknown",
        _resolution,
        hides_with="resolution",
    ),
    StructureFeature(
        "resolution_known",
        "1 where the resolution is known",
        lambda context: float(context.resolution is not None),
        hides_with="resolution",
    ),
    StructureFeature(
        "crystal_known",
        "1 if symmetry mates are included",
        lambda context: float(context.mates is not None),
        hides_with="crystal",
    ),
    StructureFeature(
        "crystal_volume",
        f"log of the volume of the crystal per heavy atom over {USUAL_VOLUME:g} Å³, / 0.3 (the solvent "
        "content, Matthews 1968, doi:10.1016/0022-2836(68)90205-2); 0 without mates",
        _crystal_volume,
        hides_with="crystal",
    ),
    StructureFeature(
        "log_atoms",
        "log10 of the number of atoms, less 3.5",
        lambda context: log_atoms(len(context.structure)),
    ),
    StructureFeature(
        OTHER_COORDINATES,
        "1 if the B-factors to predict were not refined with these coordinates: predicted models, NMR, "
        "microscopy; in training, the B-factors of another copy of the chain",
        _other_coordinates,
    ),
)
GROUP = "debye.structure_features"
STRUCTURE_FEATURES = Catalog("structure feature", GROUP, StructureFeature, _STRUCTURE_FEATURES)


def structure_features(
    context: FeatureContext, names: Sequence[str]
) -> Float[np.ndarray, "1 features"]:
    """Compute the named features of one structure."""
    values = [STRUCTURE_FEATURES.find(name).compute(context) for name in names]
    return np.array([values], np.float32)
