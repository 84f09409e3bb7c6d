"""A build recipe: everything that decides which entries a store holds, and in which split, as one TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

from debye.dataset.search.ligands import LigandRules
from debye.errors import ConfigError, explain_validation

Share = Annotated[float, Field(ge=0, le=1)]


class FilterConfig(BaseModel, frozen=True, extra="forbid"):
    """Which entries may be in the set at all; every one that may not is listed with its reason."""

    largest_resolution: PositiveFloat | None = 3.0
    """Å; None: any."""
    unknown_resolution: bool = False
    """Whether an entry may leave its resolution unsaid."""
    fewest_protein_residues: NonNegativeInt = 40
    """Residues with atoms."""
    fewest_atoms: NonNegativeInt = 300
    """Heavy atoms, no waters."""
    most_atoms: PositiveInt | None = 30_000
    """None: any number."""
    one_model: bool = True
    """Refuse files with several models."""
    all_copies: bool = True
    """Refuse files that leave out copies related by noncrystallographic symmetry."""
    usable_b: bool = True
    """Refuse entries whose B column is no target, see :func:`debye.targets.b_factor.assess_b`."""
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
    """Cluster all chains by MMseqs2, or read a cluster file of the RCSB."""
    file: Path | None = None
    """RCSB's ``clusters-by-entity-<identity>.txt``: one cluster a line, of entities such as 1ABC_1."""
    sequences: Literal["deposited", "observed"] = "deposited"
    """Compare what was crystallized (observed residues where the file does not say), or what was seen."""
    fewest_residues: PositiveInt = 20
    """Shorter chains do not count."""
    identity: Share = 0.3
    coverage: Share = 0.5
    """Of both chains."""
    sensitivity: Annotated[float, Field(ge=1, le=8)] = 7.5


class FamilyConfig(BaseModel, frozen=True, extra="forbid"):
    """A family that is kept out of training, and tested on: kinases, in the seed system."""

    split: str = "kinase"
    """Where its members go."""
    ids: Path | None = None
    """CSV with a column ``id`` (or one id a line): entries that are members."""
    sequences: Path | None = None
    """FASTA file of its domains, without the rest of the proteins: the start of a profile search."""
    title_words: tuple[str, ...] = ()
    """Words in title or keywords, any case, that point to the family."""
    members: tuple[Literal["id", "profile", "title"], ...] = ("id", "profile")
    """Which evidence makes a member; other evidence only keeps an entry out of every split."""
    largest_evalue: PositiveFloat = 1e-3
    coverage: Share = 0.5
    """Of the domain or of the chain, whichever is more."""
    iterations: PositiveInt = 3
    """Rounds of the profile search."""


class SplitConfig(BaseModel, frozen=True, extra="forbid"):
    """How clusters are shared out: whole groups of entries that clusters link, never single entries."""

    source: Literal["draw", "index"] = "draw"
    """Draw, or take the index's own column ``split``; then only filter and check for leakage."""
    validation: Share = 0.1
    """Share of the groups that have an entry fit for evaluation."""
    test: Share = 0.1
    evaluation_resolution: PositiveFloat | None = 2.5
    """Å; entries of validation and test state one and are not worse."""
    evaluation_crystal: bool = True
    """Entries of validation and test have a cell, a space group and a header."""
    largest_evaluation_group: PositiveInt | None = 20
    """Entries; larger groups stay in training, where more than one of their entries is of use."""
    evaluation_per_group: PositiveInt | None = 1
    """At most this many entries of a group in validation or test; None: all that are fit."""
    train_per_cluster: PositiveInt | None = 3
    """At most this many entries of a cluster, the best resolved; None: all."""


class LeakageConfig(BaseModel, frozen=True, extra="forbid"):
    """When a chain of training counts as known from another split."""

    identity: Share = 0.3
    coverage: Share = 0.5
    """Of either chain: a domain in common is enough."""
    largest_evalue: PositiveFloat = 1e-3
    sensitivity: Annotated[float, Field(ge=1, le=8)] = 7.5
    held_out: tuple[str, ...] = ()
    """Splits that training must not know; empty: all others."""
    on_match: Literal["exclude", "fail"] = "exclude"
    """Take such entries out of training, by name, and check again; or stop. What is left must pass."""


class BuildRecipe(BaseModel, frozen=True, extra="forbid"):
    """One reproducible data set."""

    name: str
    seed: NonNegativeInt = 1
    filter: FilterConfig = FilterConfig()
    ligands: LigandRules = LigandRules()
    """What makes an entry holo, where the index has no column ``state`` or ``holo``."""
    clusters: ClusterConfig = ClusterConfig()
    family: FamilyConfig | None = None
    splits: SplitConfig = SplitConfig()
    leakage: LeakageConfig = LeakageConfig()


def read_build_recipe(path: Path) -> BuildRecipe:
    """Read a build recipe; paths in it are relative to its folder.

    Raises:
        ConfigError: the file is missing, is no TOML, or a setting is unknown or not valid.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            str(path),
            problem=f"cannot be read ({error.strerror})",
            remedy="Give the path of a .toml file",
        ) from error
    except ValueError as error:
        raise ConfigError(
            str(path), problem=f"not TOML ({error})", remedy="Mend the file"
        ) from error
    try:
        recipe = BuildRecipe.model_validate(content)
    except ValidationError as error:
        raise ConfigError(
            str(path), problem=explain_validation(error), remedy="See docs/data.md for the settings"
        ) from error
    return _located(recipe, path)


def _located(recipe: BuildRecipe, path: Path) -> BuildRecipe:
    """Return the recipe with the paths of files that exist; the rest of the settings as it was."""
    clusters, family = recipe.clusters, recipe.family
    clusters = clusters.model_copy(update={"file": _existing(path, clusters.file)})
    if clusters.source == "rcsb" and clusters.file is None:
        raise ConfigError(
            str(path),
            problem="clusters.source is 'rcsb', but clusters.file is not set",
            remedy="Name a cluster file of the RCSB, or set clusters.source = 'mmseqs'",
        )
    if family is not None:
        family = family.model_copy(
            update={
                "ids": _existing(path, family.ids),
                "sequences": _existing(path, family.sequences),
            }
        )
    return recipe.model_copy(update={"clusters": clusters, "family": family})


def _existing(recipe: Path, file: Path | None) -> Path | None:
    if file is None:
        return None
    found = (recipe.parent / file).resolve()
    if not found.is_file():
        raise ConfigError(
            str(recipe),
            problem=f"names {file}, but there is no {found}",
            remedy="Give a path relative to the recipe, or an absolute one",
        )
    return found
