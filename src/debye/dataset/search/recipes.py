"""Which entries make a data set, as one TOML file: a search, a list of ids, or a folder of files."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from debye.config_files import read_toml
from debye.dataset.search.ligands import LigandRules
from debye.errors import unknown_name

Identity = Literal[30, 50, 70, 90, 95, 100]
"""Sequence identities, %, at which RCSB clusters polymer entities (MMseqs2, weekly)."""

Polymers = Literal[
    "Protein (only)", "Protein/Oligosaccharide", "Protein/NA", "Nucleic acid (only)",
    "Oligosaccharide (only)", "Other"
]  # fmt: skip
"""Polymers of an entry, in the words of RCSB; a glycan of two sugars or more is an oligosaccharide."""


class Range(BaseModel, frozen=True, extra="forbid"):
    """Values between two bounds, inclusive; a bound that is not given is open."""

    at_least: float | date | None = None
    at_most: float | date | None = None

    @model_validator(mode="after")
    def _is_a_range(self) -> Range:
        bounds = [bound for bound in (self.at_least, self.at_most) if bound is not None]
        if not bounds:
            raise ValueError("give at_least, at_most or both")
        if len({isinstance(bound, date) for bound in bounds}) > 1:
            raise ValueError("at_least and at_most must both be numbers, or both dates")
        return self


class Condition(BaseModel, frozen=True, extra="forbid"):
    """One test of an attribute, or several joined by ``all`` or ``any``.

    Attributes and operators are those of https://search.rcsb.org/structure-search-attributes.html.
    """

    attribute: str = ""
    operator: Literal[
        "exact_match", "equals", "greater", "greater_or_equal", "less", "less_or_equal", "range",
        "in", "exists", "contains_words", "contains_phrase"
    ] = "exact_match"  # fmt: skip
    value: bool | int | float | date | str | tuple[str | int | float, ...] | Range | None = None
    negation: bool = False
    service: Literal["text", "text_chem"] = "text"
    """``text_chem`` for attributes of chemical components."""
    all: tuple[Condition, ...] = ()
    any: tuple[Condition, ...] = ()
    same_record: bool = False
    """With ``all``: one and the same annotation (or other nested record) must pass every test."""

    @model_validator(mode="after")
    def _is_one_thing(self) -> Condition:
        if sum((bool(self.attribute), bool(self.all), bool(self.any))) != 1:
            raise ValueError("give exactly one of attribute, all and any")
        if self.attribute and (self.value is None) != (self.operator == "exists"):
            raise ValueError("every operator but exists needs a value, and exists takes none")
        if isinstance(self.value, tuple) != (self.operator == "in") and self.attribute:
            raise ValueError("operator in needs a list of values, the others one")
        if isinstance(self.value, Range) != (self.operator == "range") and self.attribute:
            raise ValueError("operator range needs { at_least, at_most }, the others a value")
        return self


class EntryFilter(BaseModel, frozen=True, extra="forbid"):
    """Which entries are candidates, whatever the source."""

    method: str = "X-RAY DIFFRACTION"
    """Experimental method, in the words of mmCIF; B-factors of other methods are not targets."""
    best_resolution: NonNegativeFloat = 0.0
    """Å, inclusive."""
    worst_resolution: PositiveFloat = 3.0
    """Å, inclusive."""
    polymers: tuple[Polymers, ...] = ("Protein (only)", "Protein/Oligosaccharide")
    """Values of ``rcsb_entry_info.selected_polymer_entity_types``; glycoproteins are among the second; empty: any."""
    least_residues: PositiveInt = 40
    """Residues of the longest protein chain in the sample, as built or not."""
    most_atoms: NonNegativeInt = 30_000
    """Deposited atoms; larger entries do not fit into a batch. 0: no limit."""
    released_from: date | None = None
    released_until: date | None = None
    revised_from: date | None = None
    """Released or revised on this day or later."""


class ProteinGroup(BaseModel, frozen=True, extra="forbid"):
    """Proteins by the Pfam families and enzyme classes of the polymer entity."""

    name: str
    """Of the group, in the list."""
    pfam: tuple[str, ...] = ()
    ec: tuple[str, ...] = ()
    """Enzyme classes, with all classes below: ``2.7.11``."""
    match: Literal["any", "both"] = "any"
    """``any``: a family or a class is enough, which also finds enzymes without annotation (pseudokinases) and other
    domains of such enzymes; ``both``: only annotated enzymes with the domain in the crystal."""

    @model_validator(mode="after")
    def _has_a_criterion(self) -> ProteinGroup:
        if not (self.pfam or self.ec):
            raise ValueError("give pfam, ec or both")
        return self


class Choice(BaseModel, frozen=True, extra="forbid"):
    """How many similar entries are taken: those with the best resolution."""

    identity: Literal[0] | Identity = 30
    """Sequence identity of the clusters, %; 0: no clusters, every entry is taken."""
    per_cluster: NonNegativeInt = 1
    """Entries of each cluster (and state); 0: all."""
    by_state: bool = True
    """Choose among apo and among holo entries of a cluster separately."""


class SearchRecipe(BaseModel, frozen=True, extra="forbid"):
    """Everything that decides which entries make a data set, besides what the server has."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    summary: str = ""
    split: str = "train"
    """Written into the list; ``debye data build`` may divide it by cluster."""
    entries: EntryFilter = EntryFilter()
    groups: tuple[ProteinGroup, ...] = ()
    """Only proteins of these groups; empty: all proteins. A protein belongs to the first group that it fits."""
    where: tuple[Condition, ...] = ()
    """Further conditions of the search, all of which must hold."""
    ids: Path | None = None
    """Instead of a search: a text file or CSV with PDB identifiers, relative to the recipe."""
    structures: Path | None = None
    """Instead of a search: a folder of structure files, relative to the recipe; ``choose.identity`` must be 0."""
    choose: Choice = Choice()
    ligands: LigandRules = LigandRules()

    @model_validator(mode="before")
    @classmethod
    def _read_kinases(cls, settings: Any) -> Any:
        """Stores of the first versions record a recipe with the table ``kinases`` in place of ``groups``."""
        if not isinstance(settings, dict) or "kinases" not in settings:
            return settings
        settings = dict(settings)
        if kinases := settings.pop("kinases"):
            groups = [
                {"name": "protein-kinase", **{key: kinases[key] for key in ("pfam", "ec", "match")}}
            ]
            if kinases["small_molecule"]:
                groups.append({"name": "small-molecule-kinase", "ec": kinases["small_molecule_ec"]})
            settings["groups"] = groups
        return settings

    @model_validator(mode="after")
    def _has_one_source(self) -> SearchRecipe:
        if self.ids is not None and self.structures is not None:
            raise ValueError("ids and structures exclude each other")
        if self.structures is not None and self.groups:
            raise ValueError("groups need the annotations of a server; structures has none")
        if self.structures is not None and self.choose.identity != 0:
            raise ValueError(
                "structures has no sequence clusters: set identity = 0 in [choose], and let "
                "`debye data build --recipe` compare the sequences"
            )
        if (self.ids is not None or self.structures is not None) and self.where:
            raise ValueError("where needs a search; ids and structures name the entries themselves")
        return self


def read_search_recipe(recipe: str | Path) -> SearchRecipe:
    """Read a recipe: a file, or the name of one that is shipped.

    Raises:
        ConfigError: No such file or name, or a setting is not valid.
    """
    path = Path(recipe)
    if not path.suffix and not path.is_file():
        known = {file.stem: file for file in sorted(shipped_recipes().glob("*.toml"))}
        if path.name not in known:
            raise unknown_name("search recipe", str(recipe), known)
        path = known[path.name]
    read = read_toml(path, SearchRecipe, docs="docs/data.md")
    places: dict[str, Any] = {
        name: (path.parent / value).resolve()
        for name in ("ids", "structures")
        if (value := getattr(read, name)) is not None
    }
    return read.model_copy(update=places)


def shipped_recipes() -> Path:
    """Return the folder of the recipes: in the installed package, or of the source tree."""
    installed = Path(__file__).with_name("search_recipes")
    return installed if installed.is_dir() else Path(__file__).parents[4] / "recipes" / "data"
