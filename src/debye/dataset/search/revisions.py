"""Which files of a mirror are older than the revision that is wanted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from debye.archives.fetch import HIDDEN
from debye.archives.journal import Journal
from debye.dataset.search.entry_list import make_folder, write_whole

ASKED = "revisions.json"
"""In the mirror's hidden folder: by id, the revision that was asked for, and since when."""


def outdated(revised: Mapping[str, str], mirror: Path) -> set[str]:
    """Return which entries of a mirror are missing or were not downloaded since their revision was asked for first.

    A download does not say which revision it is, but one that came after a search that knew a revision is that
    revision or a later one. So it is noted when each was asked for first, and what a killed run downloaded counts.

    Args:
        revised: Date of the revision, by id in lower case.
        mirror: See :func:`debye.archives.fetch.fetch_list`.
    """
    hidden = mirror / HIDDEN
    make_folder(hidden)
    asked = _read(hidden / ASKED)
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    for name, revision in revised.items():
        if name not in asked or not revision or asked[name][0] != revision:
            asked[name] = [revision, now]
    write_whole(hidden / ASKED, json.dumps(asked))
    found = set()
    with Journal(hidden / "journal.sqlite") as journal:
        for name in revised:
            record = journal.get(name)
            # Without a source the file was there before, whatever it is.
            is_new = record is not None and record.source and record.date >= asked[name][1]
            if record is None or not is_new or not record.is_in(mirror):
                found.add(name)
    return found


def _read(path: Path) -> dict[str, list[str]]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}  # then everything is downloaded again
