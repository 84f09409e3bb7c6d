"""Graphs of a split, built once and memory-mapped: training reads each of them many times.

Graphs are built from their configuration; :meth:`AtomGraph.without_crystal` hides a crystal later. Layout::

    <cache>/<key>/manifest.json            store, config, version, entries
    <cache>/<key>/<column>.npy             the graphs of the split end to end

The key is a digest of the store's content, the split, the graph configuration and the code that builds such graphs.
Edge vectors are stored as 16-bit multiples of 0.001 Å, the resolution of structure files: the error is at most
0.0005 Å for edges to symmetry mates, and rounding for the others. The unit is larger in a graph with an edge
longer than 32.767 Å.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import DTypeLike, NDArray

from debye.dataset.store.resumable_map import (
    Arrays,
    Progress,
    concatenate,
    open_flat,
    pack,
    run_parts,
)
from debye.dataset.store.store import Store
from debye.files import write_json
from debye.graph.build import build_graph
from debye.graph.code_digest import code_digest
from debye.graph.config import GraphConfig
from debye.graph.graph import PER_ATOM, PER_STRUCTURE, AtomGraph
from debye.version import library_version

FORMAT = 3
VECTOR_UNIT = 0.001  # Å
LARGEST_WHOLE = 32_767  # of 16 bits
MATE_BIT = 0x80
PART_ATOMS = 60_000
STORED_AS_IS = tuple(name for name in PER_ATOM if name != "structure_index")
COLUMNS = {
    "atoms": (*STORED_AS_IS, "in_degree"),
    "edges": ("sender", "vector", "bond"),
    "residues": ("residue_in_degree",),
    "residue_edges": ("residue_sender", "residue_vector", "residue_bond"),
    "structures": (*PER_STRUCTURE, "vector_unit", "residue_vector_unit"),
}
"""Columns by what one row describes; the manifest has the number of rows of each graph."""


@runtime_checkable
class GraphSource(Protocol):
    """Where the graphs of one split come from: computed anew, or from a cache."""

    def graph(self, row: int) -> AtomGraph:
        """Return the graph of one entry, with its crystal if the configuration has one."""
        ...


class GraphBuilder:
    """Builds the graph of an entry at every call."""

    def __init__(self, store: Store, split: str, config: GraphConfig) -> None:
        self.store = store
        self.split = split
        self.config = config

    def graph(self, row: int) -> AtomGraph:
        """Return the graph of one entry, with its crystal if the configuration has one."""
        bonds = self.store.bonds(self.split, row)
        return build_graph(self.store.structure(self.split, row), self.config, bonds=bonds)


class GraphCache:
    """Reads the graphs of a split from a finished cache. Cheap to send to another process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        manifest = json.loads((path / "manifest.json").read_text())
        self.config = GraphConfig.model_validate(manifest["config"])
        self.source: list[str] = manifest["source"]
        self._columns = {}
        for kind, names in COLUMNS.items():
            starts = np.concatenate([[0], np.cumsum(manifest["counts"][kind], dtype=np.int64)])
            for name in names:
                self._columns[name] = open_flat(path / f"{name}.npy"), starts

    def __reduce__(self) -> tuple[type[GraphCache], tuple[Path]]:
        return type(self), (self.path,)

    def __len__(self) -> int:
        return len(self.source)

    def _read(self, row: int, name: str, dtype: DTypeLike | None = None) -> torch.Tensor:
        flat, starts = self._columns[name]
        return torch.from_numpy(np.array(flat[starts[row] : starts[row + 1]], dtype))

    def graph(self, row: int) -> AtomGraph:
        """Return the graph of one entry, with its crystal if the configuration has one."""
        position = self._read(row, "position")
        whole = ("categories", "residue_index", "chain_index", "entity_kind")
        return AtomGraph(
            source=(self.source[row],),
            config=self.config,
            position=position,
            scalars=self._read(row, "scalars"),
            **{name: self._read(row, name, np.int64) for name in whole},
            structure_index=torch.zeros(len(position), dtype=torch.long),
            **{name: self._read(row, name) for name in PER_STRUCTURE},
            **self._edges(row, ""),
            **self._edges(row, "residue_"),
        )

    def _edges(self, row: int, prefix: str) -> dict[str, torch.Tensor]:
        degree = self._read(row, f"{prefix}in_degree", np.int64)
        receiver = torch.repeat_interleave(torch.arange(len(degree)), degree)
        unit = self._read(row, f"{prefix}vector_unit").item()
        bond = self._read(row, f"{prefix}bond")
        order = bond & (MATE_BIT - 1)
        return {
            f"{prefix}edge_index": torch.stack(
                [self._read(row, f"{prefix}sender", np.int64), receiver]
            ),
            f"{prefix}edge_vector": self._read(row, f"{prefix}vector", np.float32).mul_(unit),
            f"{prefix}edge_bond": order > 0 if prefix else order.long(),
            f"{prefix}edge_mate": bond >= MATE_BIT,
        }


def open_graph_cache(
    store: Store,
    split: str,
    config: GraphConfig,
    *,
    folder: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> GraphCache:
    """Open the graphs of a split; build missing ones first; a build that was killed resumes.

    Args:
        folder: Of the caches; ``graphs`` inside the store by default.
        workers: Processes that build.
        progress: Called with the number of entries done and of all, if graphs are built.

    Raises:
        GraphError: a graph cannot be built.
        StoreError: a process died; what is finished is kept.
    """
    key = cache_key(store, split, config)
    path = (folder or store.path / "graphs") / f"{split}-{key[:16]}"
    if not (path / "manifest.json").exists():
        path.mkdir(parents=True, exist_ok=True)
        # Of processes that train together one builds, the others wait.
        with FileLock(path / "lock"):
            if not (path / "manifest.json").exists():
                _build(path, store, split, config, workers, progress)
    return GraphCache(path)


def find_graph_cache(store: Store, split: str, config: GraphConfig) -> GraphCache | None:
    """Return the finished cache inside a store, or None."""
    path = store.path / "graphs" / f"{split}-{cache_key(store, split, config)[:16]}"
    return GraphCache(path) if (path / "manifest.json").exists() else None


def cache_key(store: Store, split: str, config: GraphConfig) -> str:
    """Return the digest of everything that the graphs of a split depend on."""
    content = [FORMAT, code_digest(config), store.digest, split, config.model_dump(mode="json")]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def graph_part(store: Store, split: str, config: GraphConfig, rows: Sequence[int]) -> Arrays:
    """Build the graphs of some entries and return their arrays end to end, with the counts of each graph."""
    builder = GraphBuilder(store, split, config)
    graphs = [encode_graph(builder.graph(row)) for row in rows]
    joined = {name: np.concatenate([graph[name] for graph in graphs]) for name in graphs[0]}
    counts = {
        f"n_{kind}": np.array([len(graph[names[0]]) for graph in graphs])
        for kind, names in COLUMNS.items()
    }
    return joined | counts


def encode_graph(graph: AtomGraph) -> dict[str, NDArray[Any]]:
    """Return the columns of one graph, integers in the smallest type that fits."""
    columns = {name: getattr(graph, name).numpy() for name in (*STORED_AS_IS, *PER_STRUCTURE)}
    for prefix, nodes in (("", graph.n_atoms), ("residue_", graph.n_residues)):
        sender, receiver = getattr(graph, f"{prefix}edge_index").numpy()
        vector, unit = encode_vectors(getattr(graph, f"{prefix}edge_vector").numpy())
        bond = getattr(graph, f"{prefix}edge_bond").numpy().astype(np.uint8)
        columns |= {
            f"{prefix}in_degree": np.bincount(receiver, minlength=nodes),
            f"{prefix}sender": sender,
            f"{prefix}vector": vector,
            f"{prefix}vector_unit": np.array([unit]),
            f"{prefix}bond": bond | (getattr(graph, f"{prefix}edge_mate").numpy() * MATE_BIT),
        }
    return {name: _smallest(values) for name, values in columns.items()}


def encode_vectors(vector: NDArray[np.float32]) -> tuple[NDArray[np.int16], float]:
    """Return vectors (Å) as 16-bit multiples of a unit, and the unit: 0.001 Å, more if a vector is too long.

    Example:
        >>> stored, unit = encode_vectors(np.array([[1.2345, -0.5, 31.9]], np.float32))
        >>> stored.tolist(), unit
        ([[1234, -500, 31900]], 0.001)
    """
    unit = max(VECTOR_UNIT, float(np.abs(vector).max(initial=0.0)) / LARGEST_WHOLE)
    return np.rint(vector / unit).astype(np.int16), unit


def _smallest(values: NDArray[Any]) -> NDArray[Any]:
    """Return non-negative integers in the smallest type that fits; other values as they are."""
    if values.dtype not in (np.int64, np.int32):
        return values
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))


def _build(
    path: Path,
    store: Store,
    split: str,
    config: GraphConfig,
    workers: int,
    progress: Progress | None,
) -> None:
    """Build all graphs in parts and write the manifest last: a cache with a manifest is complete."""
    entries = store.entries(split)
    chunks = list(pack(((row, e.n_atoms) for row, e in enumerate(entries)), PART_ATOMS))
    parts = run_parts(
        graph_part,
        [(store, split, config, chunk) for chunk in chunks],
        [len(chunk) for chunk in chunks],
        path / "parts",
        workers=workers,
        progress=progress,
    )
    for names in COLUMNS.values():
        for name in names:
            concatenate(parts, name, path / f"{name}.npy")
    counts: dict[str, list[int]] = {kind: [] for kind in COLUMNS}
    for part in parts:
        with np.load(part) as arrays:
            for kind, found in counts.items():
                found += arrays[f"n_{kind}"].tolist()
    manifest = {
        "format": FORMAT,
        "version": library_version(),
        "key": cache_key(store, split, config),
        "store": store.digest,
        "split": split,
        "config": config.model_dump(mode="json"),
        "source": [entry.id for entry in entries],
        "counts": counts,
    }
    write_json(path / "manifest.json", manifest, indent=None)
    shutil.rmtree(path / "parts")
