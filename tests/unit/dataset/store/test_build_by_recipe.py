from __future__ import annotations

import csv
import filecmp
import os
import shutil
from pathlib import Path

import homologs
import pytest

from debye.dataset.curate.build_recipe import BuildRecipe, read_build_recipe
from debye.dataset.curate.leakage import LeakageError
from debye.dataset.store.append import append_entries
from debye.dataset.store.build import build_by_recipe, stored_recipe
from debye.dataset.store.index import IndexRow, find_file
from debye.dataset.store.store import Store
from debye.errors import ConfigError, StoreError

pytestmark = pytest.mark.slow  # MMseqs2 is a process
RECIPE = """
name = "test"
seed = 3

[family]
sequences = "domain.fasta"
title_words = ["kinase"]

[splits]
validation = 0.0
test = 1.0
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return homologs.write_archive(tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> BuildRecipe:
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "domain.fasta").write_text(f">domain\n{homologs.DOMAIN}\n")
    (folder / "recipe.toml").write_text(RECIPE)
    return read_build_recipe(folder / "recipe.toml")


@pytest.fixture(scope="module")
def built(
    mmseqs: str, archive: Path, recipe: BuildRecipe, tmp_path_factory: pytest.TempPathFactory
) -> Store:
    out = tmp_path_factory.mktemp("store") / "store"
    return build_by_recipe(recipe, archive, out, as_of="2026-01-31")


def listed(store: Store) -> dict[str, dict[str, str]]:
    with open(store.path / "entries.csv", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def test_every_entry_is_in_a_split_or_listed_with_its_reason(built: Store) -> None:
    rows = listed(built)
    outcome = {name: row["split"] or row["reason"] for name, row in rows.items()}
    assert outcome == {
        "1aaa": "test has 1 of its cluster",
        "1aab": "test",
        "1bbb": "train",
        "1bbc": "train",
        "1lnk": "train",
        "1ggg": "test",
        "1dom": "similar to an entry of test",
        "1kin": "kinase",
        "1kib": "kinase",
        "1inh": "like kinase, but no member",
        "1con": "B: one value for most atoms",
        "1low": "resolution worse than 3.0 Å",
        "1sho": "fewer than 40 protein residues",
        "1xxx": "file could not be read",
    }
    assert built.manifest["curation"]["reasons"] == dict.fromkeys(
        sorted(set(outcome.values()) - {"train", "test", "kinase"}), 1
    )
    assert [failure["id"] for failure in built.failures] == ["1xxx"]
    assert rows["1low"]["detail"] == "3.5 Å"
    assert all(row["state"] == "apo" for name, row in rows.items() if name != "1xxx")


def test_clusters_join_entries_to_groups(built: Store) -> None:
    rows = listed(built)
    assert rows["1bbb"]["cluster"] == rows["1bbc"]["cluster"] != rows["1lnk"]["cluster"]
    assert rows["1bbb"]["group"] == rows["1lnk"]["group"] == "1bbb"
    assert rows["1bbb"]["cluster"] in rows["1lnk"]["clusters"].split()
    # The better resolved of the cluster represents it.
    assert (rows["1bbb"]["representative"], rows["1bbc"]["representative"]) == ("0", "1")


def test_store_and_list_agree(built: Store) -> None:
    rows = listed(built)
    for split in built.splits:
        expected = sorted(name for name, row in rows.items() if row["split"] == split)
        assert [entry.id for entry in built.entries(split)] == expected
        for entry in built.entries(split):
            assert rows[entry.id]["digest"] == entry.digest
            assert rows[entry.id]["cluster"] == entry.cluster
            assert entry.columns["state"] == "apo"
    assert built.splits == ("train", "test", "kinase")
    assert built.manifest["date"] == "2026-01-31"
    assert stored_recipe(built).seed == 3


def test_the_same_input_gives_the_same_bytes(
    built: Store, archive: Path, recipe: BuildRecipe, tmp_path: Path
) -> None:
    again = build_by_recipe(recipe, archive, tmp_path / "again", as_of="2026-01-31", workers=2)
    assert again.digest == built.digest
    files = sorted(str(p.relative_to(built.path)) for p in built.path.rglob("*.*") if p.is_file())
    assert len(files) > 50
    _, differ, missing = filecmp.cmpfiles(built.path, again.path, files, shallow=False)
    assert (differ, missing) == ([], ["append.lock"] if "append.lock" in files else [])
    assert build_by_recipe(recipe, archive, again.path).digest == built.digest
    with pytest.raises(StoreError, match="recipe"):
        build_by_recipe(recipe.model_copy(update={"seed": 4}), archive, again.path)


def test_a_leak_fails_the_build_and_leaves_its_report(
    mmseqs: str, archive: Path, recipe: BuildRecipe, tmp_path: Path
) -> None:
    strict = recipe.model_copy(
        update={
            "family": None,
            "leakage": recipe.leakage.model_copy(update={"on_match": "fail"}),
            "splits": recipe.splits.model_copy(update={"source": "index"}),
        }
    )
    index = tmp_path / "index.csv"
    index.write_text("id,split\n1dom,train\n1bbb,train\n1ggg,test\n1kin,val\n1kib,train\n")
    with pytest.raises(LeakageError, match="2 training entries have") as raised:
        build_by_recipe(strict, archive, tmp_path / "out", index=index)
    assert "1dom_A ~ 1ggg_A (test)" in str(raised.value)
    with open(tmp_path / "out" / "leakage.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["train"]: row["other"] for row in rows} == {"1dom": "1ggg", "1kib": "1kin"}
    assert all(float(row["identity"]) > 0.6 for row in rows)
    with pytest.raises(StoreError, match="no finished data store"):
        Store.open(tmp_path / "out")


def test_without_mmseqs_the_error_says_how_to_get_it(
    archive: Path, recipe: BuildRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="apt-get install mmseqs2"):
        build_by_recipe(recipe, archive, tmp_path / "out")


NEW = {
    # Similar to training, to the test set, to both, to the family, to nothing; and a file that is refused.
    "2bbb": homologs.protein("2bbb", homologs.relative(homologs.BETA, 21), resolution=1.2),
    "2aaa": homologs.protein("2aaa", homologs.relative(homologs.ALPHA, 22)),
    "2two": homologs.protein("2two", homologs.BETA, homologs.GAMMA),
    "2kin": homologs.protein("2kin", homologs.relative(homologs.DOMAIN, 23)),
    "2new": homologs.protein("2new", homologs.random_sequence(30)),
    "2nex": homologs.protein("2nex", homologs.random_sequence(31), resolution=2.8),
    "2low": homologs.protein("2low", homologs.random_sequence(32), resolution=4.0),
    # A revision of an entry of the store, with another B.
    "1bbb": homologs.protein("1bbb", homologs.BETA, resolution=2.6),
}


@pytest.fixture(scope="module")
def update(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("update")
    for structure in NEW.values():
        homologs.write_entry(folder, structure)
    return folder


def rows_of(names: list[str]) -> list[IndexRow]:
    return [IndexRow(id=name, split="", columns={"id": name}) for name in names]


@pytest.fixture(scope="module")
def grown(
    built: Store,
    archive: Path,
    recipe: BuildRecipe,
    update: Path,
    tmp_path_factory: pytest.TempPathFactory,
):
    """A copy of the store, and what became of the entries that were offered to it."""

    path = tmp_path_factory.mktemp("grown") / "store"
    shutil.copytree(built.path, path)
    return append_entries(path, rows_of([*NEW, "9zzz"]), update, date="2026-03-31")


def test_new_entries_join_the_split_of_their_cluster(built: Store, grown) -> None:
    rows = listed(grown.store)
    outcome = {name: rows[name]["split"] or rows[name]["reason"] for name in [*NEW, "9zzz"]}
    assert outcome.pop("9zzz").startswith("file could not be read")
    assert outcome == {
        "2bbb": "train",
        "2aaa": "test has 1 of its cluster",
        "2two": "links test and train",
        "2kin": "kinase",
        "2new": "test",
        "2nex": "train",
        "2low": "resolution worse than 3.0 Å",
        "1bbb": "train",
    }
    assert rows["2bbb"]["cluster"] == rows["1bbb"]["cluster"]
    assert grown.added == ("2bbb", "2kin", "2new", "2nex")
    assert grown.revised == ("1bbb",)
    assert set(grown.refused) == {"2aaa", "2two", "2low", "9zzz"}


def test_no_old_entry_moves(built: Store, grown) -> None:
    before, after = listed(built), listed(grown.store)
    for name, row in before.items():
        if name != "1bbb":
            assert after[name] == row
    changed = {key for key in before["1bbb"] if before["1bbb"][key] != after["1bbb"][key]}
    assert changed <= {"resolution", "mean_b", "n_atoms", "digest"}
    for split in built.splits:
        for row, entry in enumerate(built.entries(split)):
            if entry.id == "1bbb":
                continue
            place = grown.store.row(split, entry.id)
            assert grown.store.entries(split)[place] == entry
            old, new = built.structure(split, row), grown.store.structure(split, place)
            assert (old.position == new.position).all()
            assert (old.residue_name == new.residue_name).all()
            pairs = built.bonds(split, row).pairs, grown.store.bonds(split, place).pairs
            assert (pairs[0] == pairs[1]).all()


def test_new_entries_are_as_if_they_had_been_there(grown, update: Path) -> None:
    from debye.structure.read import read_structure
    from debye.structure.select import select_atoms

    for name in (*grown.added, *grown.revised):
        split = listed(grown.store)[name]["split"]
        found = grown.store.structure(split, grown.store.row(split, name))
        expected, _ = select_atoms(read_structure(find_file(update, name)))
        assert (found.position == expected.position).all()
        assert (found.b_iso == expected.b_iso).all()
        assert (found.atom_name == expected.atom_name).all()
    assert [entry.id for entry in grown.store.entries("train")] == sorted(
        entry.id for entry in grown.store.entries("train")
    )


def test_history_and_date_are_recorded(built: Store, grown) -> None:
    manifest = grown.store.manifest
    assert manifest["date"] == "2026-03-31"
    first, second = manifest["history"]
    assert (first["date"], first["digest"]) == ("2026-01-31", built.digest)
    assert second["digest"] == manifest["digest"] != built.digest
    assert second["added"] == list(grown.added)
    assert second["refused"] == grown.refused
    assert not (grown.store.path / "next").exists()


@pytest.mark.parametrize("after_commit", [False, True])
def test_a_killed_append_leaves_the_old_store_or_the_new_one(
    built: Store, update: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after_commit: bool
) -> None:
    path = tmp_path / "store"
    shutil.copytree(built.path, path)
    arguments = (path, rows_of(["2kin"]), update)
    last = path / ("entries.csv" if after_commit else "manifest.json")
    rename = os.replace

    def killed(source: Path, target: Path) -> None:
        if Path(target) == last:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        append_entries(*arguments, date="2026-02-28")
    monkeypatch.undo()
    half = Store.open(path)
    assert ("2kin" in [entry.id for entry in half.entries("kinase")]) == after_commit
    for split in half.splits:
        for row in range(len(half.entries(split))):
            assert len(half.structure(split, row)) == half.entries(split)[row].n_atoms
    assert (half.digest == built.digest) != after_commit
    done = append_entries(*arguments, date="2026-02-28")
    assert "2kin" in [entry.id for entry in done.store.entries("kinase")]
    assert listed(done.store)["2kin"]["split"] == "kinase"
    assert sorted(folder.parent.name.split(".")[0] for folder in path.glob("*/entries.json")) == [
        "kinase",
        "test",
        "train",
    ]


def test_a_store_without_a_recipe_needs_one(
    built: Store, tmp_path: Path, recipe: BuildRecipe
) -> None:
    with pytest.raises(StoreError, match="no finished data store"):
        append_entries(tmp_path, [], tmp_path, date="2026-01-01")
    plain = Store.open(built.path)
    plain.manifest.pop("curation")
    with pytest.raises(StoreError, match="Give a build recipe"):
        stored_recipe(plain)
