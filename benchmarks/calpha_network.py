"""A small graph network of Cα atoms: its inputs, layers and training.

Inputs are only Cα coordinates and residue names. ``calpha_346.py`` evaluates it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from calpha_set import CalphaProtein
from numpy.typing import NDArray
from scipy.sparse import block_diag, coo_array, csr_array
from scipy.spatial import cKDTree
from torch import Tensor, nn

from debye.models.baselines.elastic_network import gaussian_network
from debye.scores.metrics import pearson
from debye.structure.chemistry import STANDARD_RESIDUES

RADII = (7.0, 10.0, 13.0, 16.0, 20.0)  # Å, of the contact numbers
SHELLS = ((0.0, 7.0, 8.0), (7.0, 10.0, 12.0))  # Å from, Å to, usual number of neighbors
ALONG_CHAIN = 4.5  # Å: consecutive Cα atoms that are nearer are bonded
TERMINUS_REACH = 5.0  # residues
WIDTH, EPOCHS, BATCH, RATE = 32, 6, 8, 5e-3
LARGEST_TARGET = 3.0
"""Standard deviations: one disordered tail must not outweigh a protein."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One protein."""

    id: str
    features: NDArray[np.float32]
    shells: tuple[csr_array, ...]
    """Symmetric weights of neighbors by distance, and along the chain; a row sums to 1 at the usual density."""
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
    """Return the cosine of the turn at each Cα (between the steps to and from it: of the exterior angle), and
    cosine and sine of the torsion after it; 0 at ends."""
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
