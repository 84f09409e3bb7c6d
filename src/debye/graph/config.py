"""What an atomic graph contains: edges, features, crystal."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, PositiveFloat, PositiveInt, field_validator, model_validator

from debye.graph.features import STRUCTURE_FEATURES, find_feature

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

    Names of atom features are rows of :data:`debye.graph.features.NODE_FEATURES`, those of structure features
    of :data:`debye.graph.features.STRUCTURE_FEATURES`.
    """

    covalent: bool = True
    """An edge for every covalent or metal bond."""
    radius: PositiveFloat | None = 5.0
    """An edge between any two atoms within this distance, Å; no cap. None (in TOML: "none"): no such
    edges."""
    nearest: PositiveInt | None = None
    """An edge from each of this many nearest atoms, and from all that are as near as the last one."""
    residue_radius: PositiveFloat | None = None
    """An edge between any two residues whose centroids are within this distance, Å. None (in TOML:
    "none"): no edges between residues."""
    crystal: bool = True
    """Symmetry mates send edges and count in the features of the crystal."""
    node_categories: tuple[str, ...] = SEED_CATEGORIES
    node_scalars: tuple[str, ...] = SEED_SCALARS
    structure_scalars: tuple[str, ...] = ("resolution", "resolution_known")

    @field_validator("radius", "nearest", "residue_radius", mode="before")
    @classmethod
    def _none_in_words(cls, value: object) -> object:
        # TOML has no null.
        return None if value == "none" else value

    @classmethod
    def plain(cls, **settings: Any) -> GraphConfig:
        """Return graphs of bonds, without crystal and features, apart from the given settings."""
        bare = {"radius": None, "crystal": False}
        features = {"node_categories": (), "node_scalars": (), "structure_scalars": ()}
        return cls.model_validate(bare | features | settings)

    @property
    def reads_crystal(self) -> bool:
        """Whether symmetry mates make any difference: as senders of edges, or in a feature."""
        sends = any((self.radius, self.nearest, self.residue_radius))
        read = any(find_feature(name).isolated_as for name in self.node_scalars)
        return self.crystal and bool(sends or read or self.hidden_with("crystal"))

    def hidden_with(self, what: Literal["crystal", "resolution"]) -> list[int]:
        """Return the columns of ``structure_scalars`` that are 0 when the crystal, or the resolution, is hidden."""
        names = enumerate(self.structure_scalars)
        return [
            column for column, name in names if STRUCTURE_FEATURES.find(name).hides_with == what
        ]

    @model_validator(mode="after")
    def _is_complete(self) -> GraphConfig:
        for kind, names in (("category", self.node_categories), ("scalar", self.node_scalars)):
            for name in names:
                if find_feature(name).kind != kind or names.count(name) > 1:
                    raise ValueError(
                        f"{name!r} is a {find_feature(name).kind} and is listed {names.count(name)} times as {kind}: "
                        "list categories in node_categories and scalars in node_scalars, each once"
                    )
        for name in self.node_scalars:
            isolated = find_feature(name).isolated_as
            if isolated is not None and isolated not in self.node_scalars:
                raise ValueError(
                    f"{name} needs {isolated} in node_scalars: its value if the crystal is unknown"
                )
        for name in self.structure_scalars:
            STRUCTURE_FEATURES.find(name)
        if not self.covalent and self.radius is None and self.nearest is None:
            raise ValueError("a graph needs an edge kind: set covalent, radius (Å) or nearest")
        return self
