"""Progress bars and tables on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from debye.reports.document import TextTable


class ProgressBar:
    """A bar on the error stream."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task = bar, task

    def __call__(self, done: int, total: int, **amounts: float) -> None:
        """Move the bar; amounts that were processed so far, by unit, are shown as rates."""
        seconds = max(self._bar.tasks[self._task].elapsed or 0.0, 1e-3)
        rates = {unit: amount / seconds for unit, amount in amounts.items()}
        text = ", ".join(f"{x:,.{0 if x >= 100 else 1}f} {unit}/s" for unit, x in rates.items())
        self._bar.update(self._task, completed=done, total=total, rates=text)

    def echo(self, line: str) -> None:
        """Print a line on the standard output, above a bar that is visible."""
        (typer.echo if self._bar.disable else self._bar.console.out)(line)


@contextmanager
def progress_bar(title: str, *, has_lines: bool = False) -> Iterator[ProgressBar]:
    """Show a bar until the block ends; if lines are printed meanwhile, on a terminal only, where it vanishes."""
    from rich import progress
    from rich.console import Console

    console, text = Console(stderr=True), progress.TextColumn
    columns = (progress.BarColumn(), progress.MofNCompleteColumn(), progress.TimeRemainingColumn())
    shown = (text("{task.description}"), *columns, text("{task.fields[rates]}"))
    is_hidden = has_lines and not console.is_terminal
    with progress.Progress(*shown, console=console, transient=has_lines, disable=is_hidden) as bar:
        yield ProgressBar(bar, bar.add_task(title, total=None, rates=""))


def show_table(table: TextTable) -> None:
    """Print a table."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        # A pipe has no width of its own: lines as long as the table needs are easier to search.
        console = Console(width=200)
    shown = Table(title=table.title, caption=table.note or None, title_justify="left")
    for column, name in enumerate(table.header):
        shown.add_column(name, justify="left" if column < table.labels else "right")
    for row in table.rows:
        shown.add_row(*row)
    console.print(shown)


def report_failures(failures: list[str]) -> None:
    """Print a line for each failure on the error stream; with any of them exit with code 1."""
    for failure in failures:
        typer.echo(f"failed: {failure}", err=True)
    if failures:
        raise typer.Exit(1)
