"""What an atomic graph contains: edges, features, crystal."""

from __future__ import annotations

from pydantic import BaseModel, PositiveFloat, PositiveInt, field_validator, model_validator

SEED_CATEGORIES = (
    "element",
    "locant",
    "residue_size",
    "residue_hydrophilicity",
    "residue_charge",
    "residue_aromaticity",
)
SEED_SCALARS = ("degree_5",)


class GraphConfig(BaseModel, frozen=True, extra="forbid"):
    """Which edges connect the atoms and which features describe them.

    Feature names are rows of :data:`debye.graph.node_features.NODE_FEATURES`.
    """

    covalent: bool = True
    """An edge for every covalent or metal bond."""
    radius: PositiveFloat | None = 5.0
    """An edge between any two atoms within this distance, Å; no cap. None (in TOML: "none"): no such
    edges."""
    nearest: PositiveInt | None = None
    """An edge from each of this many nearest atoms (and all that are as near as the last one)."""
    residue_radius: PositiveFloat | None = None
    """An edge between any two residues whose centroids are within this distance, Å. None (in TOML:
    "none"): no edges between residues."""
    crystal: bool = True
    """Symmetry mates send edges and count in the ``crystal_*`` features."""
    node_categories: tuple[str, ...] = SEED_CATEGORIES
    node_scalars: tuple[str, ...] = SEED_SCALARS
    structure_scalars: tuple[str, ...] = ("resolution", "resolution_known")

    @field_validator("radius", "nearest", "residue_radius", mode="before")
    @classmethod
    def _none_in_words(cls, value: object) -> object:
        # TOML has no null.
        return None if value == "none" else value

    @property
    def reads_crystal(self) -> bool:
        """Whether symmetry mates make any difference: as senders of edges, or in a feature."""
        sends = any((self.radius, self.nearest, self.residue_radius))
        names = (*self.node_scalars, *self.structure_scalars)
        return self.crystal and (sends or any(name.startswith("crystal_") for name in names))

    @model_validator(mode="after")
    def _is_complete(self) -> GraphConfig:
        for name in self.node_scalars:
            if name.removeprefix("crystal_") not in self.node_scalars:
                raise ValueError(
                    f"{name} needs {name.removeprefix('crystal_')} beside it in node_scalars: "
                    "its value where the crystal is unknown"
                )
        if not self.covalent and self.radius is None and self.nearest is None:
            raise ValueError("a graph needs an edge kind: set covalent, radius (Å) or nearest")
        return self
