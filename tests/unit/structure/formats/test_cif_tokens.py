"""Tables of CIF text, in every layout that the format allows."""

from __future__ import annotations

import pytest

from debye.errors import FormatError
from debye.structure.formats.cif_tokens import CifText

ATOMS = b"\nloop_\n_atom_site.id\n_atom_site.b\n1 20.0\n2 30.0\n"


def column(text: bytes, category: str, item: str) -> list[str] | None:
    found = CifText(text, "x.cif").column(category, item)
    return None if found is None else found.texts().tolist()


@pytest.mark.parametrize(
    "header",
    [
        b"_a.b value\n",
        b"  _A.B   'value' # a comment with _a.b\n",
        b"_a.b\nvalue _c.d 1\n",
        b"_x.y 'it''s _a.b wrong' _a.b value\n",
        b"_x.y\n;text\n_a.b wrong\nloop_\n;\n_a.b value\n",
        b"_x.y\n;text\n; _a.b value\n",
        b"_a.b\n;value\n;\n",
        b"loop_ _a.c _a.b 1 value\n",
        b"loop_\n_a.c # comment\n# loop_\n_a.b\n1\nvalue\n#\n",
        b"_x.loop_y xdata_1\n_a.b value\n_a.b second\n",
    ],
)
@pytest.mark.parametrize("atoms_first", [False, True])
def test_an_item_is_found_in_any_layout(header: bytes, atoms_first: bool) -> None:
    text = b"data_x\n" + (ATOMS + header if atoms_first else header + ATOMS)
    for content in (text, text.replace(b"\n", b"\r\n"), text.replace(b"\n", b"\r")):
        assert column(content, "a", "b") == ["value"]
        assert column(content, "atom_site", "b") == ["20.0", "30.0"]


def test_values_without_quotes_and_marks() -> None:
    text = b"""data_x
loop_
_a.b
'a b' "it's" . ? '.' bare
;two
lines
;
'J\xf6rg' 'J\xc3\xb6rg'
"""
    expected = ["a b", "it's", "", "", ".", "bare", "two\nlines", "Jörg", "Jörg"]
    assert column(text, "a", "b") == expected


def test_many_rows_and_few_rows_read_alike() -> None:
    values = ["C1'", '"C 1"', "?", ".", "'N'", "CA"] * 20
    table = CifText(("data_x\nloop_\n_a.b\n" + "\n".join(values)).encode(), "x").table("a")
    assert table is not None
    assert table.columns["b"].texts().tolist() == ["C1'", "C 1", "", "", "N", "CA"] * 20


def test_a_comment_between_rows_ends_no_table() -> None:
    rows = b"1 20.0\n# a comment\n2 30.0 # another\n3 40.0\n"
    for before in (b"", b"loop_\n_c.d\n1\n"):
        text = b"data_x\n" + before + ATOMS.replace(b"1 20.0\n2 30.0\n", rows)
        assert column(text, "atom_site", "id") == ["1", "2", "3"]


def test_offsets_are_those_of_the_bytes() -> None:
    text = b"# first\ndata_x" + ATOMS + b"#\n_c.d 1\n"
    table = CifText(text, "x").table("atom_site")
    assert table is not None
    b = table.columns["b"]
    spans = zip(b.starts.tolist(), b.ends.tolist(), strict=True)
    assert [text[start:end] for start, end in spans] == [b"20.0", b"30.0"]
    assert text[table.start :].startswith(b"loop_")
    assert text[: table.header_end].endswith(b"_atom_site.b")
    assert text[: table.end].endswith(b"30.0")
    assert table.is_loop


def test_the_first_block_with_atoms_counts() -> None:
    text = b"data_a\n_c.d 1\ndata_b\n_c.d 2" + ATOMS + b"data_c\n_c.d 3" + ATOMS
    assert column(text, "c", "d") == ["2"]
    assert column(b"data_a\n_c.d 1\n", "c", "d") == ["1"]
    assert column(b"data_a\n_c.d 1\n", "c", "e") is None


@pytest.mark.parametrize(
    ("damaged", "problem"),
    [
        (b"loop_\n_a.b\n_a.c\n1 2 3\n", "_a has 3 values in 2 columns: incomplete rows"),
        (b"loop_\n_a.b\n", "_a has 0 values"),
        (b"loop_\n_a.b\n'open\n", "a value of _a has no closing quote: 'open"),
        (b"_a.b 1 2\n", "_a.b has 2 values outside of a loop"),
    ],
)
def test_a_damaged_table_harms_no_other(damaged: bytes, problem: str) -> None:
    text = CifText(b"data_x\n" + damaged + ATOMS, "x.cif")
    assert text.table("atom_site") is not None
    with pytest.raises(FormatError, match=f"x.cif: damaged mmCIF text: {problem}"):
        text.column("a", "b")
