"""Runs a model without gradients, in chunks that fit into memory.

Chunks are runs of edges, not regions of space: every layer of a model processes all edges, one chunk at a time,
before the next layer starts. Nothing is computed twice, global states cover the whole structure, and the result
equals that of a single chunk up to the rounding of sums.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import torch

from debye.models.base import AtomModel, ModelOutput

if TYPE_CHECKING:
    from debye.graph.graph import AtomGraph

Precision = Literal["auto", "float32", "bfloat16"]
ATOMS_PER_THREAD = 5_000
"""With fewer atoms per thread, one thread less is faster."""


def run_model(
    model: AtomModel, graph: AtomGraph, *, device: str = "cpu", precision: Precision = "auto"
) -> ModelOutput:
    """Return the output of a model for a graph, without gradients; results stay on the device."""
    kind = torch.device(device).type
    half = precision == "bfloat16" or (precision == "auto" and has_fast_bfloat16(kind))
    with (
        torch.inference_mode(),
        torch.autocast(kind, torch.bfloat16, enabled=half),
        _threads_for(graph.n_atoms),
    ):
        return model(graph.to(device) if kind != "cpu" else graph)


def has_fast_bfloat16(kind: str) -> bool:
    """Whether matrix products in bfloat16 are faster than in float32 on this kind of device."""
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() if kind == "cpu" else False


@contextmanager
def _threads_for(n_atoms: int) -> Iterator[None]:
    """Use no more threads than there is work for: idle threads spin and block the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(before, n_atoms // ATOMS_PER_THREAD)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
