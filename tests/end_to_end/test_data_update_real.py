"""``debye data update`` on real entries, compared by MMseqs2."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from servers.archive import running
from servers.rcsb import Protein, ServedEntry, serve
from typer.testing import CliRunner

from debye.cli.main import app
from debye.dataset.store.store import Store


def splits(store: Path) -> dict[str, str]:
    opened = Store.open(store)
    return {entry.id: split for split in opened.splits for entry in opened.entries(split)}


def run(line: str) -> None:
    result = CliRunner().invoke(app, ["data", *line.split()])
    assert result.exit_code == 0, result.output


def test_real_entries_join_their_cluster(
    benchmark_data: Path, mmseqs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two small clusters one entry is there and another is released: it gets the other's split."""
    with open(benchmark_data / "index.csv", newline="") as file:
        rows = [
            row for row in csv.DictReader(file) if row["split"] == "train" and row["resolution"]
        ]
    by_cluster: dict[str, list[dict[str, str]]] = {}
    for row in sorted(rows, key=lambda row: int(row["n_atoms"])):
        by_cluster.setdefault(row["cluster"], []).append(row)
    pairs = [members[:2] for members in by_cluster.values() if len(members) > 1][:2]
    old, new = ([pair[number] for pair in pairs] for number in (0, 1))

    def entries(rows: list[dict[str, str]], day: str) -> list[ServedEntry]:
        return [
            ServedEntry(
                id=row["id"], resolution=float(row["resolution"]), atoms=int(row["n_atoms"]),
                proteins=(Protein(length=int(row["n_residues"])),), released=day, revised=day,
            )
            for row in rows
        ]  # fmt: skip

    (tmp_path / "search.toml").write_text('name = "mine"\n[choose]\nidentity = 0\n')
    (tmp_path / "build.toml").write_text('name = "real"\n[splits]\nevaluation_per_group = 3\n')
    with running() as server:
        for address in ("MODELS", "FILES", "SEARCH", "DATA"):
            monkeypatch.setenv(f"DEBYE_{address}_URL", server.url)
        serve(server, entries(old, "2026-01-01"))
        for row in (*old, *new):
            path = benchmark_data / "structures" / row["id"][1:3] / f"{row['id']}.bcif.gz"
            server.add_pdb(row["id"], bcif_gz=path.read_bytes())
        for line in (
            "search {0}/search.toml -o {0}/list.csv",
            "fetch {0}/list.csv -o {0}/mirror",
            "build --recipe {0}/build.toml --index {0}/mirror/index.csv --structures {0}/mirror "
            "-o {0}/store --as-of 2026-01-31",
        ):
            run(line.format(tmp_path))
        before = splits(tmp_path / "store")
        serve(server, entries(old, "2026-01-01") + entries(new, "2026-02-01"))
        run(f"update {tmp_path}/store")
    after = splits(tmp_path / "store")
    assert before == {row["id"]: before[row["id"]] for row in old}
    assert after == before | {
        second["id"]: before[first["id"]] for first, second in zip(old, new, strict=True)
    }
