"""``debye models``: what can be trained and what comes trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from debye.models.catalog import ModelCard


def models() -> None:
    """List the released weights and the models that can be trained."""
    from debye.models.catalog import CATALOG
    from debye.models.checkpoint import read_header, released_checkpoints

    released = {name: read_header(path) for name, path in released_checkpoints().items()}
    width = max(map(len, [*CATALOG, *released]))
    typer.echo("Released weights (debye predict --model NAME):")
    for name, header in released.items():
        typer.echo(
            f"  {name:<{width}}  {_describe(header.model, ', '.join(header.targets), header.version)}"
        )
    if not released:
        typer.echo("  none in this installation: train one with `debye train`")
    typer.echo('Models (`model = "NAME"` in a recipe of debye train):')
    for card in CATALOG.values():
        typer.echo(f"  {card.name:<{width}}  {card.summary} [{_kind(card)}]")


def _kind(card: ModelCard) -> str:
    """Say what a model makes of edges, or that it is a baseline, and what it needs."""
    needs = "" if card.extra is None else f", extra {card.extra}"
    if not card.learned:
        return f"baseline{needs}"
    if card.vectors:
        return f"edge features and vectors{needs}"
    return f"{'edge features' if card.edge_features else 'no edge features'}{needs}"


def _describe(model: str, target: str, version: str) -> str:
    return f"{model} trained on {target} with debye {version}"
