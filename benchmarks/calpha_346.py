"""How well a graph network of Cα atoms predicts the B-factors of proteins that it has never seen.

    python benchmarks/calpha_346.py DATA -o docs/results/calpha_346

DATA is the public set of 364 Cα proteins; its list of 346 is what blind, protein-level 10-fold figures are
published on (best so far 0.524). The folds are committed (calpha_346_folds.csv): proteins whose sequences are
similar are in one fold, which is checked anew where MMseqs2 is on PATH; ``--make-folds`` draws them. Inputs are
Cα coordinates and residue names alone. Settings were fixed before any fold was scored. The figure is Pearson's r
over the Cα atoms of each protein, averaged over proteins.
"""

from __future__ import annotations

import argparse
import csv
import shlex
import shutil
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy
import torch
from numpy.typing import NDArray
from scipy.sparse import block_diag, coo_array, csr_array
from scipy.spatial import cKDTree
from torch import Tensor, nn

import debye
from debye.data.calpha_set import (
    CalphaProtein,
    calpha_files,
    files_digest,
    read_calpha_set,
    superset_ids,
)
from debye.data.clusters import linked_groups, unique_chains
from debye.data.mmseqs import Hit, cluster, mmseqs_version, search
from debye.evaluation.metrics import pearson
from debye.models.baselines.elastic_network import gaussian_network
from debye.structure.chemistry import STANDARD_RESIDUES

FOLDS = Path(__file__).with_name("calpha_346_folds.csv")
N_FOLDS, FOLD_SEED = 10, 20261122
PUBLISHED = 0.524
RADII = (7.0, 10.0, 13.0, 16.0, 20.0)  # Å, of the contact numbers
SHELLS = ((0.0, 7.0, 8.0), (7.0, 10.0, 12.0))  # Å from, Å to, usual number of neighbors
ALONG_CHAIN = 4.5  # Å: consecutive Cα atoms that are nearer are bonded
TERMINUS_REACH = 5.0  # residues
WIDTH, EPOCHS, BATCH, RATE = 32, 6, 8, 5e-3
LARGEST_TARGET = 3.0
"""Standard deviations: one disordered tail must not outweigh a protein."""


# Folds -------------------------------------------------------------------------------------------------


def similar_chains(proteins: list[CalphaProtein]) -> tuple[dict[str, set[str]], list[Hit]]:
    """Return which proteins have each different sequence, and all pairs of similar sequences."""
    chains = unique_chains({protein.id: protein.sequences() for protein in proteins})
    owners = {
        name: {entry for entry, _ in places} for name, places in chains.places(chains.names).items()
    }
    found = search(
        chains.sequences, chains.sequences, identity=0.3, coverage=0.5, largest_evalue=1e-3
    )
    return owners, found


def make_folds(proteins: list[CalphaProtein]) -> list[tuple[str, str, int]]:
    """Return id, group and fold: groups of similar proteins, the largest first into the emptiest fold."""
    owners, found = similar_chains(proteins)
    chains = unique_chains({protein.id: protein.sequences() for protein in proteins})
    clusters = cluster(chains.sequences, identity=0.3, coverage=0.5, sensitivity=7.5)
    links: dict[str, list[str]] = {protein.id: [] for protein in proteins}
    for name, entries in owners.items():
        for entry in entries:
            links[entry].append(clusters[name])
    for hit in found:
        for entry in owners[hit.query] | owners[hit.target]:
            links[entry].append(f"{hit.query} {hit.target}")
    group = linked_groups(links)
    names = sorted(set(group.values()))
    members = {name: [entry for entry in sorted(group) if group[entry] == name] for name in names}
    shuffled = np.random.default_rng(FOLD_SEED).permutation(names).tolist()
    size, fold = [0] * N_FOLDS, {}
    for name in sorted(shuffled, key=lambda name: -len(members[name])):
        fold[name] = size.index(min(size))
        size[fold[name]] += len(members[name])
    return [(entry, group[entry], fold[group[entry]]) for entry in sorted(group)]


def check_folds(proteins: list[CalphaProtein], fold: dict[str, int]) -> str:
    """Say how the folds were compared; stop where similar sequences are in different ones."""
    if shutil.which("mmseqs") is None:
        return "not checked again: MMseqs2 is not on PATH"
    owners, found = similar_chains(proteins)
    for hit in found:
        folds = {fold[entry] for entry in owners[hit.query] | owners[hit.target]}
        if len(folds) > 1:
            sys.exit(f"{owners[hit.query]} and {owners[hit.target]} are similar, in folds {folds}")
    return (
        f"MMseqs2 {mmseqs_version()}: no two chains of different folds share 30 % identity over half of "
        "either chain (e < 1e-3)"
    )


# What the network sees -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One protein."""

    id: str
    features: NDArray[np.float32]
    shells: tuple[csr_array, ...]
    """Symmetric weights of neighbors by distance, and along the chain; each row sums to about 1."""
    b_iso: NDArray[np.float64]
    plain: dict[str, float]
    """r of predictions that learn nothing."""


def z_score(value: NDArray[np.float64]) -> NDArray[np.float64]:
    return (value - value.mean()) / max(float(value.std()), 1e-9)


def describe(protein: CalphaProtein) -> Sample:
    position, n = protein.position, len(protein.position)
    tree = cKDTree(position)
    pairs = tree.query_pairs(RADII[-1], output_type="ndarray")
    distance = np.linalg.norm(position[pairs[:, 0]] - position[pairs[:, 1]], axis=1)

    def count(weight: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(pairs[:, 0], weight, n) + np.bincount(pairs[:, 1], weight, n)

    network = gaussian_network(position)
    network = np.where(np.isnan(network), np.nanmax(network), network)
    # WCN of all pairs: at these sizes a full matrix is the simplest.
    square = ((position[:, None] - position[None]) ** 2).sum(axis=2)
    np.fill_diagonal(square, np.inf)
    loose = 1 / (1 / square).sum(axis=1)
    contacts = [count((distance <= radius).astype(float)) for radius in RADII]
    before, after = chain_rank(protein)
    columns = [
        *(z_score(contact) for contact in contacts),
        z_score(loose),
        z_score(np.log(network)),
        z_score(np.linalg.norm(position - position.mean(axis=0), axis=1)),
        z_score(half_sphere(position, pairs, before, after)),
        contacts[1] / 20 - 1,
        np.log(contacts[-1] + 1) / 4 - 1,
        np.exp(-before / TERMINUS_REACH),
        np.exp(-after / TERMINUS_REACH),
        *turns(position, before, after),
        np.full(n, np.log(n) / 5 - 1),
    ]
    kind = np.array(
        [[name == other for other in STANDARD_RESIDUES[:20]] for name in protein.residue_name]
    )
    return Sample(
        id=protein.id,
        features=np.column_stack([*columns, kind]).astype(np.float32),
        shells=neighbor_weights(n, pairs, distance, before),
        b_iso=protein.b_iso,
        plain={
            "gnm": pearson(network, protein.b_iso),
            "1/WCN": pearson(loose, protein.b_iso),
        },
    )


def chain_rank(protein: CalphaProtein) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many residues are bonded in a row before, and after, each one."""
    step = np.linalg.norm(np.diff(protein.position, axis=0), axis=1)
    chain = np.array(protein.chain)
    breaks = np.flatnonzero((step > ALONG_CHAIN) | (chain[1:] != chain[:-1])) + 1
    runs = np.split(np.arange(len(chain)), breaks)
    before = np.concatenate([np.arange(len(run)) for run in runs])
    after = np.concatenate([np.arange(len(run))[::-1] for run in runs])
    return before, after


def half_sphere(
    position: NDArray[np.float64],
    pairs: NDArray[np.int64],
    before: NDArray[np.int64],
    after: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Count neighbors within 13 Å on the side of the side chain (Hamelryck, 2005, doi:10.1002/prot.20379)."""
    inner = (before > 0) & (after > 0)
    side = np.zeros_like(position)
    rows = np.flatnonzero(inner)
    side[rows] = 2 * position[rows] - position[rows - 1] - position[rows + 1]
    found = np.zeros(len(position))
    for first, second in (pairs.T, pairs.T[::-1]):
        vector = position[second] - position[first]
        near = (vector**2).sum(axis=1) <= 13.0**2
        above = near & ((vector * side[first]).sum(axis=1) > 0)
        found += np.bincount(first[above], minlength=len(position))
    return found


def turns(
    position: NDArray[np.float64], before: NDArray[np.int64], after: NDArray[np.int64]
) -> list[NDArray[np.float64]]:
    """Return the cosine of the angle at each Cα, and cosine and sine of the torsion after it; 0 at ends."""
    n = len(position)
    angle, cosine, sine = np.zeros(n), np.zeros(n), np.zeros(n)
    step = np.diff(position, axis=0)
    step /= np.maximum(np.linalg.norm(step, axis=1), 1e-6)[:, None]
    rows = np.flatnonzero((before > 0) & (after > 0))
    angle[rows] = (step[rows - 1] * step[rows]).sum(axis=1)
    rows = np.flatnonzero((before > 0) & (after > 1))
    first, middle, last = step[rows - 1], step[rows], step[rows + 1]
    left, right = np.cross(first, middle), np.cross(middle, last)
    torsion = np.arctan2((first * right).sum(axis=1), (left * right).sum(axis=1))
    cosine[rows], sine[rows] = np.cos(torsion), np.sin(torsion)
    return [angle, cosine, sine]


def neighbor_weights(
    n: int, pairs: NDArray[np.int64], distance: NDArray[np.float64], before: NDArray[np.int64]
) -> tuple[csr_array, ...]:
    found = []
    for low, high, usual in SHELLS:
        taken = pairs[(distance > low) & (distance <= high)]
        found.append(_symmetric(n, taken, np.full(len(taken), 1 / usual)))
    rows = np.arange(n)
    along = [np.column_stack([rows[before >= gap] - gap, rows[before >= gap]]) for gap in (1, 2, 3)]
    weight = np.concatenate([np.full(len(part), 1 / 6) for part in along])
    return (*found, _symmetric(n, np.concatenate(along), weight))


def _symmetric(n: int, pairs: NDArray[np.int64], weight: NDArray[np.float64]) -> csr_array:
    half = coo_array((weight.astype(np.float32), pairs.T), shape=(n, n))
    return csr_array(half + half.T)


# The network -----------------------------------------------------------------------------------------------


class Gather(torch.autograd.Function):
    """A symmetric sparse matrix times dense columns: its own transpose on the way back."""

    @staticmethod
    def forward(ctx, matrix: Tensor, dense: Tensor) -> Tensor:
        ctx.matrix = matrix
        return torch.sparse.mm(matrix, dense)

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, torch.sparse.mm(ctx.matrix, gradients[0].contiguous())


class CalphaNetwork(nn.Module):
    """Two rounds of messages from neighbors in shells of distance and along the chain, then a readout."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        n_kinds = len(SHELLS) + 1
        self.first = nn.Linear(n_features, WIDTH)
        self.rounds = nn.ModuleList(nn.Linear((1 + n_kinds) * WIDTH, WIDTH) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.readout = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 1))

    def forward(self, features: Tensor, shells: tuple[Tensor, ...]) -> Tensor:
        state = torch.nn.functional.silu(self.first(features))
        for mix, norm in zip(self.rounds, self.norms, strict=True):
            seen = torch.cat([state, *(Gather.apply(shell, state) for shell in shells)], dim=1)
            state = norm(state + torch.nn.functional.silu(mix(seen)))
        return self.readout(state).squeeze(-1)


@dataclass(frozen=True, slots=True)
class Batch:
    features: Tensor
    shells: tuple[Tensor, ...]
    target: Tensor
    protein: Tensor
    """Which protein of the batch each residue is of."""


def make_batch(samples: list[Sample]) -> Batch:
    joined = [
        csr_array(block_diag(parts)) for parts in zip(*(s.shells for s in samples), strict=True)
    ]
    sizes = [len(sample.b_iso) for sample in samples]
    target = np.concatenate([z_score(sample.b_iso) for sample in samples])
    return Batch(
        torch.from_numpy(np.concatenate([sample.features for sample in samples])),
        tuple(
            torch.sparse_csr_tensor(
                *(torch.from_numpy(part) for part in (m.indptr, m.indices, m.data)), size=m.shape
            )
            for m in joined
        ),
        torch.from_numpy(target.astype(np.float32)).clamp(max=LARGEST_TARGET),
        torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes)),
    )


def loss_of(predicted: Tensor, batch: Batch) -> Tensor:
    """One minus the mean per-protein correlation, plus the squared error of the z-scores."""
    n = int(batch.protein[-1]) + 1
    count = torch.bincount(batch.protein).float()

    def mean(of: Tensor) -> Tensor:
        return torch.zeros(n).index_add(0, batch.protein, of) / count

    def centered(of: Tensor) -> Tensor:
        return of - mean(of)[batch.protein]

    left, right = centered(predicted), centered(batch.target)
    scale = (mean(left**2) * mean(right**2)).clamp(min=1e-12).sqrt()
    return 1 - (mean(left * right) / scale).mean() + mean((predicted - batch.target) ** 2).mean()


def train(samples: list[Sample], seed: int) -> CalphaNetwork:
    torch.manual_seed(seed)
    order = np.random.default_rng(seed)
    model = CalphaNetwork(samples[0].features.shape[1])
    rows = order.permutation(len(samples))
    batches = [
        make_batch([samples[row] for row in rows[start : start + BATCH]])
        for start in range(0, len(rows), BATCH)
    ]
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    steps = EPOCHS * len(batches)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(EPOCHS):
        for number in order.permutation(len(batches)):
            batch = batches[number]
            optimizer.zero_grad()
            loss_of(model(batch.features, batch.shells), batch).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.no_grad()
def predict(model: CalphaNetwork, sample: Sample) -> NDArray[np.float64]:
    batch = make_batch([sample])
    return model(batch.features, batch.shells).double().numpy()


# The run ----------------------------------------------------------------------------------------------------


def run_folds(
    samples: list[Sample], fold: dict[str, int], seeds: list[int], only: int | None
) -> pd.DataFrame:
    """Return id, fold, and r of each seed, of the mean of all seeds, and of what learns nothing."""
    rows = []
    for number in range(N_FOLDS) if only is None else [only]:
        started = time.monotonic()
        training = [sample for sample in samples if fold[sample.id] != number]
        held_out = [sample for sample in samples if fold[sample.id] == number]
        models = [train(training, seed) for seed in seeds]
        for sample in held_out:
            profiles = [z_score(predict(model, sample)) for model in models]
            names = [f"seed {seed}" for seed in seeds]
            found = {
                name: pearson(p, sample.b_iso) for name, p in zip(names, profiles, strict=True)
            }
            together = {"all seeds": pearson(np.mean(profiles, axis=0), sample.b_iso)}
            rows.append({"id": sample.id, "fold": number} | found | together | sample.plain)
        print(f"fold {number}: {time.monotonic() - started:.0f} s", flush=True)
    return pd.DataFrame(rows)


def report(table: pd.DataFrame, seeds: list[int], facts: dict[str, str]) -> str:
    figures = table.drop(columns=["id", "fold"])
    runs = figures[[f"seed {seed}" for seed in seeds]].mean()
    by_fold = table.groupby("fold")["all seeds"].agg(["size", "mean"])
    lines = [
        "# Blind Cα B-factors of the 346 list",
        "",
        f"Mean per-protein Pearson r over Cα atoms, {len(table)} proteins, {N_FOLDS} folds, seeds {seeds}.",
        "",
        "| prediction | mean r |",
        "| --- | --- |",
        f"| graph network, mean of {len(seeds)} runs ± their standard deviation | "
        f"**{runs.mean():.3f} ± {runs.std(ddof=1):.3f}** |",
        *(f"| graph network, {name} | {figures[name].mean():.3f} |" for name in runs.index),
        f"| graph network, mean profile of all seeds | {figures['all seeds'].mean():.3f} |",
        f"| 1/WCN, nothing learned | {figures['1/WCN'].mean():.3f} |",
        f"| GNM at 7 Å, nothing learned | {figures['gnm'].mean():.3f} |",
        f"| best published (blind, protein-level 10-fold) | {PUBLISHED} |",
        "",
        "| fold | proteins | mean r, all seeds |",
        "| --- | --- | --- |",
        *(
            f"| {number} | {row['size']:.0f} | {row['mean']:.3f} |"
            for number, row in by_fold.iterrows()
        ),
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
        "Each protein's row is in `results.csv`.",
    ]
    return "\n".join(lines) + "\n"


def main(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "Sparse (CSR tensor support|invariant checks)")
    started, cpu = time.monotonic(), time.process_time()
    ids = superset_ids(options.data)
    proteins = read_calpha_set(options.data, ids)
    if options.make_folds:
        with open(FOLDS, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([("id", "group", "fold"), *make_folds(proteins)])
    known = pd.read_csv(FOLDS, dtype={"id": str, "group": str})
    fold = dict(zip(known["id"], known["fold"], strict=True))
    if sorted(fold) != ids:
        sys.exit(f"{FOLDS} is not of the {len(ids)} proteins of the list")
    checked = check_folds(proteins, fold)
    samples = [describe(protein) for protein in proteins]
    print(f"{len(samples)} proteins described: {time.monotonic() - started:.0f} s", flush=True)
    seeds = list(range(1, options.seeds + 1))
    table = run_folds(samples, fold, seeds, options.fold)
    facts = {
        "command": f"`{shlex.join(['python', 'benchmarks/calpha_346.py', 'DATA', *sys.argv[2:]])}`",
        "settings": f"width {WIDTH}, 2 rounds, {EPOCHS} epochs, {BATCH} proteins a batch, learning rate {RATE:g}",
        "folds": f"`benchmarks/{FOLDS.name}`, sha256 {files_digest([FOLDS])[:16]}; {checked}",
        "data": f"sha256 {files_digest(calpha_files(options.data, ids))[:16]} over names and contents",
        "versions": f"debye {debye.__version__}, torch {torch.__version__}, numpy {np.__version__}, "
        f"scipy {scipy.__version__}",
        "time": f"{time.process_time() - cpu:.0f} s of processor time on one core",
    }
    text = report(table, seeds, facts)
    print(text)
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        table.to_csv(options.output / "results.csv", index=False, float_format="%.4f")
        (options.output / "report.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--fold", type=int, help="only this fold, to try something out")
    parser.add_argument("--make-folds", action="store_true", help="draw the folds anew (MMseqs2)")
    main(parser.parse_args())
