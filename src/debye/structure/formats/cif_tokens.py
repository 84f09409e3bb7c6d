"""CIF text → the tables of its first data block with atoms, and the byte offsets of their values.

Reader and writer of new B-factors share one parse. Only tables that are needed are cut into values: with numpy
if the values contain no blanks, else token by token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from debye.errors import FormatError
from debye.structure.formats.columns import fixed_numbers, numbers_from, with_line_feeds

_TOKEN = re.compile(
    rb"""(?m)
    ^;[\s\S]*?\n;                                   # text field: from ; to ; at the start of lines
    | \#[^\r\n]*                                    # comment
    | '(?:[^'\r\n]|'(?=\S))*'(?=\s|\Z)              # a quote inside a quoted value is followed by
    | "(?:[^"\r\n]|"(?=\S))*"(?=\s|\Z)              # something other than a blank
    | \S+""",
    re.VERBOSE,
)
_KEYWORD = re.compile(rb"(?:(?:loop_|stop_)(?=\s|\Z)|data_|save_)", re.IGNORECASE)
_BLANKS = re.compile(rb"(?:\s+|#[^\n]*)*")
_SPACE, _NEWLINE, _UNDERSCORE = ord(" "), ord("\n"), ord("_")
_QUOTES, _SEMICOLON, _COMMENT = (ord("'"), ord('"')), ord(";"), ord("#")
_FEW_ROWS = 32
_SMALL = 2_000
"""Bytes of values below which numpy does not pay."""
_LONGEST_TAG = 200

_Offsets = tuple[NDArray[np.int64], NDArray[np.int64]]
"""First byte of each value, and the byte after its last one."""


@dataclass(frozen=True, slots=True, eq=False)
class CifColumn:
    """One column of a table, by the offsets of its values."""

    content: NDArray[np.uint8]
    """The whole text."""
    starts: NDArray[np.int64]
    """(rows,) first byte of each value."""
    ends: NDArray[np.int64]
    """(rows,) byte after the last one of each value."""

    def __len__(self) -> int:
        return len(self.starts)

    def texts(self) -> NDArray[np.str_]:
        """Return texts without quotes, ``""`` for ``.`` and ``?``."""
        first = self.content[self.starts]
        if len(self) < _FEW_ROWS or (first == _SEMICOLON).any():
            return self._texts_one_by_one()
        table = self._characters(first, right_aligned=False, fill=0)
        width = len(table)
        values = np.ascontiguousarray(table.T, np.uint32).view(f"U{width}").reshape(-1)
        quoted = (first == _QUOTES[0]) | (first == _QUOTES[1])
        values[quoted] = [value[1:-1] for value in values[quoted].tolist()]
        absent = (first == ord("?")) | (first == ord("."))
        values[absent & (self.ends - self.starts == 1)] = ""
        return values

    def numbers(self, absent: float = np.nan) -> NDArray[np.float64]:
        """Return numbers, with the given value for ``.``, ``?`` and anything but a number."""
        if len(self) < _FEW_ROWS:
            return numbers_from(self.texts(), absent)
        field = self._characters(self.content[self.starts], right_aligned=True, fill=_SPACE)
        first = field[:, 0].tobytes()
        places = len(first) - 1 - first.rfind(b".") if b"." in first else 0
        if len(field) <= 9:
            odd: list[str] = []
            values = fixed_numbers(field, places, lambda text: odd.append(text) or np.nan)
            if not odd:
                return values
        # Digits vary from row to row, or values are absent.
        padded = np.full((len(self), len(field) + 1), _SPACE, np.uint8)
        padded[:, :-1] = field.T
        text = padded.tobytes()
        if text.isascii() and not text.translate(None, b"0123456789+-.eE \n"):
            with suppress(ValueError):  # of a lonely point
                return np.array(text.split(), "S").astype(np.float64)
        return numbers_from(self.texts(), absent)

    def _texts_one_by_one(self) -> NDArray[np.str_]:
        text = self.content.data
        ranges = zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        return np.array([_value(bytes(text[start:end])) for start, end in ranges], np.str_)

    def _characters(
        self, first: NDArray[np.uint8], *, right_aligned: bool, fill: int
    ) -> NDArray[np.uint8]:
        """(characters, rows) of the values, filled up to equal width."""
        width = int((self.ends - self.starts).max())
        if width == 1:
            return first[None]
        origin = self.ends - width if right_aligned else self.starts
        where = origin + np.arange(width)[:, None]
        inside = where >= self.starts if right_aligned else where < self.ends
        return np.where(inside, np.take(self.content, where, mode="clip"), np.uint8(fill))


@dataclass(frozen=True, slots=True, eq=False)
class CifTable:
    """One category: a loop, or single items, which make one row."""

    columns: dict[str, CifColumn]
    """By name in lower case without the category; if a tag occurs twice, its first column."""
    start: int
    """Byte offset of ``loop_`` or of the first tag."""
    header_end: int
    """Byte offset after the last tag of a loop."""
    end: int
    """Byte offset after the last value."""
    is_loop: bool

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values()), ()))

    def with_only(self, names: Iterable[str]) -> CifTable:
        """Return a table with only some of the columns, in little memory."""
        columns = {
            name: CifColumn(column.content, column.starts.copy(), column.ends.copy())
            for name, column in self.columns.items()
            if name in set(names)
        }
        return replace(self, columns=columns)


def numbers_together(columns: Sequence[CifColumn]) -> list[NDArray[np.float64]]:
    """Return the numbers of several columns of one table, NaN where absent; small tables gain from it."""
    starts = np.concatenate([column.starts for column in columns])
    ends = np.concatenate([column.ends for column in columns])
    return np.split(CifColumn(columns[0].content, starts, ends).numbers(), len(columns))


class CifText:
    """CIF text and where its tags and keywords are; its tables are those of the first block with atoms.

    Example:
        >>> text = b"data_x\\nloop_\\n_a.id\\n_a.b\\n1 C\\n2 'N'\\n#\\n_atom_site.id 1\\n"
        >>> table = CifText(text, "x.cif").table("a")
        >>> table.columns["b"].texts().tolist(), table.columns["id"].numbers().tolist()
        (['C', 'N'], [1.0, 2.0])
    """

    def __init__(self, data: bytes, source: str) -> None:
        self.source = source
        self._data = with_line_feeds(data)
        self._content = np.frombuffer(self._data, np.uint8)
        self._marks = _marks(self._data, self._content)
        words = [self._data[mark : mark + _LONGEST_TAG].split(None, 1)[0] for mark in self._marks]
        self._words = [word.lower() for word in words]
        self._marks.append(len(data))
        self._rows = self._block_rows()
        # If a tag occurs twice, the first one counts.
        self._row_of = {self._words[row]: row for row in reversed(self._rows)}
        self._first = {word.partition(b".")[0]: row for word, row in self._row_of.items()}
        self._loops: dict[int, CifTable] = {}

    def _block_rows(self) -> range:
        """Return the rows of the marks of the first block with atoms, or else of the first block."""
        starts = [row for row, word in enumerate(self._words) if word.startswith(b"data_")]
        blocks = [range(a, b) for a, b in pairwise([*starts, len(self._words)])] or [range(0)]
        atoms = [row for row, word in enumerate(self._words) if word.startswith(b"_atom_site.")]
        return next((block for block in blocks if any(row in block for row in atoms)), blocks[0])

    def has_category(self, start: str) -> bool:
        """Return whether the name of any category of the block begins so, in lower case."""
        return any(name.startswith(f"_{start}".encode()) for name in self._first)

    def table(self, category: str) -> CifTable | None:
        """Return a table by its name in lower case, or None; :class:`FormatError` if it is damaged."""
        prefix = f"_{category}.".encode()
        first = self._first.get(prefix[:-1])
        if first is None:
            return None
        if self._words[first - 1] == b"loop_":
            return self._loop(first, prefix)
        rows = [row for row in self._rows if self._words[row].startswith(prefix)]
        columns: dict[str, CifColumn] = {}
        for row in rows:
            columns.setdefault(self._name(row), self._item(row))
        end = max(int(column.ends[0]) for column in columns.values())
        return CifTable(columns, self._marks[first], self._end(first), end, is_loop=False)

    def column(self, category: str, item: str) -> CifColumn | None:
        """Return one column of a small table; names in lower case, errors as for :meth:`table`."""
        prefix = f"_{category}.".encode()
        row = self._row_of.get(prefix + item.encode())
        if row is None:
            return None
        first = row
        while self._words[first - 1].startswith(prefix):
            first -= 1
        if self._words[first - 1] != b"loop_":
            return self._item(row)
        if first not in self._loops:
            self._loops[first] = self._loop(first, prefix)
        return self._loops[first].columns.get(item) or self._item(row)

    def forget(self) -> None:
        """Drop the tables that :meth:`column` keeps."""
        self._loops.clear()

    def _loop(self, first: int, prefix: bytes) -> CifTable:
        tags = [first]
        while self._is_next_tag(tags[-1], prefix):
            tags.append(tags[-1] + 1)
        header_end = self._end(tags[-1])
        starts, ends = self._values(header_end, self._marks[tags[-1] + 1], prefix)
        if not len(starts) or len(starts) % len(tags):
            name = prefix.decode("latin-1").rstrip(".")
            problem = f"{name} has {len(starts)} values in {len(tags)} columns: incomplete rows"
            raise self._damaged(problem)
        end = int(ends[-1])
        starts, ends = (offsets.reshape(-1, len(tags)).T for offsets in (starts, ends))
        columns: dict[str, CifColumn] = {}
        for column, row in enumerate(tags):
            found = CifColumn(self._content, starts[column], ends[column])
            columns.setdefault(self._name(row), found)
        return CifTable(columns, self._marks[first - 1], header_end, end, is_loop=True)

    def _item(self, row: int) -> CifColumn:
        """Return the only value of a tag outside of a loop."""
        word = self._words[row]
        starts, ends = self._values(self._end(row), self._marks[row + 1], word)
        if len(starts) != 1:
            name = word.decode("latin-1")
            raise self._damaged(f"{name} has {len(starts)} values outside of a loop")
        return CifColumn(self._content, starts, ends)

    def _is_next_tag(self, row: int, prefix: bytes) -> bool:
        """Return whether a tag of the same category follows another one at once."""
        if row + 1 not in self._rows or not self._words[row + 1].startswith(prefix):
            return False
        blanks = _BLANKS.match(self._data, self._end(row))
        return blanks is not None and blanks.end() >= self._marks[row + 1]

    def _end(self, row: int) -> int:
        return self._marks[row] + len(self._words[row])

    def _name(self, row: int) -> str:
        return self._words[row].partition(b".")[2].decode("latin-1")

    def _values(self, start: int, stop: int, name: bytes) -> _Offsets:
        """Return the offsets of the values between two marks."""
        found = self._plain_values(start, stop) if stop - start > _SMALL else None
        if found is not None:
            return found
        offsets = []
        for match in _TOKEN.finditer(self._data, start, stop):
            token = match[0]
            if token.startswith(b"#"):
                continue
            if token[:1] in b"'\"" and (len(token) < 2 or token[-1] != token[0]):
                shown, of = token[:40].decode("latin-1"), name.decode("latin-1").rstrip(".")
                raise self._damaged(f"a value of {of} has no closing quote: {shown}")
            offsets.append(match.span())
        starts, ends = np.array(offsets, np.int64).reshape(-1, 2).T
        return starts, ends

    def _plain_values(self, start: int, stop: int) -> _Offsets | None:
        """Cut text at its blanks, or return None where that might be wrong."""
        buffer = self._content[start:stop]
        is_text = np.zeros(len(buffer) + 2, bool)
        np.greater(buffer, _SPACE, out=is_text[1:-1])
        changes = np.flatnonzero(is_text[1:] != is_text[:-1])
        starts, ends = changes[::2], changes[1::2]
        first = buffer[starts]
        comments = np.flatnonzero(first == _COMMENT)
        if len(comments):
            blanks = _BLANKS.match(self._data, start + int(starts[comments[0]]), stop)
            if blanks is None or blanks.end() < stop:
                return None  # values follow
            starts, ends = starts[: comments[0]], ends[: comments[0]]
            first = first[: comments[0]]
        quoted = np.flatnonzero((first == _QUOTES[0]) | (first == _QUOTES[1]))
        closed = buffer[ends[quoted] - 1] == first[quoted]
        if not (closed & (ends[quoted] - starts[quoted] >= 2)).all():
            return None
        semicolons = starts[first == _SEMICOLON]
        if (buffer[np.maximum(semicolons - 1, 0)] == _NEWLINE).any():
            return None
        return starts + start, ends + start

    def _damaged(self, problem: str) -> FormatError:
        remedy = "Repair the category, or download the file again"
        return FormatError(self.source, f"damaged mmCIF text: {problem}", remedy)


def _marks(data: bytes, content: NDArray[np.uint8]) -> list[int]:
    """Return the offsets of all tags and keywords: those outside of text fields, quotes and comments."""
    underscores = np.flatnonzero(content == _UNDERSCORE)
    tags = underscores[_follows(content, underscores, line_end=False)]
    words = underscores[underscores >= 4] - 4
    words = words[_follows(content, words, line_end=False)]
    words = words[[_KEYWORD.match(data, start) is not None for start in words.tolist()]]
    found = np.sort(np.concatenate([tags, words]))
    # A text field begins and ends with a semicolon at the start of a line; nothing else has one there.
    semicolons = np.flatnonzero(content == _SEMICOLON)
    semicolons = semicolons[_follows(content, semicolons, line_end=True)]
    found = found[np.searchsorted(semicolons, found) % 2 == 0]
    starts_line = _follows(content, found, line_end=True)
    marks = found[starts_line].tolist()
    # Within a line they may also be part of a quoted value or comment.
    lines = {data.rfind(b"\n", 0, start) + 1 for start in found[~starts_line].tolist()}
    for line in lines:
        end = data.find(b"\n", line)
        start = line + data.startswith(b";", line)
        for match in _TOKEN.finditer(data, start, len(data) if end < 0 else end):
            is_mark = match[0].startswith(b"_") or _KEYWORD.match(match[0])
            if is_mark and match.start() != line:
                marks.append(match.start())
    return sorted(marks) if lines else marks


def _follows(
    content: NDArray[np.uint8], offset: NDArray[np.intp], *, line_end: bool
) -> NDArray[np.bool_]:
    """Return which bytes follow the end of a line, or any blank, or are the first."""
    before = content[offset - 1]
    return (offset == 0) | ((before == _NEWLINE) if line_end else (before <= _SPACE))


def _value(token: bytes) -> str:
    """Return the text of one value, empty for ``.`` and ``?``."""
    if token in (b".", b"?"):
        return ""
    if token.startswith(b";"):
        token = token[1:].removesuffix(b";").removesuffix(b"\n").removesuffix(b"\r")
    elif token[:1] in b"'\"":
        token = token[1:-1]
    try:
        return token.decode()
    except UnicodeDecodeError:
        return token.decode("latin-1")
