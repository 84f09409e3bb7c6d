"""Where the values of one table stand in the text of a CIF file, as byte offsets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from debye.errors import FormatError

TOKEN = re.compile(
    rb"""(?m)
    ^;[\s\S]*?\n;                                   # text field: from ; to ; at the start of lines
    | \#[^\r\n]*                                    # comment
    | '(?:[^'\r\n]|'(?=\S))*'(?=\s|\Z)              # a quote inside a quoted value is followed by
    | "(?:[^"\r\n]|"(?=\S))*"(?=\s|\Z)              # something that is no blank
    | \S+""",
    re.VERBOSE,
)
RESERVED = re.compile(rb"(?i)(?:loop_|stop_|global_|data_\S*|save_\S*)\Z")
LINE_AFTER_ROWS = re.compile(rb"(?i)\n[ \t]*(?:[#_;]|loop_|stop_|global_|data_|save_)")
NO_VALUE_FOLLOWS = re.compile(rb"(?i)(?:\s*#[^\n]*(?:\n|\Z))*\s*(?:_|loop_|data_|save_|\Z)")
RESERVED_WORDS = (b"loop_", b"stop_", b"global_", b"data_", b"save_")


@dataclass(frozen=True, slots=True)
class Table:
    """One category: a loop, or single items that count as a loop of one row."""

    tags: list[bytes]
    """Lower case, with the category."""
    starts: NDArray[np.int64]
    """(rows, columns) byte offset of each value."""
    ends: NDArray[np.int64]
    """(rows, columns) byte offset after each value."""
    start: int
    """Byte offset of ``loop_`` or of the first tag."""
    header_end: int
    """Byte offset after the last tag of a loop."""
    end: int
    """Byte offset after the last value."""
    is_loop: bool

    def moved(self, offset: int) -> Table:
        """Return the table with every byte offset increased."""
        return Table(
            tags=self.tags,
            starts=self.starts + offset,
            ends=self.ends + offset,
            start=self.start + offset,
            header_end=self.header_end + offset,
            end=self.end + offset,
            is_loop=self.is_loop,
        )


def find_table(data: bytes, category: bytes, source: str) -> Table | None:
    """Find the first table of a category, given as e.g. ``b"_atom_site."``.

    The usual layout (``loop_``, one tag a line, values without blanks inside) takes a vectorised
    path; anything else that CIF allows is read token by token.

    Args:
        data: CIF text.
        category: Lower-case category with underscore and dot.
        source: Name for error messages.
    """
    match = _loop_start(data, category)
    table = _fast_loop(data, category, match.start(), match.end()) if match else None
    if table is not None or category not in data.lower():
        return table
    return _slow_table(data, category, source)


def find_table_near(data: bytes, category: bytes, source: str, *, near: Table) -> Table | None:
    """Find a table of a category in the same data block as another table."""
    first, last = near.start, near.end
    while first > 0:
        first = data.rfind(b"\ndata_", 0, first) + 1
        if _is_outside_text(data, first):
            break
    while (last := data.find(b"\ndata_", last)) >= 0:
        if _is_outside_text(data, last + 1):
            break
        last += 1
    table = find_table(data[first : None if last < 0 else last], category, source)
    return table and table.moved(first)


def _loop_start(data: bytes, category: bytes) -> re.Match[bytes] | None:
    """The first ``loop_`` of the category that is no part of a text field."""
    pattern = re.compile(rb"(?im)^[ \t]*loop_(?=\s+" + re.escape(category) + rb")")
    for match in pattern.finditer(data):
        if _is_outside_text(data, match.start()):
            return match
    return None


def _is_outside_text(data: bytes, offset: int) -> bool:
    """Whether a line that starts at ``offset`` is outside every text field.

    Text fields begin and end with a semicolon at the start of a line, and nothing else does.
    """
    return (data.count(b"\n;", 0, offset) + data.startswith(b";")) % 2 == 0


def _fast_loop(data: bytes, category: bytes, loop: int, tags_from: int) -> Table | None:
    """Read a loop whose values are plain words, or None if it is not that simple."""
    tag = re.compile(rb"\s+(" + re.escape(category) + rb"\S+)", re.IGNORECASE)
    tags, header_end = [], tags_from
    while match := tag.match(data, header_end):
        tags.append(match[1].lower())
        header_end = match.end()
    after = LINE_AFTER_ROWS.search(data, header_end)
    stop = after.start() if after else len(data)
    if after and not NO_VALUE_FOLLOWS.match(data, stop):
        return None
    lower = data[header_end:stop].lower()
    if any(word in lower for word in RESERVED_WORDS):
        return None
    del lower
    buffer = np.frombuffer(data, np.uint8, count=stop - header_end, offset=header_end)
    is_text = np.zeros(len(buffer) + 2, bool)
    np.greater(buffer, ord(" "), out=is_text[1:-1])
    changes = np.flatnonzero(is_text[1:] != is_text[:-1])
    starts, ends = changes[::2], changes[1::2]
    if not tags or not len(starts) or len(starts) % len(tags):
        return None
    head, tail = buffer[starts], buffer[ends - 1]
    is_quote = (head == ord("'")) | (head == ord('"'))
    if (is_quote & ((head != tail) | (ends - starts < 2))).any() or np.isin(head, [35, 95]).any():
        return None
    shape = (-1, len(tags))
    return Table(
        tags=tags,
        starts=starts.reshape(shape) + header_end,
        ends=ends.reshape(shape) + header_end,
        start=loop,
        header_end=header_end,
        end=int(ends[-1]) + header_end,
        is_loop=True,
    )


def _tokens(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Start, end and text of every token that is no comment."""
    for match in TOKEN.finditer(data):
        text = match[0]
        if not text.startswith(b"#"):
            yield match.start(), match.end(), text


def _slow_table(data: bytes, category: bytes, source: str) -> Table | None:
    """Read a table token by token: any layout, quotes, text fields, comments between values."""
    previous = (0, 0, b"")
    tokens = _tokens(data)
    for token in tokens:
        if token[2].lower().startswith(category):
            break
        previous = token
    else:
        return None
    is_loop = previous[2].lower() == b"loop_"
    tags, values, header_end = [token[2].lower()], [], token[1]
    for start, end, text in tokens:
        is_tag = text.startswith(b"_")
        if is_tag and (not is_loop or not values) and text.lower().startswith(category):
            tags.append(text.lower())
            header_end = end
        elif is_tag or RESERVED.match(text):
            break
        else:
            values.append((start, end))
    rows = 1 if not is_loop else len(values) // len(tags)
    if not values or rows * len(tags) != len(values):
        name = category.rstrip(b".").decode()
        raise FormatError(
            source,
            problem=f"{name} has {len(values)} values in {len(tags)} columns: incomplete rows",
            remedy="The file is damaged; get it again",
        )
    offsets = np.array(values, np.int64).reshape(rows, len(tags), 2)
    return Table(
        tags=tags,
        starts=offsets[..., 0],
        ends=offsets[..., 1],
        start=previous[0] if is_loop else token[0],
        header_end=header_end,
        end=values[-1][1],
        is_loop=is_loop,
    )
