"""A store of relaxed models: one protein chain of each entry of a store, made like a predicted model.

The labels stay those of the crystal. A network that also trains on them learns which inputs predicted models lack.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from debye.dataset.batches.augment import large_chains
from debye.dataset.relax.relax_chain import inverted_residues, relax_chain
from debye.dataset.store.build import is_finished, write_manifest
from debye.dataset.store.content import (
    assemble,
    entry_arrays,
    entry_digest,
    pack_part,
    structure_facts,
)
from debye.dataset.store.resumable_map import Arrays, Progress, attempt_each, run_parts
from debye.dataset.store.store import FORMAT, Store, StoreEntry
from debye.errors import StoreError, StructureError, require_extra
from debye.structure.bonds import find_bonds
from debye.structure.structure import EntityKind, Structure
from debye.targets.b_factor import B_FACTOR, FEWEST_ATOMS
from debye.version import library_version

PART_ENTRIES = 8
HALVINGS = 3
"""Of the noise, with another seed each, if it (or the completion of a side chain) inverted an amino acid."""
SHARE_STREAM, MODEL_STREAM = 1, 2
"""Separate streams of random numbers."""


class RelaxConfig(BaseModel, frozen=True, extra="forbid"):
    """How far a chain is moved from its crystal coordinates."""

    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of the entries, each drawn by itself."""
    held: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the chains that are restrained to their coordinates; the others are disturbed, then relaxed freely."""
    restraint: NonNegativeFloat = 10.0
    """kcal/mol/Å², on the heavy atoms of a held chain, as in AlphaFold's relaxation.

    Reference: Jumper et al. (2021), doi:10.1038/s41586-021-03819-2, supplement 1.8.6."""
    least_noise: NonNegativeFloat = 0.1
    noise: NonNegativeFloat = 0.4
    """Å. Standard deviation of the coordinates of a free chain before it is relaxed, drawn between these two."""
    iterations: PositiveInt = 200
    """Of the minimization, at most."""
    max_atoms: PositiveInt = 2_500
    """Larger chains are left out."""
    seed: NonNegativeInt = 1

    @model_validator(mode="after")
    def _noise_has_a_range(self) -> Self:
        if self.least_noise > self.noise:
            raise ValueError(f"least_noise ({self.least_noise:g}) is above noise ({self.noise:g})")
        return self


def relax_store(
    store: Store,
    out: Path,
    *,
    splits: Sequence[str] = (),
    config: RelaxConfig | None = None,
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Store:
    """Write a store of relaxed models, see :func:`debye.dataset.relax.relax_chain.relax_chain`; a killed run resumes.

    The chain of an entry, whether it is held, and its noise are drawn by seed and entry. Every entry is marked as
    predicted, keeps its sequence cluster, and has the B-factors of its crystal.

    Args:
        splits: Only these; all if empty.
        overwrite: Replace a finished store.
        progress: Called with the number of finished entries and of all.

    Returns:
        The finished store. Entries without a suitable chain are in :attr:`Store.failures`.

    Raises:
        ConfigError: OpenMM or PDBFixer is missing.
        StoreError: The store has no such split, nothing of a split is drawn, or another store is already there.
    """
    require_extra("debye data relax", "relax", ("openmm", "pdbfixer"))
    config = config or RelaxConfig()
    chosen = {split: store.entries(split) for split in splits or store.splits}
    made = {
        "store": store.digest,
        "config": config.model_dump(),
        "openmm": version("openmm"),
        "pdbfixer": version("pdbfixer"),
    }
    content = [FORMAT, library_version(), PART_ENTRIES, list(chosen), made]
    plan = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    if is_finished(out, plan, overwrite=overwrite):
        return Store.open(out)
    rows = {
        split: [row for row, entry in enumerate(entries) if is_drawn(entry, config)]
        for split, entries in chosen.items()
    }
    empty = [split for split, drawn in rows.items() if not drawn]
    if empty:
        problem = f"no entry of {', '.join(empty)} is drawn (share {config.share:g})"
        raise StoreError(str(store.path), problem, "Raise --share, or leave the split out")
    tasks = [
        (store, split, drawn[start : start + PART_ENTRIES], config)
        for split, drawn in rows.items()
        for start in range(0, len(drawn), PART_ENTRIES)
    ]
    out.mkdir(parents=True, exist_ok=True)
    parts = run_parts(
        relaxed_part,
        tasks,
        [len(drawn) for _, _, drawn, _ in tasks],
        out / f"parts-{plan[:16]}",
        workers=workers,
        progress=progress,
    )
    written = assemble(out, [split for _, split, _, _ in tasks], parts)
    write_manifest(out, written, plan, as_of=store.manifest.get("date"), more={"relaxed": made})
    return Store.open(out)


def is_drawn(entry: StoreEntry, config: RelaxConfig) -> bool:
    """Return whether an entry belongs to the share."""
    generator = np.random.default_rng([config.seed, SHARE_STREAM, *entry.id.encode()])
    return bool(generator.random() < config.share)


def relaxed_part(store: Store, split: str, rows: Sequence[int], config: RelaxConfig) -> Arrays:
    """Return the arrays of the models of some entries; for one that failed, the reason."""
    entries = store.entries(split)
    row_of = {entries[row].id: row for row in rows}

    def relaxed(entry: StoreEntry) -> tuple[StoreEntry, Arrays]:
        return relaxed_entry(store, split, row_of[entry.id], config)

    return pack_part(*attempt_each(relaxed, [entries[row] for row in rows]))


def relaxed_entry(
    store: Store, split: str, row: int, config: RelaxConfig
) -> tuple[StoreEntry, Arrays]:
    """Relax one chain of an entry, and return its record and arrays."""
    entry, structure = store.entries(split)[row], store.structure(split, row)
    generator = np.random.default_rng([config.seed, MODEL_STREAM, *entry.id.encode()])
    chain, usable = _drawn_chain(
        structure, store.labels(split, row, B_FACTOR).usable, config, generator
    )
    # An unusable B-factor becomes a missing one.
    chain = replace(chain, b_iso=np.where(usable, chain.b_iso, np.nan).astype(np.float32))
    is_held = bool(generator.random() < config.held)
    noise = 0.0 if is_held else float(generator.uniform(config.least_noise, config.noise))
    restraint = config.restraint if is_held else 0.0
    seed = int(generator.integers(2**31))
    for attempt in range(HALVINGS + 1):
        model = relax_chain(
            chain,
            noise=noise,
            restraint=restraint,
            iterations=config.iterations,
            seed=seed + attempt,
        )
        if len(inverted_residues(model)) <= len(inverted_residues(chain)):
            break
        noise /= 2
    else:
        problem = "an amino acid is inverted in every relaxation"
        raise StructureError(entry.id, problem, "Leave the entry out")
    has_value = np.isfinite(model.b_iso)
    if has_value.sum() < FEWEST_ATOMS:
        problem = f"{has_value.sum()} atoms of the relaxed chain have a usable B"
        raise StructureError(entry.id, problem, "Leave the entry out")
    bonds = find_bonds(model)
    arrays = entry_arrays(model, bonds, has_value)
    found = replace(
        entry,
        **structure_facts(model, bonds, has_value),
        whole_entry=False,
        dropped={},
        unusable={"added or without a usable B": int((~has_value).sum())},
        columns=entry.columns
        | {"relaxed_chain": str(model.chain[0]), "relaxed_noise": f"{noise:.3f}"},
        digest="",
    )
    return replace(found, digest=entry_digest(found, arrays)), arrays


def _drawn_chain(
    structure: Structure,
    usable: NDArray[np.bool_],
    config: RelaxConfig,
    generator: np.random.Generator,
) -> tuple[Structure, NDArray[np.bool_]]:
    """Return one of the protein chains that are neither too small nor too large, and its usable atoms."""
    is_protein = structure.entity_kind == EntityKind.PROTEIN
    sizes = {name: is_protein & (structure.chain == name) for name in large_chains(structure)}
    names = [name for name, mine in sizes.items() if mine.sum() <= config.max_atoms]
    if not names:
        problem = f"no protein chain of at most {config.max_atoms} atoms that is large enough"
        remedy = "Raise --max-atoms, or leave the entry out"
        raise StructureError(structure.source, problem, remedy)
    mine = sizes[str(generator.choice(names))]
    return structure.take(mine), usable[mine]
