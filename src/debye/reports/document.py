"""One document of facts, tables and figures, written as Markdown, HTML, CSV, Parquet and JSON."""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from debye.files import write_text
from debye.scores.tables import to_json, write_table

MISSING = "–"
FIGURES = "figures"
"""Folder of the pictures of a document."""
Cells = Sequence[tuple[str, str, str]]
"""Columns of a table: heading, column of the data, and how a cell is written, see :func:`cell`."""


@dataclass(frozen=True, slots=True)
class TextTable:
    """A title, a header and rows of text; the first ``labels`` columns are names, the others numbers."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    labels: int = 1
    note: str = ""

    @classmethod
    def of(
        cls, title: str, data: pd.DataFrame, columns: Cells, labels: int = 1, note: str = ""
    ) -> TextTable:
        """Make the table from rows of data."""
        records = data.to_dict("records")
        rows = [tuple(cell(row, name, form) for _, name, form in columns) for row in records]
        return cls(title, tuple(heading for heading, *_ in columns), tuple(rows), labels, note)

    def markdown(self, level: int = 2) -> str:
        """Write as GitHub-flavored Markdown, below a heading of some level."""
        align = ["---" if column < self.labels else "---:" for column in range(len(self.header))]
        lines = [f"{'#' * level} {self.title}", ""]
        for row in (self.header, tuple(align), *self.rows):
            # A line break would end the table.
            cells = [" ".join(text.splitlines()).replace("|", "\\|") for text in row]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join([*lines, "", self.note, ""] if self.note else [*lines, ""])


def cell(row: Mapping[Any, Any], name: str, form: str) -> str:
    """Write one cell of a table.

    Args:
        name: Of the column; of an interval without ``_low`` and ``_high``.
        form: Empty for text; ``,`` for a count; ``3`` for a number with three decimals, ``+3`` with its sign,
            ``~3`` for an interval.

    Example:
        >>> row = {"n": 1200, "r": 0.71234, "r_low": 0.7, "r_high": 0.75}
        >>> cell(row, "n", ","), cell(row, "r", "+2"), cell(row, "r", "~2")
        ('1,200', '+0.71', '0.70 to 0.75')
    """
    if form.startswith("~"):
        return span(row.get(f"{name}_low", np.nan), row.get(f"{name}_high", np.nan), int(form[1:]))
    value = row[name]
    if not form:
        return str(value)
    if form == ",":
        return MISSING if pd.isna(value) else f"{int(value):,}"
    return signed(value, int(form[1:])) if form.startswith("+") else number(value, int(form))


def number(value: float, digits: int = 3) -> str:
    """Format a number, or a dash for NaN.

    Example:
        >>> number(0.71234), number(float("nan")), number(12.345, 1)
        ('0.712', '–', '12.3')
    """
    return f"{value:.{digits}f}" if np.isfinite(value) else MISSING


def signed(value: float, digits: int = 3) -> str:
    """Format a difference with its sign.

    Example:
        >>> signed(0.25), signed(-0.1, 1), signed(float("nan"))
        ('+0.250', '-0.1', '–')
    """
    return f"{'+' if value > 0 else ''}{number(value, digits)}"


def span(low: float, high: float, digits: int = 3) -> str:
    """Format an interval, or a dash if it is not defined."""
    return f"{low:.{digits}f} to {high:.{digits}f}" if np.isfinite(low) else MISSING


def counted(count: int, noun: str, plural: str = "") -> str:
    """Write a count with its noun.

    Example:
        >>> counted(1, "run"), counted(2, "entry", "entries"), counted(1200, "atom")
        ('1 run', '2 entries', '1,200 atoms')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def in_unit(name: str, unit: str) -> str:
    """Write a quantity with its unit as a heading: ``MAE / Å²``."""
    return f"{name} / {unit}" if unit else name


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure of a document."""

    name: str
    """Stem of the file."""
    alt: str
    """What it shows, in words."""
    content: bytes
    """PNG."""

    @property
    def data(self) -> str:
        """The figure as a data URL."""
        return "data:image/png;base64," + base64.b64encode(self.content).decode()


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with lines, figures, tables, and tables that only some readers want.

    Without a title it has tables only, and these have headings of the level of a section.
    """

    title: str = ""
    lines: tuple[str, ...] = ()
    """Items of a list."""
    pictures: tuple[Picture, ...] = ()
    tables: tuple[TextTable, ...] = ()
    details: tuple[TextTable, ...] = ()

    @property
    def anchor(self) -> str:
        """Return its name in links.

        Example:
            >>> Section("CC of each structure, kinase").anchor, Section("MAE / Å²").anchor
            ('cc-of-each-structure-kinase', 'mae-a2')
        """
        plain = unicodedata.normalize("NFKD", self.title).encode("ascii", "ignore").decode().lower()
        return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")

    def markdown(self) -> list[str]:
        """Return its lines of Markdown."""
        lines = [f"## {self.title}", ""] if self.title else []
        for picture in self.pictures:
            lines += [f"![{picture.alt}]({FIGURES}/{picture.name}.png)", ""]
        if self.lines:
            lines += [*(f"- {line}" for line in self.lines), ""]
        level = 3 if self.title else 2
        return lines + [table.markdown(level) for table in (*self.tables, *self.details)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A report: what it was made from, its sections, and the data behind them."""

    title: str
    facts: Mapping[str, str]
    """What is needed to repeat it; text between backticks is set in a fixed width."""
    sections: Sequence[Section]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """Data by file name, ``.csv`` or ``.parquet``."""
    record: Mapping[str, Any] | None = None
    """Content of the JSON file; None: no such file."""
    stem: str = "report"
    """Of the other files."""
    has_page: bool = False
    """Write an HTML page that needs no other file, and the figures."""

    def markdown(self) -> str:
        """Return it as Markdown."""
        lines = [f"# {self.title}", "", *(f"- {name}: {text}" for name, text in self.facts.items())]
        lines += ["", *(line for section in self.sections for line in section.markdown())]
        return "\n".join(lines)

    def html(self) -> str:
        """Return it as one HTML page that needs nothing else."""
        environment = Environment(
            loader=PackageLoader("debye.reports", "."),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["code"] = _fixed_width
        return environment.get_template("document.html.jinja").render(document=self)

    def write(self, folder: Path) -> list[Path]:
        """Write all files into a folder, which is made, and return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        texts = {f"{self.stem}.md": self.markdown()}
        if self.has_page:
            texts[f"{self.stem}.html"] = self.html()
            (folder / FIGURES).mkdir(exist_ok=True)
            for picture in [picture for each in self.sections for picture in each.pictures]:
                (folder / FIGURES / f"{picture.name}.png").write_bytes(picture.content)
        if self.record is not None:
            texts[f"{self.stem}.json"] = to_json(self.record)
        for name, text in texts.items():
            write_text(folder / name, text)
        for name, table in self.tables.items():
            write_table(folder / name, table)
        return [folder / name for name in (*texts, *self.tables)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where the numbers of an evaluation come from."""

    version: str
    """Of debye."""
    data: str
    """The store."""
    digest: str
    """Of the store's content."""
    split: str
    command: str
    """The command line that repeats the report."""
    settings: dict[str, str]
    """Anything else that the numbers depend on."""

    def facts(self, bootstrap: object) -> dict[str, str]:
        """Return the facts of a document."""
        return {
            "data": f"{self.data}, digest {self.digest}",
            "debye": self.version,
            "command": f"`{self.command}`",
            **self.settings,
            "bootstrap": str(bootstrap),
        }


def _fixed_width(text: str) -> Markup:
    """Set text between backticks in a fixed-width font; all else is escaped."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else Markup.escape(part)
        for number, part in enumerate(parts)
    )
