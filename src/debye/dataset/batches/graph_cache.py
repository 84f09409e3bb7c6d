"""Graphs of a split, built once and kept memory-mapped: training reads each of them many times.

Graphs are built as their configuration says; :meth:`AtomGraph.without_crystal` hides a crystal later. Layout::

    <cache>/<key>/manifest.json            store, config, version, entries
    <cache>/<key>/<column>.npy             the graphs of the split end to end

where the key is a digest of the store's content, the split, the graph configuration and the code that
builds graphs, so that no change of it finds stale ones.
Edge vectors are kept as 16-bit multiples of 0.001 Å, the resolution of structure files: the error is at
most 0.0005 Å for edges to symmetry mates, and rounding for the others. Where an edge is longer than
32 Å, all are kept as 32-bit floats.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import os
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray

from debye.dataset.store.parts import Arrays, Progress, concatenate, open_flat, run_parts
from debye.dataset.store.store import Store
from debye.graph import build, neighbors, node_features, residue_edges, structure_features
from debye.graph.build import build_graph
from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph
from debye.structure import chemistry, components, crystal, row_keys
from debye.version import library_version

FORMAT = 2
CODE = (
    build,
    neighbors,
    node_features,
    residue_edges,
    structure_features,
    chemistry,
    components,
    crystal,
    row_keys,
)
"""Modules on which the content of a graph depends, beside the store and the configuration."""
VECTOR_UNIT = 0.001  # Å
LONGEST_EDGE = 32.0  # Å, that 16 bits hold
MATE_BIT = 0x80
PART_ATOMS = 60_000
PER_ATOM = (
    *("position", "categories", "scalars", "residue_index", "chain_index", "entity_kind"),
    "in_degree",
)
PER_EDGE = ("sender", "vector", "bond")
PER_RESIDUE_EDGE = ("residue_sender", "residue_receiver", "residue_vector", "residue_bond")
VECTORS = ("vector", "residue_vector")
COLUMNS = (*PER_ATOM, *PER_EDGE, *PER_RESIDUE_EDGE, "structure_scalars", "crystal_known")


class GraphSource(Protocol):
    """Where the graphs of one split come from: computed anew, or from a cache."""

    def graph(self, row: int) -> AtomGraph:
        """Return the graph of one entry, with its crystal if the configuration has one."""
        ...


class GraphBuilder:
    """Builds the graph of an entry whenever it is asked for."""

    def __init__(self, store: Store, split: str, config: GraphConfig) -> None:
        self.store = store
        self.split = split
        self.config = config

    def graph(self, row: int) -> AtomGraph:
        """Return the graph of one entry, with its crystal if the configuration has one."""
        return build_graph(
            self.store.structure(self.split, row),
            self.config,
            bonds=self.store.bonds(self.split, row),
        )


class GraphCache:
    """Reads the graphs of a split from a finished cache. Cheap to send to another process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        manifest = json.loads((path / "manifest.json").read_text())
        self.config = GraphConfig.model_validate(manifest["config"])
        self.source: list[str] = manifest["source"]
        self._flat = {name: open_flat(path / f"{name}.npy") for name in COLUMNS}
        self._atom_start = _starts(manifest["n_atoms"])
        self._edge_start = _starts(manifest["n_edges"])
        self._residue_edge_start = _starts(manifest["n_residue_edges"])

    def __reduce__(self) -> tuple[type[GraphCache], tuple[Path]]:
        return type(self), (self.path,)

    def __len__(self) -> int:
        return len(self.source)

    def graph(self, row: int) -> AtomGraph:
        """Return the graph of one entry, with its crystal if the configuration has one."""
        atoms = slice(self._atom_start[row], self._atom_start[row + 1])
        edges = slice(self._edge_start[row], self._edge_start[row + 1])

        def atom(name: str) -> torch.Tensor:
            return torch.from_numpy(np.array(self._flat[name][atoms]))

        def whole(name: str) -> torch.Tensor:
            return torch.from_numpy(np.array(self._flat[name][row : row + 1]))

        position = atom("position")
        receiver = torch.repeat_interleave(torch.arange(len(position)), atom("in_degree").long())
        sender = torch.from_numpy(self._flat["sender"][edges].astype(np.int64))
        bond = torch.from_numpy(np.array(self._flat["bond"][edges]))
        contacts = slice(self._residue_edge_start[row], self._residue_edge_start[row + 1])
        contact = torch.from_numpy(np.array(self._flat["residue_bond"][contacts]))
        ends = [self._flat[f"residue_{end}"][contacts] for end in ("sender", "receiver")]
        return AtomGraph(
            source=(self.source[row],),
            config=self.config,
            position=position,
            categories=atom("categories").long(),
            scalars=atom("scalars"),
            residue_index=atom("residue_index").long(),
            chain_index=atom("chain_index").long(),
            entity_kind=atom("entity_kind").long(),
            structure_index=torch.zeros(len(position), dtype=torch.long),
            structure_scalars=whole("structure_scalars"),
            crystal_known=whole("crystal_known"),
            edge_index=torch.stack([sender, receiver]),
            edge_vector=decode_vectors(self._flat["vector"][edges]),
            edge_bond=(bond & (MATE_BIT - 1)).long(),
            edge_mate=bond >= MATE_BIT,
            residue_edge_index=torch.from_numpy(np.stack(ends).astype(np.int64)),
            residue_edge_vector=decode_vectors(self._flat["residue_vector"][contacts]),
            residue_edge_bond=(contact & (MATE_BIT - 1)) > 0,
            residue_edge_mate=contact >= MATE_BIT,
        )


def open_graph_cache(
    store: Store,
    split: str,
    config: GraphConfig,
    *,
    folder: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> GraphCache:
    """Open the graphs of a split; build those that are missing first, and go on after a kill.

    Args:
        store: The data store.
        split: One of its splits.
        config: The graphs.
        folder: Where caches are kept; ``graphs`` inside the store by default.
        workers: Processes that build.
        progress: Told how many entries are done, where something is to be built.

    Raises:
        GraphError: a graph cannot be built.
        StoreError: a process died; what is finished is kept.
    """
    key = cache_key(store, split, config)
    path = (folder or store.path / "graphs") / f"{split}-{key[:16]}"
    if not (path / "manifest.json").exists():
        path.mkdir(parents=True, exist_ok=True)
        # Processes that train together all ask for the cache; one builds, the others wait for it.
        with FileLock(path / "lock"):
            if not (path / "manifest.json").exists():
                _build(path, store, split, config, workers, progress)
    return GraphCache(path)


def find_graph_cache(store: Store, split: str, config: GraphConfig) -> GraphCache | None:
    """Return the finished cache inside a store; None where there is none."""
    path = store.path / "graphs" / f"{split}-{cache_key(store, split, config)[:16]}"
    return GraphCache(path) if (path / "manifest.json").exists() else None


def cache_key(store: Store, split: str, config: GraphConfig) -> str:
    """Return the digest of everything that the graphs of a split depend on."""
    content = [FORMAT, code_digest(), store.digest, split, config.model_dump(mode="json")]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@cache
def code_digest() -> str:
    """Return the digest of the code that builds graphs; comments and layout do not matter."""
    digest = hashlib.sha256(library_version().encode())
    for module in CODE:
        digest.update(ast.dump(ast.parse(inspect.getsource(module))).encode())
    return digest.hexdigest()


def graph_part(store: Store, split: str, config: GraphConfig, rows: Sequence[int]) -> Arrays:
    """Build the graphs of some entries and return their arrays end to end."""
    builder = GraphBuilder(store, split, config)
    graphs = [encode_graph(builder.graph(row)) for row in rows]
    for name in VECTORS:
        if any(graph[name].dtype != np.int16 for graph in graphs):
            for graph in graphs:
                graph[name] = decode_vectors(graph[name]).numpy()
    joined = {name: np.concatenate([graph[name] for graph in graphs]) for name in graphs[0]}
    joined["n_atoms"] = np.array([len(graph["position"]) for graph in graphs])
    joined["n_edges"] = np.array([len(graph["sender"]) for graph in graphs])
    joined["n_residue_edges"] = np.array([len(graph["residue_sender"]) for graph in graphs])
    return joined


def encode_graph(graph: AtomGraph) -> dict[str, NDArray[Any]]:
    """Return the arrays of one graph, each in the smallest type that holds it."""
    sender, receiver = graph.edge_index.numpy()
    in_degree = np.bincount(receiver, minlength=graph.n_atoms)
    small = graph.n_atoms <= np.iinfo(np.uint16).max
    whole = np.uint16 if small else np.uint32
    bond = graph.edge_bond.numpy().astype(np.uint8)
    residue_sender, residue_receiver = graph.residue_edge_index.numpy().astype(whole)
    return {
        "position": graph.position.numpy(),
        "categories": _smallest(graph.categories.numpy()),
        "scalars": graph.scalars.numpy().astype(np.float32),
        "residue_index": graph.residue_index.numpy().astype(np.int32),
        "chain_index": _smallest(graph.chain_index.numpy()),
        "entity_kind": graph.entity_kind.numpy().astype(np.uint8),
        "in_degree": _smallest(in_degree),
        "sender": sender.astype(whole),
        "vector": encode_vectors(graph.edge_vector.numpy()),
        "bond": bond | _mate_bit(graph.edge_mate),
        "residue_sender": residue_sender,
        "residue_receiver": residue_receiver,
        "residue_vector": encode_vectors(graph.residue_edge_vector.numpy()),
        "residue_bond": graph.residue_edge_bond.numpy().astype(np.uint8)
        | _mate_bit(graph.residue_edge_mate),
        "structure_scalars": graph.structure_scalars.numpy().astype(np.float32),
        "crystal_known": graph.crystal_known.numpy(),
    }


def _mate_bit(is_mate: torch.Tensor) -> NDArray[np.uint8]:
    return np.where(is_mate.numpy(), MATE_BIT, 0).astype(np.uint8)


def encode_vectors(vector: NDArray[np.float32]) -> NDArray[Any]:
    """Return vectors (Å) as 16-bit multiples of 0.001 Å; as they are where one is too long.

    Example:
        >>> encode_vectors(np.array([[1.2345, -0.5, 31.9]], np.float32)).tolist()
        [[1234, -500, 31900]]
    """
    if len(vector) and np.abs(vector).max() > LONGEST_EDGE:
        return vector.astype(np.float32)
    return np.rint(vector / VECTOR_UNIT).astype(np.int16)


def decode_vectors(stored: NDArray[Any]) -> torch.Tensor:
    """Return stored vectors in Å."""
    if stored.dtype != np.int16:
        return torch.from_numpy(np.array(stored))
    return torch.from_numpy(stored.astype(np.float32)).mul_(VECTOR_UNIT)


def _build(
    path: Path,
    store: Store,
    split: str,
    config: GraphConfig,
    workers: int,
    progress: Progress | None,
) -> None:
    chunks = _chunks([entry.n_atoms for entry in store.entries(split)])
    parts = run_parts(
        graph_part,
        [(store, split, config, chunk) for chunk in chunks],
        [len(chunk) for chunk in chunks],
        path / "parts",
        workers=workers,
        progress=progress,
    )
    _assemble(path, parts, store, split, config)
    shutil.rmtree(path / "parts")


def _assemble(
    path: Path, parts: Sequence[Path], store: Store, split: str, config: GraphConfig
) -> None:
    """Put the parts together, the manifest last: a cache with a manifest is a whole one."""
    for name in COLUMNS:
        if name in VECTORS and len(_kinds(parts, name)) > 1:
            _rewrite_vectors(parts, name)
        concatenate(parts, name, path / f"{name}.npy")
    counts: dict[str, list[int]] = {"n_atoms": [], "n_edges": [], "n_residue_edges": []}
    for part in parts:
        with np.load(part) as arrays:
            for name, found in counts.items():
                found += arrays[name].tolist()
    manifest = {
        "format": FORMAT,
        "version": library_version(),
        "key": cache_key(store, split, config),
        "store": store.digest,
        "split": split,
        "config": config.model_dump(mode="json"),
        "source": [entry.id for entry in store.entries(split)],
        **counts,
    }
    temporary = path / "manifest.json.tmp"
    temporary.write_text(json.dumps(manifest))
    os.replace(temporary, path / "manifest.json")


def _rewrite_vectors(parts: Sequence[Path], name: str) -> None:
    """Bring all parts to floats: some of them have edges too long for 16 bits."""
    for part in parts:
        with np.load(part) as arrays:
            content = dict(arrays)
        content[name] = decode_vectors(content[name]).numpy()
        temporary = part.with_suffix(".tmp")
        with open(temporary, "wb") as file:
            np.savez(file, **content)
        os.replace(temporary, part)


def _kinds(parts: Sequence[Path], name: str) -> set[np.dtype]:
    kinds = set()
    for part in parts:
        with np.load(part) as arrays:
            kinds.add(arrays[name].dtype)
    return kinds


def _chunks(sizes: Sequence[int]) -> list[list[int]]:
    chunks: list[list[int]] = []
    filled = PART_ATOMS
    for row, size in enumerate(sizes):
        if filled + size > PART_ATOMS:
            chunks.append([])
            filled = 0
        chunks[-1].append(row)
        filled += size
    return chunks


def _smallest(values: NDArray[Any]) -> NDArray[Any]:
    largest = int(values.max()) if values.size else 0
    kind = np.uint8 if largest < 256 else np.uint16 if largest < 65536 else np.uint32
    return values.astype(kind)


def _starts(counts: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
