r"""What a rigid body adds to the displacement of its parts: a quadratic function of position.

If a body shakes as a whole (translation, libration and screw, TLS), then

.. math:: B(\mathbf{y}) = t + \mathbf{v} \cdot \mathbf{y} + \mathbf{y}^T \mathbf{A} \mathbf{y},

with a scalar, a vector and a symmetric matrix that belong to the body. Here they are pooled from learned
weights :math:`s_j` of the body's parts, and so turn with it:

.. math:: t = \langle s \rangle, \quad \mathbf{v} = \langle s \mathbf{y} \rangle, \quad
    \mathbf{A} = \langle s \mathbf{y} \mathbf{y}^T \rangle.

Reference: Schomaker & Trueblood (1968), Acta Cryst. B24, 63-76, doi:10.1107/S0567740868001718.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from debye.models.layers.connectivity import Grouping

BODY_SIZE = 20.0
"""Å. Positions are divided by this, so that those of a usual domain are near unit scale."""
FARTHEST = 3.0
"""Body sizes. Parts farther from the center count as being there: the terms grow with the fourth power."""
LARGEST_STATE = 8.0
"""Root mean square of a part's features that counts; terms are fed back into features, which usually have 1 to 3."""


class RigidBody(nn.Module):
    """Describes each part of a body by the terms of the quadratic function at its position."""

    def __init__(self, width: int, terms: int) -> None:
        super().__init__()
        self.terms = terms
        self.weights = nn.Linear(width, terms)

    @property
    def outputs(self) -> int:
        """Number of features of each part: constant, linear and quadratic term of each weight."""
        return 3 * self.terms

    def forward(
        self,
        state: Float[Tensor, "parts width"],
        position: Float[Tensor, "parts 3"],
        bodies: Grouping,
    ) -> Float[Tensor, "parts outputs"]:
        """Evaluate the terms; ``position`` (Å) is relative to the center of the body."""
        weight = self.weights(_limited(state, LARGEST_STATE * state.shape[1] ** 0.5)).float()
        place = _limited((position / BODY_SIZE).float(), FARTHEST)
        with torch.autocast(state.device.type, enabled=False):
            square = (place[:, :, None] * place[:, None, :]).flatten(1)
            basis = torch.cat([torch.ones_like(place[:, :1]), place, square], dim=1)
            moments = (weight[:, :, None] * basis[:, None, :]).flatten(1)
            pooled = bodies.gather(bodies.mean(moments)).view(
                len(place), self.terms, basis.shape[1]
            )
            terms = pooled * basis[:, None, :]
            parts = [terms[..., 0], terms[..., 1:4].sum(-1), terms[..., 4:].sum(-1)]
        return torch.cat(parts, dim=1).to(state.dtype)


def _limited(
    vectors: Float[Tensor, "parts components"], longest: float
) -> Float[Tensor, "parts components"]:
    """Shorten the vectors that are longer than a limit to it."""
    length = vectors.float().norm(dim=1, keepdim=True)
    return vectors * (longest / length.clamp(min=longest)).to(vectors.dtype)
