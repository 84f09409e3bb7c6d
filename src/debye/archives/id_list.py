"""Lists of entries: a CSV file with a column ``id``, or a text file with an identifier a line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from debye.errors import ConfigError


def read_ids(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a list, each with at least ``id``; only one row is in memory at a time.

    In a text file, blank lines and what follows a ``#`` are left out, and several identifiers may share a line,
    separated by blanks or commas, as web sites copy them.

    Raises:
        ConfigError: The file cannot be read, or is a CSV file without a column ``id``.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            if path.suffix.lower() == ".csv":
                reader = csv.DictReader(file)
                if "id" not in (reader.fieldnames or ()):
                    raise ConfigError(
                        str(path),
                        problem=f"has the columns {', '.join(reader.fieldnames or ('none',))}",
                        remedy="A list in CSV needs a column id; plain lists end in .txt",
                    )
                for row in reader:
                    if (row["id"] or "").strip():
                        yield {name: (text or "").strip() for name, text in row.items() if name}
            else:
                for line in file:
                    for name in line.split("#")[0].replace(",", " ").split():
                        yield {"id": name}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(
            str(path), problem=f"cannot be read ({error})", remedy="Give a list of identifiers"
        ) from error
