"""Compare cutoffs of the elastic networks of residues, and the number of filled values.

    python benchmarks/elastic_cutoffs.py STORE [--entries 40]

Draws entries of val (those with a crystal and at most ``--largest`` atoms) with a fixed seed, and prints for each
cutoff the mean per-structure r over protein heavy atoms, its difference to the usual cutoff (95 %, bootstrap over
structures), and the shares of unconstrained residues and of scored atoms that therefore get the largest value of their
structure.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from debye.dataset.store.store import Store
from debye.graph.build import build_graph
from debye.models.baselines.elastic_network import anisotropic_network, kirchhoff_fluctuations
from debye.models.baselines.geometry import ANMConfig, GNMConfig, residue_nodes
from debye.scores.bootstrap import percentile_interval, structure_draws
from debye.scores.metrics import pearson
from debye.structure.structure import EntityKind, Structure
from debye.targets.b_factor import B_FACTOR

SEED = 20261125
GNM_CUTOFFS, ANM_CUTOFFS = (7.0, 8.0, 10.0, 12.0, 15.0), (15.0, 12.0, 18.0, 21.0)
"""Å; the usual ones first."""


def gaussian(nodes: Structure, cutoff: float, *, crystal: bool) -> NDArray[np.float64]:
    """Return the fluctuations of a network of all atoms of a structure that has its nodes alone."""
    config = GNMConfig(level="atom", cutoff=cutoff, crystal=crystal).graph
    sender, receiver = build_graph(nodes, config).edge_index.numpy()
    return kirchhoff_fluctuations(len(nodes), sender, receiver)


def networks(structure: Structure) -> tuple[dict[tuple[str, float], NDArray], NDArray[np.intp]]:
    """Return the fluctuations of each network and cutoff, NaN for unconstrained residues; and each atom's row."""
    nodes = residue_nodes(build_graph(structure, ANMConfig().graph))
    alone = structure.take(nodes.atom)
    place = alone.position.astype(np.float64)
    found = {}
    for cutoff in GNM_CUTOFFS:
        found["GNM in the crystal", cutoff] = gaussian(alone, cutoff, crystal=True)
        found["GNM without it", cutoff] = gaussian(alone, cutoff, crystal=False)
    for cutoff in ANM_CUTOFFS:
        found["ANM without it", cutoff] = anisotropic_network(place, cutoff)
    return found, nodes.of_atom


def main(options: argparse.Namespace) -> None:
    started = time.process_time()
    store = Store.open(options.store)
    rows = [
        row
        for row, entry in enumerate(store.entries(options.split))
        if entry.has_crystal and entry.n_atoms <= options.largest
    ]
    draw = np.random.default_rng(SEED).permutation(rows)[: options.entries]
    r, filled, hit = defaultdict(list), defaultdict(list), defaultdict(list)
    n_atoms = 0
    for row in np.sort(draw):
        structure = store.structure(options.split, row)
        scored = store.labels(options.split, row, B_FACTOR).usable & (
            structure.entity_kind == EntityKind.PROTEIN
        )
        found, of_atom = networks(structure)
        for key, value in found.items():
            known = np.isfinite(value)
            whole = np.where(known, value, np.max(value[known], initial=0.0))[of_atom]
            r[key].append(pearson(whole[scored], structure.b_iso[scored]))
            filled[key].append(~known)
            hit[key].append(~known[of_atom[scored]])
        n_atoms += int(scored.sum())
    print(
        f"{len(draw)} of {len(rows)} entries of {options.split} with a crystal and at most {options.largest} atoms; "
        f"{n_atoms} scored atoms\n"
    )
    print(
        "| network | cutoff, Å | mean r | less the usual cutoff | residues filled | scored atoms filled |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    draws = structure_draws(len(draw), 2000, np.random.default_rng(0)) / len(draw)
    for name, cutoff in sorted(r, key=lambda key: (key[0].split()[0] != "GNM", key)):
        usual = ANM_CUTOFFS[0] if name.startswith("ANM") else GNM_CUTOFFS[0]
        change = np.subtract(r[name, cutoff], r[name, usual])
        low, high = percentile_interval(draws @ change)
        beside = f"{change.mean():+.3f} ({low:+.3f} to {high:+.3f})"
        print(
            f"| {name} | {cutoff:g} | {np.mean(r[name, cutoff]):.3f} | {'' if cutoff == usual else beside} | "
            f"{np.concatenate(filled[name, cutoff]).mean():.2%} | {np.concatenate(hit[name, cutoff]).mean():.2%} |"
        )
    print(f"\n{time.process_time() - started:.0f} s of processor time")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("--split", default="val")
    parser.add_argument("--entries", type=int, default=180)
    parser.add_argument("--largest", type=int, default=6000, help="atoms")
    main(parser.parse_args())
