"""``debye models``: released weights, and models that can be trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from debye.models.catalog import ModelCard


def models() -> None:
    """List the released weights and the models that can be trained."""
    from debye.models.catalog import CATALOG
    from debye.models.checkpoint import read_header, released_checkpoints

    released = released_checkpoints()
    width = max(map(len, [*CATALOG, *released]))
    typer.echo("Released weights (debye predict --model NAME):")
    for name, path in released.items():
        header = read_header(path)
        typer.echo(
            f"  {name:<{width}}  {header.model} trained on {', '.join(header.targets)}, "
            f"{path.stat().st_size / 1e6:.1f} MB, debye {header.version}"
        )
    if not released:
        typer.echo("  none in this installation: train one with `debye train`")
    typer.echo('Models (`model = "NAME"` in a recipe of debye train):')
    for card in CATALOG.values():
        typer.echo(f"  {card.name:<{width}}  {card.summary} [{_kind(card)}]")


def _kind(card: ModelCard) -> str:
    """Return the inputs from edges, or that it is a baseline, and the extra that it needs."""
    kind = "edge features" if card.edge_features else "no edge features"
    kind = "edge features and vectors" if card.vectors else kind
    kind = kind if card.learned else "baseline"
    return kind if card.extra is None else f"{kind}, extra {card.extra}"
