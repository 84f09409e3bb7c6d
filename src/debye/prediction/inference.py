"""Runs a model within the memory there is.

Pieces are runs of edges, not regions of space: every layer of the model goes over all edges, a chunk
at a time, before the next layer starts. So nothing is computed twice, global states see the whole
structure, and the result is that of one piece up to the rounding of sums.
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
"""Fewer atoms than this are done sooner by one thread less."""


def run_model(
    model: AtomModel, graph: AtomGraph, *, device: str = "cpu", precision: Precision = "auto"
) -> ModelOutput:
    """Return what a model says about a graph, without gradients; results stay on the device."""
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
    """Use no more threads than there is work for: idle ones spin, and take the cores from others."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(before, n_atoms // ATOMS_PER_THREAD)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
