from __future__ import annotations

import pytest

from debye.dataset.curate.clusters import linked_groups, rcsb_clusters, unique_chains
from debye.errors import StoreError


def test_a_cluster_file_of_the_rcsb(tmp_path) -> None:
    path = tmp_path / "clusters-by-entity-30.txt"
    path.write_text("1AAA_1 1BBB_2 AF_AFP00001F1_1\n1BBB_1 9ZZZ_1\n1CCC_10 1CCC_2\n")
    found = rcsb_clusters(path, ["1aaa", "1bbb", "1ccc", "1ddd"])
    assert found == {
        "1aaa": ["1AAA_1"],
        "1bbb": ["1BBB_1", "1AAA_1"],
        "1ccc": ["1CCC_10"],
    }
    assert linked_groups(found) == {"1aaa": "1aaa", "1bbb": "1aaa", "1ccc": "1ccc"}


@pytest.mark.parametrize("text", ["", "<html></html>\n", "1abc 2def\n"])
def test_another_file_is_an_error(tmp_path, text: str) -> None:
    path = tmp_path / "clusters.txt"
    path.write_text(text)
    with pytest.raises(StoreError, match="no entity such as 1ABC_1"):
        rcsb_clusters(path, ["1abc"])
    with pytest.raises(StoreError, match="cannot be read"):
        rcsb_clusters(tmp_path / "absent.txt", ["1abc"])


def test_names_of_sequences_do_not_depend_on_the_order_of_entries() -> None:
    entries = {"1b": {"A": "MKV"}, "1a": {"A": "MK", "B": "MKV"}}
    assert unique_chains(entries) == unique_chains(dict(reversed(entries.items())))
    chains = unique_chains(entries)
    assert chains.places(["1a", "1b"])["s0"] == [("1a", "B"), ("1b", "A")]
    assert list(chains.of(["1b"])) == ["s0"]
