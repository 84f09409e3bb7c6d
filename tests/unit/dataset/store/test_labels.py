"""Labels beside a store: computed or from a user's table, complete, and counted where they are missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from debye.dataset.store.build import build_store
from debye.dataset.store.labels import label_store, labels_digest
from debye.dataset.store.store import Store
from debye.errors import ConfigError, StoreError, StructureError
from debye.structure.structure import Structure
from debye.structure.write import write_structure
from debye.targets.b_factor import B_FACTOR
from debye.targets.target import Labels, LabelSource, Per, Target
from debye.testing.peptide import build_peptide


def heights(structure: Structure) -> Labels:
    """Return z coordinates; sulfur has none."""
    value = structure.position[:, 2].copy()
    value[structure.element == "S"] = np.nan
    return Labels.where_finite(value)


def sizes(structure: Structure) -> Labels:
    return Labels.where_finite(np.bincount(structure.residue_index))


def lengths(structure: Structure) -> Labels:
    return Labels.where_finite(np.array([structure.n_residues]))


def fails_for_one(structure: Structure) -> Labels:
    if structure.source == "1aab":
        raise StructureError("1aab", "has no height", "Take another")
    if structure.source == "1aac":
        return 1 / 0  # type: ignore[return-value]
    return heights(structure)


def too_few(structure: Structure) -> Labels:
    return Labels.where_finite(np.zeros(3))


def made(
    compute: Callable[[Structure], Labels] | None = None, per: Per = Per.ATOM, name: str = "made"
) -> Target:
    source = LabelSource(name=name, compute=compute)
    return Target(name=name, unit="", summary="Made.", per=per, source=source)


@pytest.fixture
def own(store: Store, tmp_path: Path) -> Store:
    """A copy of the store that may be written to."""
    return Store.open(shutil.copytree(store.path, tmp_path / "store"))


def table_of(store: Store, split: str, per: Per) -> pd.DataFrame:
    """Return a table with a value for every item of a split, as a user would write it."""
    rows = []
    for number, entry in enumerate(store.entries(split)):
        structure = store.structure(split, number)
        if per is Per.STRUCTURE:
            rows.append((entry.id, float(number)))
            continue
        _, first = np.unique(structure.residue_index, return_index=True)
        items = range(len(structure)) if per is Per.ATOM else first
        for item in items:
            residue = f"{structure.residue_number[item]}{structure.insertion_code[item]}"
            names = (structure.chain[item], residue, structure.atom_name[item])
            rows.append((entry.id, *names[: 3 if per is Per.ATOM else 2], float(item) - 7.5))
    columns = ["entry", "chain", "residue", "atom"]
    kept = {Per.ATOM: 4, Per.RESIDUE: 3, Per.STRUCTURE: 1}[per]
    return pd.DataFrame(rows, columns=[*columns[:kept], "made"])


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("compute", "per"), [(heights, Per.ATOM), (sizes, Per.RESIDUE), (lengths, Per.STRUCTURE)]
)
def test_computed_labels_are_those_of_each_structure(
    own: Store, compute: Callable[[Structure], Labels], per: Per, workers: int
) -> None:
    target, seen = made(compute, per), []
    records = label_store(
        own, target, workers=workers, progress=lambda done, total: seen.append((done, total))
    )
    assert tuple(records) == own.splits
    total = sum(len(own.entries(split)) for split in own.splits)
    assert seen == [(done, total) for done in range(1, total + 1)]
    for split, record in records.items():
        expected = [compute(own.structure(split, row)) for row in range(len(own.entries(split)))]
        for row, labels in enumerate(expected):
            found = own.labels(split, row, target)
            np.testing.assert_array_equal(found.usable, labels.usable)
            np.testing.assert_array_equal(found.value, labels.value)
            assert len(found.value) == per.count(own.structure(split, row))
        counts = [int(labels.usable.sum()) for labels in expected]
        assert own.usable_counts(split, target).tolist() == counts
        assert record["usable"] == sum(counts)
        assert record["values"] == sum(len(labels.value) for labels in expected)
        missing = record["values"] - record["usable"]
        assert record["reasons"] == ({"no value": missing} if missing else {})
        assert record["digest"] == labels_digest(own, split, target)
        written = json.loads((own.path / split / "label_made.json").read_text())
        assert written == record
        assert (written["unit"], written["per"], written["table"]) == ("", str(per), None)


def test_one_split_may_be_labelled_and_the_other_is_missed(own: Store) -> None:
    target = made(heights)
    with pytest.raises(StoreError, match=r"no labels of made.*--target made"):
        own.labels("train", 0, target)
    label_store(own, target, splits=["train"])
    own.labels("train", 0, target)
    with pytest.raises(StoreError, match="split 'val' has no labels of made"):
        own.usable_counts("val", target)
    with pytest.raises(StoreError, match="no split is called 'test'"):
        label_store(own, target, splits=["test"])


def test_an_entry_that_cannot_be_computed_is_recorded(own: Store) -> None:
    target = made(fails_for_one)
    record = label_store(own, target, splits=["train"])["train"]
    rows = {name: own.row("train", name) for name in ("1aaa", "1aab", "1aac")}
    assert own.labels("train", rows["1aaa"], target).usable.any()
    for name in ("1aab", "1aac"):
        assert not own.labels("train", rows[name], target).usable.any()
    entries = own.entries("train")
    assert record["reasons"]["has no height"] == entries[rows["1aab"]].n_atoms
    assert record["reasons"]["ZeroDivisionError"] == entries[rows["1aac"]].n_atoms


def test_a_label_function_with_another_number_of_values_is_refused(own: Store) -> None:
    with pytest.raises(StoreError, match="but 3 labels of made"):
        label_store(own, made(too_few))
    assert not list(own.path.glob("*/label_made*"))


@pytest.mark.parametrize("per", list(Per))
def test_labels_from_a_table(own: Store, tmp_path: Path, per: Per) -> None:
    target, path = made(per=per), tmp_path / "mine.csv"
    table = table_of(own, "train", per)
    table["entry"] = table["entry"].str.upper()
    table.sample(frac=1, random_state=1).to_csv(path, index=False)
    record = label_store(own, target, splits=["train"], table=path)["train"]
    assert record["table"] == "mine.csv"
    assert record["usable"] == record["values"] == len(table)
    assert record["reasons"] == {}
    found = [own.labels("train", row, target) for row in range(len(own.entries("train")))]
    np.testing.assert_array_equal(np.concatenate([each.value for each in found]), table["made"])


def test_rows_that_are_missing_or_empty_are_counted(own: Store, tmp_path: Path) -> None:
    target, path = made(per=Per.RESIDUE), tmp_path / "mine.csv"
    table = table_of(own, "train", Per.RESIDUE).astype({"made": object})
    table.loc[2, "made"] = ""
    table.loc[3, "made"] = " "
    table["residue"] = table["residue"].astype(str) + ".0"  # as spreadsheets write it
    elsewhere = table.iloc[[1]].assign(chain="Z")
    table = pd.concat([table.drop(index=[0, 7]), elsewhere])
    table.to_csv(path, index=False)
    record = label_store(own, target, splits=["train"], table=path)["train"]
    assert record["reasons"] == {"not in the table": 4}
    assert record["rows_unused"] == 1
    labels = own.labels("train", 0, target)
    assert np.flatnonzero(~labels.usable).tolist() == [0, 2, 3, 7]
    assert (labels.value[~labels.usable] == 0).all()


def test_a_value_that_is_not_a_number_is_refused(own: Store, tmp_path: Path) -> None:
    table = table_of(own, "train", Per.STRUCTURE).astype({"made": object})
    table.loc[1, "made"] = "1,5"
    table.to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(StoreError, match=r"made is not a number in 1 of \d+ rows: '1,5'"):
        label_store(own, made(per=Per.STRUCTURE), table=tmp_path / "x.csv")


def test_labels_of_another_kind_are_refused(own: Store) -> None:
    atoms = made(compute=lambda structure: Labels.where_finite(np.ones(len(structure))))
    label_store(own, atoms)
    residues = made(per=Per.RESIDUE)
    with pytest.raises(StoreError, match=r"\d+ residues, but \d+ labels of made"):
        Store.open(own.path).labels("train", 0, residues)


def test_values_that_are_not_finite_are_not_usable(own: Store) -> None:
    def half(structure: Structure) -> Labels:
        value = np.where(np.arange(len(structure)) % 2, np.nan, 1.0).astype(np.float32)
        return Labels(value=value, usable=np.ones(len(structure), bool))

    record = label_store(own, made(compute=half), splits=["train"])["train"]
    assert record["usable"] == record["values"] - record["reasons"]["not finite"]
    assert 0 < record["usable"] < record["values"]


def test_another_column_of_the_table(own: Store, tmp_path: Path) -> None:
    table = table_of(own, "train", Per.STRUCTURE).rename(columns={"made": "mine"})
    table.to_csv(tmp_path / "x.csv", index=False)
    target = made(per=Per.STRUCTURE)
    label_store(own, target, splits=["train"], table=tmp_path / "x.csv", column="mine")
    assert own.labels("train", 2, target).value.tolist() == [2.0]
    with pytest.raises(StoreError, match="has no column made"):
        label_store(own, target, splits=["train"], table=tmp_path / "x.csv")


def test_insertion_codes_tell_residues_apart(tmp_path: Path) -> None:
    structure = build_peptide("MKWHEFRGPYCITLSD", source="1ins")
    number = structure.residue_number - (structure.residue_index >= 5)
    code = np.where(structure.residue_index == 5, "A", "")
    structure = replace(
        structure,
        residue_number=number.astype(np.int32),
        insertion_code=code,
        b_iso=np.linspace(10, 40, len(structure), dtype=np.float32),
    )
    write_structure(structure, tmp_path / "1ins.cif")
    (tmp_path / "index.csv").write_text("id,split\n1ins,train\n")
    store = build_store(tmp_path / "index.csv", tmp_path, tmp_path / "store")
    rows = ["entry,chain,residue,made", "1ins,A,5,1.5", "1ins,A,5A,-2.5", "1ins,A,6,3.5"]
    (tmp_path / "mine.csv").write_text("\n".join(rows) + "\n")
    target = made(per=Per.RESIDUE)
    label_store(store, target, table=tmp_path / "mine.csv")
    labels = store.labels("train", 0, target)
    assert np.flatnonzero(labels.usable).tolist() == [4, 5, 6]
    assert labels.value[4:7].tolist() == [1.5, -2.5, 3.5]


def test_a_table_that_repeats_itself_or_fits_nothing_is_refused(own: Store, tmp_path: Path) -> None:
    target, path = made(per=Per.ATOM), tmp_path / "mine.csv"
    table = table_of(own, "train", Per.ATOM)
    pd.concat([table, table[5:6]]).to_csv(path, index=False)
    with pytest.raises(StoreError, match="1 row repeats an earlier one, for example 1aaa A 1 "):
        label_store(own, target, splits=["train"], table=path)
    table.assign(entry="9" + table["entry"]).to_csv(path, index=False)
    with pytest.raises(StoreError, match="none of its rows belongs to an entry"):
        label_store(own, target, splits=["train"], table=path)
    table.drop(columns="atom").to_csv(path, index=False)
    with pytest.raises(StoreError, match="has no column atom"):
        label_store(own, target, splits=["train"], table=path)
    with pytest.raises(StoreError, match="cannot be read"):
        label_store(own, target, splits=["train"], table=tmp_path / "none.csv")
    assert not list(own.path.glob("*/label_made*"))


def test_labels_are_replaced_when_they_are_made_again(own: Store, tmp_path: Path) -> None:
    target = made(lengths, Per.STRUCTURE)
    first = label_store(own, target)["train"]
    assert own.labels("train", 1, target).value.tolist() == [own.structure("train", 1).n_residues]
    table_of(own, "train", Per.STRUCTURE).to_csv(tmp_path / "mine.csv", index=False)
    again = label_store(own, target, splits=["train"], table=tmp_path / "mine.csv")["train"]
    assert again["digest"] != first["digest"]
    opened = Store.open(own.path)
    assert opened.labels("train", 1, target).value.tolist() == [1.0]
    assert labels_digest(opened, "train", target) == again["digest"]
    # The store that was open while they were written sees them too.
    assert own.labels("train", 1, target).value.tolist() == [1.0]


def test_a_label_function_runs_again_after_a_table(own: Store, tmp_path: Path) -> None:
    target = made(lengths, Per.STRUCTURE)
    table_of(own, "train", Per.STRUCTURE).to_csv(tmp_path / "mine.csv", index=False)
    label_store(own, target, splits=["train"], table=tmp_path / "mine.csv")
    assert own.labels("train", 0, target).value.tolist() == [0.0]
    label_store(own, target, splits=["train"])
    length = own.structure("train", 0).n_residues
    assert Store.open(own.path).labels("train", 0, target).value.tolist() == [length]
    assert not list(own.path.glob("*/.*"))


def test_targets_without_anything_to_do_are_refused(own: Store) -> None:
    with pytest.raises(ConfigError, match="every store has its labels"):
        label_store(own, B_FACTOR)
    with pytest.raises(
        ConfigError, match=r"not computed from structures.*entry, chain, residue, atom and made"
    ):
        label_store(own, made())
    assert labels_digest(own, "train", B_FACTOR) == own.digest
