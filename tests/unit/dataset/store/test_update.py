from __future__ import annotations

from pathlib import Path

import pytest

from debye.dataset.curate.build_recipe import BuildRecipe, ClusterConfig
from debye.dataset.search.recipes import SearchRecipe
from debye.dataset.search.search import clusters_file
from debye.dataset.store.update import LIST, with_new_clusters


@pytest.mark.parametrize(
    ("source", "identity", "is_used"),
    [("rcsb", 0.3, True), ("rcsb", 0.5, False), ("mmseqs", 0.3, False)],
)
def test_the_cluster_file_of_the_search_continues_the_clusters(
    tmp_path: Path, source: str, identity: float, is_used: bool
) -> None:
    file = clusters_file(tmp_path / LIST, 30)
    file.write_text("1AAA_1 2BBB_1\n")
    search = SearchRecipe.model_validate({"name": "mine", "choose": {"identity": 30}})
    clusters = ClusterConfig.model_validate({"source": source, "identity": identity})
    recipe = BuildRecipe(name="mine", clusters=clusters)
    found = with_new_clusters(recipe, search, tmp_path)
    assert found.clusters.file == (file if is_used else None)
