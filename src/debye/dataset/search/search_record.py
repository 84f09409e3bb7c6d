"""Recipe and date of a search, handed on from its list to the mirror's index and to the store: for updates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_record(path: Path) -> dict[str, Any] | None:
    """Return ``recipe`` and ``date`` of the search that made a list; None where no record lies beside it."""
    try:
        content = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return {"recipe": dict(content["recipe"]), "date": content["date"][:10]}
    except (OSError, ValueError, TypeError, KeyError):
        return None  # lists are often written by hand, and a file of that name may be anything


def copy_record(path: Path, index: Path) -> None:
    """Write the record of a list beside an index that is made of it, in the place of any other list's."""
    record, target = read_record(path), index.with_suffix(".json")
    if record is not None:
        temporary = target.with_name(f".{target.name}.part")
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        temporary.replace(target)
    elif read_record(index) is not None:
        target.unlink()
