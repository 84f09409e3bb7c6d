"""Runs a model within the memory there is: small structures together, large ones in pieces.

Pieces are runs of edges, not regions of space: every layer of the model goes over all edges, a chunk
at a time, before the next layer starts. So nothing is computed twice, global states see the whole
structure, and the result is that of one piece up to the rounding of sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal, TypeVar

import torch

from debye.models.base import AtomModel, ModelOutput

if TYPE_CHECKING:
    from debye.graph.graph import AtomGraph

Precision = Literal["auto", "float32", "bfloat16"]
BATCH_ATOMS = 8_000
"""Structures are joined until they have this many atoms: enough to hide the cost of small calls."""
Item = TypeVar("Item")


def run_model(
    model: AtomModel, graph: AtomGraph, *, device: str = "cpu", precision: Precision = "auto"
) -> ModelOutput:
    """Return what a model says about a graph, without gradients; results stay on the device."""
    kind = torch.device(device).type
    half = precision == "bfloat16" or (precision == "auto" and has_fast_bfloat16(kind))
    with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=half):
        return model(graph.to(device) if kind != "cpu" else graph)


def has_fast_bfloat16(kind: str) -> bool:
    """Whether matrix products in bfloat16 are faster than in float32 on this kind of device."""
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() if kind == "cpu" else False


def batches(items: Iterable[tuple[Item, int]], largest: int = BATCH_ATOMS) -> Iterator[list[Item]]:
    """Group items, each with its size, in order, so that sizes add up to at most ``largest``.

    A larger item comes alone.

    Example:
        >>> list(batches([("a", 3), ("b", 4), ("c", 9), ("d", 1)], largest=8))
        [['a', 'b'], ['c'], ['d']]
    """
    group: list[Item] = []
    total = 0
    for item, size in items:
        if group and total + size > largest:
            yield group
            group, total = [], 0
        group.append(item)
        total += size
    if group:
        yield group
