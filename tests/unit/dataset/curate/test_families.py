from __future__ import annotations

from dataclasses import replace

import pytest
from homologs import GOOD, SimilarityTable

from debye.dataset.curate.build_recipe import FamilyConfig
from debye.dataset.curate.clusters import family_evidence, read_fasta, unique_chains
from debye.errors import StoreError


def test_words_and_ids_are_evidence(tmp_path) -> None:
    (tmp_path / "ids.txt").write_text("1aaa\n")
    entries = [
        replace(GOOD, id="1aaa"),
        replace(GOOD, id="1bbb", title="Cyclin-dependent Kinase"),
        replace(GOOD, id="1ccc", keywords="TRANSFERASE, KINASE"),
        replace(GOOD, id="1ddd"),
    ]
    family = FamilyConfig(ids=tmp_path / "ids.txt", title_words=("kinase",))
    assert family_evidence(entries, unique_chains({}), family, SimilarityTable()) == {
        "1aaa": {"id": "listed"},
        "1bbb": {"title": "kinase"},
        "1ccc": {"title": "kinase"},
    }


def test_fasta(tmp_path) -> None:
    path = tmp_path / "x.fasta"
    path.write_text(">one a comment\nMK\nw-h\n>two\nAC\n")
    assert read_fasta(path) == {"one": "MKWH", "two": "AC"}
    path.write_text("MK\n")
    with pytest.raises(StoreError, match="no sequence"):
        read_fasta(path)
