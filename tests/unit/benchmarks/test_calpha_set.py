"""Files of the Cα set: first alternative locations, chains, modified residues, and clear errors."""

from __future__ import annotations

import numpy as np
import pytest
from calpha_set import files_digest, read_calpha, read_calpha_set, superset_ids

from debye.errors import FormatError

ATOMS = """\
ATOM      1  CA AMET A   1      19.791  50.519  58.057  0.60 21.80           C
ATOM      2  CA BMET A   1      19.900  50.600  58.100  0.40 22.80           C
HETATM    3  CA  MSE A   2      16.979  48.002  57.683  1.00 13.93           C
ATOM      4  CA  GLY A   2A     14.164  49.432  55.491  1.00 13.07           C
ATOM      5  CA  MLY B   1      10.574  48.651  56.514  1.00 11.54           C
HETATM    6 CA    CA B 300       1.000   1.000   1.000  1.00 99.00          CA
"""


def test_reads_what_counts(tmp_path):
    path = tmp_path / "1abc_CA_A2.pdb"
    path.write_text(ATOMS)
    protein = read_calpha(path)
    assert protein.id == "1ABC"
    np.testing.assert_allclose(protein.b_iso, [21.80, 13.93, 13.07, 11.54])
    np.testing.assert_allclose(protein.position[0], [19.791, 50.519, 58.057])
    assert protein.letters == "MMGK"
    assert protein.sequences() == {"A": "MMG", "B": "K"}


@pytest.mark.parametrize(
    ("text", "problem"), [("END\n", "no Cα atom"), (ATOMS[:40], "cannot be read")]
)
def test_bad_files_are_explained(tmp_path, text, problem):
    path = tmp_path / "1abc_CA_A2.pdb"
    path.write_text(text)
    with pytest.raises(FormatError, match=problem):
        read_calpha(path)


def test_missing_files_are_explained(tmp_path):
    with pytest.raises(FormatError, match="cannot be read"):
        read_calpha_set(tmp_path, ["1ABC"])
    with pytest.raises(FormatError, match="cannot be read"):
        superset_ids(tmp_path)


def test_a_folder_without_the_set_is_explained(tmp_path):
    with pytest.raises(FormatError, match=r"no file 364/<id>_CA_A2\.pdb is in it"):
        read_calpha_set(tmp_path)


def test_the_digest_is_of_names_and_contents(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("x")
    second.write_text("x")
    assert files_digest([first]) != files_digest([second])
    second.write_text("y")
    assert len({files_digest([first, second]), files_digest([second, first])}) == 2
