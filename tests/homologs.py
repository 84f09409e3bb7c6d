"""Made-up proteins with known similarity, as files and as candidates, for tests of clusters, splits and leakage."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from debye.dataset.curate.candidates import Candidate
from debye.dataset.curate.mmseqs import Hit, SearchLimits
from debye.structure.structure import Crystal, Entry, Structure
from debye.structure.write import write_structure
from debye.testing.peptide import build_peptide

LETTERS = list("ARNDCQEGHILKMFPSTWYV")


def random_sequence(seed: int, length: int = 90) -> str:
    """Return a sequence that is similar to no other seed's."""
    return "".join(np.random.default_rng(seed).choice(LETTERS, length))


def relative(sequence: str, seed: int, changed: float = 0.2) -> str:
    """Return a sequence with a share of its residues drawn anew."""
    generator = np.random.default_rng(seed)
    other = generator.choice(LETTERS, len(sequence))
    return "".join(np.where(generator.random(len(sequence)) < changed, other, list(sequence)))


def protein(
    entry_id: str,
    *chains: str,
    resolution: float = 1.8,
    title: str = "A PROTEIN",
    constant_b: bool = False,
) -> Structure:
    """Build an entry of one chain or more, far apart, in a large cell."""
    parts = [build_peptide(sequence, source=entry_id) for sequence in chains]
    columns = {}
    for column in fields(Structure):
        values = [getattr(part, column.name) for part in parts]
        if isinstance(values[0], np.ndarray) and column.name != "links":
            columns[column.name] = np.concatenate(values)
    sizes, residues = [len(part) for part in parts], [part.n_residues for part in parts]
    number = np.repeat(np.arange(len(parts)), sizes)
    names = np.array(list("ABCD"))[number]
    atoms = len(number)
    generator = np.random.default_rng(list(entry_id.encode()))
    b = np.full(atoms, 20.0) if constant_b else 15 + generator.gamma(4.0, 2.0, atoms)
    shift = np.cumsum([0, *residues[:-1]])[number]
    columns |= {
        "position": columns["position"] + 200 * number[:, None].astype(np.float32),
        "chain": names,
        "chain_label": names,
        "residue_index": (columns["residue_index"] + shift).astype(np.int32),
        "record": np.arange(atoms, dtype=np.int32),
        "b_iso": np.round(b, 2).astype(np.float32),
    }
    return replace(
        parts[0],
        crystal=Crystal(cell=(900.0, 900.0, 900.0, 90.0, 90.0, 90.0), space_group="P 1"),
        entry=Entry(id=entry_id, title=title, method="X-RAY DIFFRACTION", resolution=resolution),
        **columns,
    )


def write_entry(folder: Path, structure: Structure) -> Path:
    """Write an entry where an archive has it."""
    nested = folder / structure.source[1:3]
    nested.mkdir(parents=True, exist_ok=True)
    return write_structure(structure, nested / f"{structure.source}.cif")


DOMAIN = random_sequence(100)
"""The family that is kept out of training."""
ALPHA, BETA, GAMMA = (random_sequence(seed) for seed in (1, 2, 3))


def write_archive(folder: Path) -> Path:
    """Write entries that need every rule: similar ones, links, a family, a shared domain, and bad files.

    Entries with a resolution worse than 2.5 Å can only be in training.
    """
    for structure in (
        protein("1aaa", ALPHA),
        protein("1aab", relative(ALPHA, 11), resolution=1.5),
        protein("1bbb", BETA, resolution=2.8),
        protein("1bbc", relative(BETA, 12), resolution=2.7),
        # Links a protein of its own kind to the cluster of 1bbb.
        protein("1lnk", random_sequence(5), relative(BETA, 13), resolution=2.9),
        protein("1ggg", GAMMA),
        # Contains the fold of 1ggg in a chain three times as long: another cluster, but similar.
        protein(
            "1dom", random_sequence(6) + relative(GAMMA, 14) + random_sequence(7), resolution=2.8
        ),
        protein("1kin", relative(DOMAIN, 15)),
        protein("1kib", relative(DOMAIN, 16)),
        protein("1inh", random_sequence(8), title="INHIBITOR OF A KINASE"),
        protein("1con", random_sequence(9), constant_b=True),
        protein("1low", random_sequence(10), resolution=3.5),
        protein("1sho", random_sequence(4, 30)),
    ):
        write_entry(folder, structure)
    (folder / "xx").mkdir()
    (folder / "xx" / "1xxx.cif").write_text("<html>not found</html>")
    return folder


GOOD = Candidate(
    id="1abc", title="", keywords="", resolution=1.8, has_header=True, has_crystal=True, n_models=1,
    missing_copies=0, n_atoms=1000, n_protein_residues=120, mean_b=20.0, b_deviation=8.0,
    zero_share=0.0, constant_share=0.0, b_reasons=(), state="apo", deposited={}, observed={},
)  # fmt: skip
"""An entry that passes every filter."""


class SimilarityTable:
    """Compares sequences by a table with the identity of similar pairs, as MMseqs2 does by alignment."""

    def __init__(self, *pairs: tuple[str, str, float], profile: Collection[str] = ()) -> None:
        self.identity = {frozenset((one, other)): identity for one, other, identity in pairs}
        self.profile = profile
        """Sequences that a profile search finds."""

    def alike(self, one: str, other: str) -> float:
        """Return the identity of two sequences, 0 if they are not similar."""
        return 1.0 if one == other else self.identity.get(frozenset((one, other)), 0.0)

    def cluster(
        self, sequences: Mapping[str, str], *, identity: float, coverage: float, sensitivity: float
    ) -> dict[str, str]:
        """Put each sequence into the cluster of the first representative that it is similar to."""
        found: dict[str, str] = {}
        for name, text in sequences.items():
            first = (o for o in found.values() if self.alike(text, sequences[o]) >= identity)
            found[name] = next(first, name)
        return found

    def search(
        self, queries: Mapping[str, str], targets: Mapping[str, str], limits: SearchLimits
    ) -> list[Hit]:
        """Return the pairs of the table; more than one iteration finds what the profile does."""
        pairs = [
            (query, target, 0.5 if limits.iterations > 1 else self.alike(text, other))
            for query, text in queries.items()
            for target, other in targets.items()
            if limits.iterations == 1 or other in self.profile
        ]
        return [
            Hit(
                query=query,
                target=target,
                identity=alike,
                query_coverage=1.0,
                target_coverage=1.0,
                evalue=1e-9,
            )
            for query, target, alike in pairs
            if alike > 0 and alike >= limits.identity
        ]
