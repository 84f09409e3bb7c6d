"""Damaged files, files of another format and of another entry are noticed."""

from __future__ import annotations

import gzip

import msgpack
import pytest
from servers.entry_files import entry_bcif, entry_cif, zipped

from debye.archives.check import body_problem, entry_problem

BCIF = msgpack.packb({"version": "0.3.0", "encoder": "test", "dataBlocks": [{"pad": "x" * 2000}]})
BCIF_GZ = gzip.compress(BCIF, mtime=0)
CIF = b"data_1ABC\nloop_\n_atom_site.id\n_atom_site.B_iso_or_equiv\n1 20.0\n"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.bcif", BCIF, None),
        ("a.bcif", BCIF[:-5], "truncated"),
        ("a.bcif", CIF, "not BinaryCIF"),
        ("a.cif", CIF, None),
        ("a.cif", b"data_x\n", "not an mmCIF file with atoms"),
        ("a.cif.gz", gzip.compress(b"<html>", mtime=0), "not an mmCIF"),
        ("a.pdb", b"ATOM\nEND\n", None),
        ("a.pdb", b"ATOM\n", "END is missing"),
        ("a.txt", b"ATOM", "unknown suffix"),
        ("a.cif", b'{"detail": "busy"}', "not a structure file"),
        ("a.bcif.gz", BCIF_GZ[:-4] + b"\0\1\2\3", "damaged gzip"),
    ],
)
def test_body_is_checked(tmp_path, name, content, problem) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    found = body_problem(path)
    assert found is None if problem is None else problem in (found or "")


def test_the_right_entry_is_recognized(tmp_path, peptide):
    bcif, cif = entry_bcif(peptide, "1abc"), entry_cif(peptide, "1abc")
    empty = peptide.take([])
    cases = [
        ("1abc.bcif", bcif, None),
        ("1abc.bcif.gz", zipped(bcif), None),
        ("1abc.cif", cif, None),
        ("1abc.cif.gz", zipped(cif), None),
        ("1abc.cif.gz", zipped(cif)[:-9], "truncated or damaged gzip"),
        ("1abc.bcif", bcif.replace(b"1ABC", b"2ABC"), "is entry '2ABC', not '1abc'"),
        ("1abc.cif", cif.replace(b"1ABC", b"2ABC"), "is entry '2ABC', not '1abc'"),
        ("1abc.cif", cif.replace(b"_atom_site.Cartn_y\n", b""), "damaged mmCIF"),
        ("1abc.bcif", bcif.replace(b"StringArray", b"StrungArray"), "encoding 'StrungArray'"),
        ("1abc.bcif", entry_bcif(empty, "1abc"), "has no atoms"),
    ]
    for name, content, expected in cases:
        path = tmp_path / name
        path.write_bytes(content)
        problem = entry_problem(path, name, "1abc")
        assert problem is None if expected is None else expected in (problem or ""), name
