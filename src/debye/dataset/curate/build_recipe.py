"""A build recipe: one TOML file that decides which entries are in a store, and in which split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, NonNegativeInt, PositiveFloat, PositiveInt

from debye.config_files import read_toml
from debye.dataset.search.ligands import LigandRules
from debye.errors import ConfigError
from debye.targets.b_factor import B_FACTOR
from debye.targets.catalog import find_target

Share = Annotated[float, Field(ge=0, le=1)]


class FilterConfig(BaseModel, frozen=True, extra="forbid"):
    """Which entries may be in a split; the others are listed with their reasons."""

    largest_resolution: PositiveFloat | None = 3.0
    """Å; None: any."""
    unknown_resolution: bool = False
    """Accept entries whose resolution is not stated."""
    fewest_protein_residues: NonNegativeInt = 40
    """Residues with atoms."""
    fewest_atoms: NonNegativeInt = 300
    """Heavy atoms without waters."""
    most_atoms: PositiveInt | None = 30_000
    """None: any number."""
    one_model: bool = True
    """Refuse files with several models."""
    all_copies: bool = True
    """Refuse files without all copies related by noncrystallographic symmetry."""
    usable_b: bool = True
    """Refuse entries whose B column cannot be a target, see :func:`debye.targets.b_factor.assess_b`. This and the
    limits below apply only if :attr:`BuildRecipe.target` is a B-factor."""
    largest_constant_share: Share = 0.2
    """Share of protein residues with one B-factor for all their atoms."""
    smallest_b_deviation: float = 2.0
    """Å²; standard deviation of B."""
    largest_zero_share: Share = 0.02
    """Share of atoms with B = 0."""
    smallest_mean_b: float = 3.0
    """Å²."""
    largest_mean_b: float = 120.0
    """Å²."""


class ClusterConfig(BaseModel, frozen=True, extra="forbid"):
    """What counts as the same protein."""

    source: Literal["mmseqs", "rcsb"] = "mmseqs"
    """Cluster all chains with MMseqs2, or read a cluster file of the RCSB."""
    file: Path | None = None
    """RCSB's ``clusters-by-entity-<identity>.txt``: one cluster a line, of entities such as 1ABC_1."""
    sequences: Literal["deposited", "observed"] = "deposited"
    """Compare the declared sequences (residues with atoms if the file declares none), or residues with atoms."""
    fewest_residues: PositiveInt = 20
    """Shorter chains are not compared."""
    identity: Share = 0.3
    coverage: Share = 0.5
    """Of both chains."""
    sensitivity: Annotated[float, Field(ge=1, le=8)] = 7.5


class FamilyConfig(BaseModel, frozen=True, extra="forbid"):
    """A family that is a test set of its own and never in training: kinases, in the seed system."""

    split: str = "kinase"
    """Split of its members."""
    ids: Path | None = None
    """Entries that are members: a CSV file with a column ``id``, or a text file with an id a line."""
    sequences: Path | None = None
    """FASTA file of the family's domains (not whole proteins), from which the profile search starts."""
    title_words: tuple[str, ...] = ()
    """Words in title or keywords, in upper or lower case, that suggest the family."""
    members: tuple[Literal["id", "profile", "title"], ...] = ("id", "profile")
    """Evidence that makes an entry a member; an entry with other evidence is in no split."""
    largest_evalue: PositiveFloat = 1e-3
    coverage: Share = 0.5
    """Of the domain or of the chain, whichever is larger."""
    iterations: PositiveInt = 3
    """Rounds of the profile search."""


class SplitConfig(BaseModel, frozen=True, extra="forbid"):
    """How groups are drawn; a group is all entries that share a cluster, directly or through others."""

    source: Literal["draw", "index"] = "draw"
    """Draw splits, or take them from the index (column ``split``), filtered and checked for leakage."""
    validation: Share = 0.1
    """Share of the groups that have an entry fit for evaluation."""
    test: Share = 0.1
    evaluation_resolution: PositiveFloat | None = 2.5
    """Å; validation and test take only entries of this stated resolution or better."""
    evaluation_crystal: bool = True
    """Validation and test take only entries with a cell, a space group and a header."""
    largest_evaluation_group: PositiveInt | None = 20
    """Larger groups go to training, which can use more than one of their entries."""
    evaluation_per_group: PositiveInt | None = 1
    """Most entries of a group in validation or test; None: all that are fit."""
    train_per_cluster: PositiveInt | None = 3
    """Most entries of a cluster in training, the best resolved; None: all."""


class LeakageConfig(BaseModel, frozen=True, extra="forbid"):
    """When a training chain counts as similar to a chain of another split."""

    identity: Share = 0.3
    coverage: Share = 0.5
    """Of either chain: a common domain is enough."""
    largest_evalue: PositiveFloat = 1e-3
    sensitivity: Annotated[float, Field(ge=1, le=8)] = 7.5
    held_out: tuple[str, ...] = ()
    """Splits that training must not resemble; empty: all others."""
    on_match: Literal["exclude", "fail"] = "exclude"
    """Take similar entries out of training and check again, or stop with an error."""


class BuildRecipe(BaseModel, frozen=True, extra="forbid"):
    """One reproducible data set."""

    name: str
    seed: NonNegativeInt = 1
    target: str = "b_factor"
    """What models will learn; entries are judged on their B-factors only if the target is one."""
    filter: FilterConfig = FilterConfig()
    ligands: LigandRules = LigandRules()
    """What makes an entry holo, if the index has no column ``state`` or ``holo``."""
    clusters: ClusterConfig = ClusterConfig()
    family: FamilyConfig | None = None
    splits: SplitConfig = SplitConfig()
    leakage: LeakageConfig = LeakageConfig()

    @property
    def judges_b(self) -> bool:
        """Whether entries are judged on their B-factors: the target is read from them."""
        return find_target(self.target).source == B_FACTOR.source


def read_build_recipe(path: Path) -> BuildRecipe:
    """Read a build recipe; paths in it are relative to its folder.

    Raises:
        ConfigError: the file is missing, is not TOML, or a setting is unknown or not valid.
    """
    recipe = read_toml(path, BuildRecipe, docs="docs/data.md")
    find_target(recipe.target)
    clusters, family = recipe.clusters, recipe.family
    if clusters.source == "rcsb" and clusters.file is None:
        raise ConfigError(
            str(path),
            "clusters.source is 'rcsb', but clusters.file is not set",
            "Name a cluster file of the RCSB, or set clusters.source = 'mmseqs'",
        )
    clusters = clusters.model_copy(update={"file": _existing(path, clusters.file)})
    if family is not None:
        files = {name: _existing(path, getattr(family, name)) for name in ("ids", "sequences")}
        family = family.model_copy(update=files)
    return recipe.model_copy(update={"clusters": clusters, "family": family})


def _existing(recipe: Path, file: Path | None) -> Path | None:
    if file is None:
        return None
    found = (recipe.parent / file).resolve()
    if not found.is_file():
        remedy = "Give a path relative to the recipe, or an absolute one"
        raise ConfigError(str(recipe), f"names {file}, but there is no file {found}", remedy)
    return found
