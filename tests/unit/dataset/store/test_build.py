from __future__ import annotations

import json
import os
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from debye.dataset.store import content
from debye.dataset.store.build import build_store
from debye.dataset.store.index import find_file
from debye.dataset.store.store import Store
from debye.errors import StoreError
from debye.structure.bonds import find_bonds
from debye.structure.read import read_structure
from debye.structure.select import select_atoms
from debye.targets.b_factor import B_FACTOR, assess_b


def test_store_returns_what_was_read(data_folder: Path, store: Store) -> None:
    for split in store.splits:
        for row, entry in enumerate(store.entries(split)):
            source = find_file(data_folder / "structures", entry.id)
            expected, _ = select_atoms(read_structure(source))
            found = store.structure(split, row)
            for column in fields(expected):
                before = getattr(expected, column.name)
                if isinstance(before, np.ndarray):
                    np.testing.assert_array_equal(getattr(found, column.name), before)
            assert found.entry.resolution == expected.entry.resolution
            assert found.entry.method == expected.entry.method
            bonds = store.bonds(split, row)
            np.testing.assert_array_equal(bonds.pairs, find_bonds(expected).pairs)
            np.testing.assert_array_equal(bonds.order, find_bonds(expected).order)
            np.testing.assert_array_equal(
                store.labels(split, row, B_FACTOR).usable, assess_b(expected).usable
            )
            assert store.labels(split, row, B_FACTOR).usable.any()


def test_crystal_follows_file_and_index(store: Store) -> None:
    crystals = {
        entry.id: store.structure("train", row).crystal
        for row, entry in enumerate(store.entries("train"))
    }
    assert crystals["1aad"] is None
    assert crystals["1aaa"] is not None
    assert crystals["1aaa"].space_group == "P 1"
    partial = store.entries("train")[1]
    assert (partial.id, partial.whole_entry, partial.has_crystal) == ("1aab", False, True)


def test_facts_of_the_index_are_kept(store: Store) -> None:
    assert store.splits == ("train", "val")
    facts = {entry.id: entry for split in store.splits for entry in store.entries(split)}
    assert [facts[i].columns.get("near364") for i in ("1aaa", "1aac")] == ["0", "1"]
    assert [facts[i].representative for i in ("1aaa", "1aab", "2bbb")] == [True, False, True]
    assert facts["2bbb"].cluster == "cb"
    assert facts["1aaa"].columns["source"] == "built"
    assert facts["1aaa"].n_protein_residues == facts["1aaa"].n_residues == 20


def test_a_failed_entry_is_recorded_and_the_others_are_stored(store: Store) -> None:
    assert [(failure["id"], failure["split"]) for failure in store.failures] == [("9zzz", "val")]
    assert "no file zz/9zzz.bcif.gz" in store.failures[0]["reason"]
    assert [entry.id for entry in store.entries("val")] == ["2bbb", "2bbc"]


def test_odd_files_fail_alone(data_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "structures"
    shutil.copytree(data_folder / "structures", folder)
    find_file(folder, "1aaa").write_bytes(b"<html>not found</html>")
    find_file(folder, "1aac").write_bytes(b"\x1f\x8b\x08truncated")
    store = build_store(data_folder / "index.csv", folder, tmp_path / "store", splits=["train"])
    assert [failure["id"] for failure in store.failures] == ["1aaa", "1aac"]
    assert all(failure["reason"] for failure in store.failures)
    assert [entry.id for entry in store.entries("train")] == ["1aab", "1aad"]


def test_a_store_with_a_field_for_its_tag_still_opens(store: Store, tmp_path: Path) -> None:
    """Older stores have the tag near364 as a field of every record; the digests are the same."""
    old = tmp_path / "old"
    shutil.copytree(store.path, old)
    for path in old.glob("*/entries.json"):
        records = json.loads(path.read_text())
        for record in records:
            record["near364"] = record["columns"].pop("near364", "") == "1"
        path.write_text(json.dumps(records))
    for split in store.splits:
        for before, after in zip(store.entries(split), Store.open(old).entries(split), strict=True):
            assert after.columns.get("near364", "0") == before.columns.get("near364", "0")
            assert after.digested() == before.digested()
            assert '"near364"' in json.dumps(after.digested())


@pytest.mark.slow
def test_digest_is_of_the_content(
    data_folder: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def digest(name: str, structures: Path, **options: object) -> str:
        return build_store(data_folder / "index.csv", structures, tmp_path / name, **options).digest

    folder = tmp_path / "structures"
    shutil.copytree(data_folder / "structures", folder)
    monkeypatch.setattr(content, "PART_ENTRIES", 1)
    assert digest("other_parts", folder, workers=2) == store.digest
    changed = find_file(folder, "1aaa")
    lines = changed.read_text().splitlines()
    row = next(number for number, line in enumerate(lines) if line.startswith("ATOM"))
    lines[row] = lines[row].replace(".", ".9", 1)
    changed.write_text("\n".join(lines) + "\n")
    assert digest("changed", folder) != store.digest


def test_an_interrupted_build_resumes(
    data_folder: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "PART_ENTRIES", 2)

    def interrupt(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    arguments = (data_folder / "index.csv", data_folder / "structures", tmp_path / "store")
    with pytest.raises(KeyboardInterrupt):
        build_store(*arguments, progress=interrupt)
    with pytest.raises(StoreError, match="no finished data store"):
        Store.open(tmp_path / "store")
    seen: list[tuple[int, int]] = []
    resumed = build_store(*arguments, progress=lambda done, total: seen.append((done, total)))
    assert resumed.digest == store.digest
    assert seen == [(2, 7), (4, 7), (6, 7), (7, 7)]
    assert not list((tmp_path / "store").glob("parts-*"))


def test_a_finished_store_is_returned_and_another_is_not_overwritten(
    data_folder: Path, store: Store
) -> None:
    arguments = (data_folder / "index.csv", data_folder / "structures", store.path)
    assert build_store(*arguments).digest == store.digest
    with pytest.raises(StoreError, match="--overwrite"):
        build_store(*arguments, splits=["val"])


def test_a_store_of_files_that_changed_is_not_returned(data_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(data_folder, tmp_path / "in")
    arguments = (tmp_path / "in" / "index.csv", tmp_path / "in" / "structures", tmp_path / "store")
    first = build_store(*arguments)
    assert build_store(*arguments).digest == first.digest
    changed = find_file(arguments[1], "1aaa")
    stat = changed.stat()
    os.utime(changed, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(StoreError, match="files that have changed"):
        build_store(*arguments)
    os.utime(changed, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert build_store(*arguments).digest == first.digest
    missing = first.failures[0]["id"]
    shutil.copy(changed, arguments[1] / f"{missing}{''.join(changed.suffixes)}")
    with pytest.raises(StoreError, match="files that have changed"):
        build_store(*arguments)
    assert build_store(*arguments, overwrite=True).failures == []


def test_overwrite_replaces_a_store_but_nothing_else(data_folder: Path, tmp_path: Path) -> None:
    arguments = (data_folder / "index.csv", data_folder / "structures", tmp_path / "out")
    build_store(*arguments, splits=["train"])
    assert build_store(*arguments, splits=["val"], overwrite=True).splits == ("val",)
    precious = tmp_path / "out" / "precious.txt"
    precious.write_text("thesis")
    for text in ('{"name": "my web app"}', "[1]", "{"):
        (tmp_path / "out" / "manifest.json").write_text(text)
        with pytest.raises(StoreError, match="is not a data store"):
            build_store(*arguments, overwrite=True)
    assert precious.exists()


def test_unusable_b_is_kept_with_reasons(data_folder: Path, tmp_path: Path) -> None:
    from debye.structure.write import write_structure

    structure = read_structure(find_file(data_folder / "structures", "1aab"))
    structure.b_iso[:] = 20.0
    structure.b_iso[3] = 21.0
    write_structure(structure, tmp_path / "1aab.cif")
    (tmp_path / "index.csv").write_text("id,split\n1aab,x\n")
    entry = build_store(tmp_path / "index.csv", tmp_path, tmp_path / "store").entries("x")[0]
    assert entry.n_usable == 0
    assert any("one value" in reason for reason in entry.unusable)


@pytest.mark.benchmark
def test_benchmark_sample(benchmark_data: Path, tmp_path: Path) -> None:
    """A few real entries, among them both kinds of crystal flags, agree with what the index counts."""
    lines = (benchmark_data / "index.csv").read_text().splitlines()
    chosen = [line for line in lines[1:] if line.split(",")[1] in ("val", "kinase")][::30]
    index = tmp_path / "index.csv"
    index.write_text("\n".join([lines[0], *chosen]) + "\n")
    store = build_store(index, benchmark_data / "structures", tmp_path / "store")
    assert store.failures == []
    for split in store.splits:
        for entry in store.entries(split):
            # The index counts all conformers; we keep one.
            assert entry.n_atoms <= int(entry.columns["n_atoms"]) <= 1.25 * entry.n_atoms
            assert entry.has_crystal == (entry.columns["has_crystal"] == "1")
            assert entry.n_usable > 0.5 * entry.n_atoms
