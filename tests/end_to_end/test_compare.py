"""``debye compare`` as a user runs it: killed and resumed, with a search, a failure, pairs and a report."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from typer.testing import CliRunner

from debye.benchmark.comparison.results import FILES
from debye.benchmark.comparison.runs import source_digest
from debye.cli.main import app
from debye.dataset.store.build import build_store
from debye.dataset.store.store import Store
from debye.errors import ConfigError
from debye.structure.structure import Crystal, EntityKind, Entry
from debye.structure.write import write_structure
from debye.targets.b_factor import B_FACTOR
from debye.testing.peptide import build_peptide

pytest.importorskip("lightning")
RECIPE = """
name = "meta_gnn"
model = "meta_gnn"
[settings]
layers = 1
node_width = 8
edge_width = 8
global_width = 8
embedding_width = 4
[data]
batches_per_epoch = 2
[data.loader]
batch_atoms = 300
min_usable = 10
[training]
epochs = 20
validate_every = 10
learning_rate = 1e-2
[search]
"settings.node_width" = [6, 8]
"""
RECIPES = Path(__file__).parents[2] / "recipes" / "comparison"
SPLITS = {"train": 6, "val": 3, "test": 4}


def write_entry(path: Path, number: int, sequence: str) -> None:
    generator = np.random.default_rng(number)
    structure = build_peptide(sequence)
    b = 15 + 3 * np.abs(structure.residue_index - 6.5) + generator.gamma(4.0, 0.5, len(structure))
    extent = np.ptp(structure.position, axis=0) + 2.6
    structure = replace(
        structure,
        b_iso=np.round(b, 2).astype(np.float32),
        crystal=Crystal(cell=(*map(float, extent), 90.0, 90.0, 90.0), space_group="P 1"),
        entry=Entry(id=path.stem, method="X-RAY DIFFRACTION", resolution=1.5),
    )
    write_structure(structure, path)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose last two test entries are crystals of one protein, a pair table, and two recipes."""
    folder = tmp_path_factory.mktemp("compare")
    generator = np.random.default_rng(0)
    rows, sequence = ["id,split,cluster"], ""
    for split, count in SPLITS.items():
        for number in range(count):
            entry_id = f"{len(rows):03d}{split[0]}"
            if not (split == "test" and number == count - 1):
                sequence = "".join(generator.choice(list("ACDEFGHIKLMNPQRSTVWY"), 14))
            write_entry(folder / f"{entry_id}.cif", len(rows), sequence)
            rows.append(f"{entry_id},{split},c{len(rows)}")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    build_store(folder / "index.csv", folder, folder / "store")
    (folder / "pairs.csv").write_text(
        "id1,chain1,id2,chain2,same_space_group,pair_group\n012t,A,013t,A,0,p1\n"
    )
    (folder / "predicted").mkdir()
    model = replace(build_peptide(sequence), entry=Entry(id="model", is_predicted=True))
    plddt = (98 - 2 * model.residue_index).astype(np.float32)
    write_structure(replace(model, b_iso=plddt), folder / "predicted" / "model.cif")
    (folder / "predicted" / "map.csv").write_text(
        "model_file,crystal_id,chain,best_match\nmodel.cif,012t,A,1\nmodel.cif,013t,A,0\n"
    )
    (folder / "tiny.toml").write_text(RECIPE)
    broken = RECIPE.partition("[search]")[0] + '[start]\ncheckpoint = "gone.safetensors"\n'
    (folder / "broken.toml").write_text(broken.replace('name = "meta_gnn"', 'name = "broken"'))
    return folder


def command(place: Path, out: Path) -> list[str]:
    recipes = [str(place / "tiny.toml"), str(place / "broken.toml"), "contact_number"]
    options = ["--data", str(place / "store"), "--pairs", str(place / "pairs.csv"), "--seeds", "2"]
    options += ["--predicted", str(place / "predicted")]
    return ["compare", *recipes, *options, "--jobs", "2", "-o", str(out)]


@pytest.fixture(scope="module")
def finished(place: Path) -> tuple[Path, subprocess.CompletedProcess[str], float]:
    """A comparison that was killed while a seed was trained, then run again; and when it was killed."""
    words = [sys.executable, "-W", "ignore", "-m", "debye", *command(place, place / "out")]
    trained = place / "out" / "runs" / "meta_gnn" / "1"
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 1500
        while not (trained / "last.ckpt").exists() and process.poll() is None:
            assert time.monotonic() < deadline, "no checkpoint appeared"
            time.sleep(0.005)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL, "the comparison ended before it could be killed"
    with FileLock(trained / "lock", timeout=60):
        assert not (trained / "result.json").exists(), "the run was at its end when it was killed"
    killed = time.time()
    done = subprocess.run(words, capture_output=True, text=True, timeout=1500, check=False)
    return place / "out", done, killed


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def runs_of(out: Path, **wanted: str) -> list[dict[str, str]]:
    """Rows of runs.csv."""
    rows = read_rows(out / "runs.csv")
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def rows_of(out: Path, **wanted: str) -> list[dict[str, str]]:
    """Rows of results.csv, protein atoms over all structures."""
    wanted = {"atom_class": "protein", "stratum": "all"} | wanted
    rows = read_rows(out / "results.csv")
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


@pytest.mark.slow
def test_a_killed_comparison_goes_on_and_repeats_nothing(finished) -> None:
    out, done, killed = finished
    assert done.returncode == 1, done.stderr
    assert "meta_gnn search 1 was finished before" in done.stderr
    for number in (1, 2):
        result = out / "runs" / "meta_gnn" / f"search-{number}" / "result.json"
        assert result.stat().st_mtime < killed, "a finished trial was run again"
    logs = sorted((out / "runs" / "meta_gnn" / "1").glob("logs/version_*/metrics.csv"))
    with logs[-1].open(newline="") as file:
        epochs = [int(row["epoch"]) for row in csv.DictReader(file) if row["epoch"]]
    assert min(epochs) > 0, "the training began again instead of going on"
    steps = {float(row["train_atoms"]) for row in runs_of(out, kind="seed", status="done")}
    assert all(atoms > 20 * 2 * 100 for atoms in steps), "atoms before the kill were not counted"
    (row,) = runs_of(out, contender="meta_gnn", kind="seed", run="1")
    attempts = json.loads(row["attempts"])
    assert len(attempts) > 1
    assert attempts[0][0] + attempts[0][1] < killed + 5
    assert float(row["seconds"]) == pytest.approx(sum(took for _, took in attempts), rel=1e-4)
    assert f"source files `{source_digest()}`" in (out / "report.md").read_text()


@pytest.mark.slow
def test_a_failed_run_is_reported_and_the_others_go_on(finished) -> None:
    out, done, _ = finished
    assert "failed: broken seed 1" in done.stderr
    failed = runs_of(out, status="failed")
    assert [(row["contender"], row["run"]) for row in failed] == [("broken", "1"), ("broken", "2")]
    assert "gone.safetensors" in failed[0]["reason"]
    assert "gone.safetensors" in (out / "report.md").read_text()
    done_runs = {(row["contender"], row["run"]) for row in rows_of(out, split="test")}
    assert done_runs == {("meta_gnn", "1"), ("meta_gnn", "2"), ("contact_number", "1")}


@pytest.mark.slow
def test_the_search_chooses_the_best_on_validation(finished) -> None:
    out, _, _ = finished
    trials = runs_of(out, kind="search")
    best = max(trials, key=lambda row: float(row["val_r"]))
    chosen = {row["settings"] for row in runs_of(out, kind="seed", status="done")}
    assert len(trials) == 2
    assert chosen == {best["settings"]}
    recipe = json.loads((out / "runs" / "meta_gnn" / "1" / "recipe.json").read_text())["recipe"]
    width = json.loads(best["settings"])["settings.node_width"]
    assert recipe["settings"]["node_width"] == width
    trial = json.loads((out / "runs" / "meta_gnn" / "search-1" / "recipe.json").read_text())
    assert trial["recipe"]["data"]["batches_per_epoch"] == 8  # a fifth of 20 epochs of 2


BACKBONE = ("N", "CA", "C", "O", "OXT")


def scored(
    store: Store, out: Path, run: str, crystal: str, names: tuple[str, ...] = ()
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Deposited and predicted B of the protein atoms, or some by name, of each test structure."""
    pairs = []
    with np.load(out / "runs" / run / "predictions-test.npz") as predictions:
        for row, entry in enumerate(store.entries("test")):
            structure = store.structure("test", row)
            keep = store.labels("test", row, B_FACTOR).usable & (
                structure.entity_kind == EntityKind.PROTEIN
            )
            if names:
                keep &= np.isin(structure.atom_name, names)
            predicted = predictions[f"{entry.id}.{crystal}"][keep].astype(float)
            pairs.append((structure.b_iso[keep].astype(float), predicted))
    return pairs


def read_table(report: Path, title: str) -> dict[str, dict[str, str]]:
    """Cells of one table of report.md by model and heading, counts in brackets left out of the heading."""
    _, _, after = report.read_text().partition(f"\n### {title}\n\n")
    lines = after.partition("\n\n")[0].splitlines()
    assert lines, f"no table {title}"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    header = [name.partition(" (")[0] for name in rows[0]]
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows[2:]}


def relative_error(true: np.ndarray, found: np.ndarray) -> float:
    return np.sqrt(((true - found) ** 2).sum() / ((true - true.mean()) ** 2).sum())


def percent_error(true: np.ndarray, found: np.ndarray) -> float:
    known = true >= 1
    return 100 * (np.abs(true - found)[known] / true[known]).mean()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("title", "column", "digits", "names", "compute"),
    [
        ("CC, per structure", "test", 3, (), lambda true, found: np.corrcoef(true, found)[0, 1]),
        ("MAE / Å², per structure", "test", 2, (), lambda true, found: abs(true - found).mean()),
        ("MAPE / %, per structure", "test", 1, (), percent_error),
        ("RRSE, per structure", "test", 3, (), relative_error),
        (
            *("CC by class of atoms, test", "backbone", 3, BACKBONE),
            lambda true, found: np.corrcoef(true, found)[0, 1],
        ),
    ],
)
def test_cells_of_the_report_follow_from_the_raw_predictions(
    finished, place: Path, title: str, column: str, digits: int, names, compute
) -> None:
    out, _, _ = finished
    store = Store.open(place / "store")
    runs = [
        np.mean([compute(*pair) for pair in scored(store, out, f"meta_gnn/{seed}", "on", names)])
        for seed in ("1", "2")
    ]
    cell = f"{np.mean(runs):.{digits}f} ± {np.std(runs, ddof=1):.{digits}f}"
    assert read_table(out / "report.md", title)["meta_gnn"][column] == cell


@pytest.mark.slow
def test_differences_and_pooled_figures_follow_from_the_raw_predictions(
    finished, place: Path
) -> None:
    out, _, _ = finished
    store = Store.open(place / "store")
    correlations = [
        [np.corrcoef(*pair)[0, 1] for pair in scored(store, out, f"meta_gnn/{seed}", "on")]
        for seed in ("1", "2")
    ]
    number = [np.corrcoef(*pair)[0, 1] for pair in scored(store, out, "contact_number/1", "on")]
    difference = np.mean(number - np.mean(correlations, axis=0))
    with (out / "differences.csv").open(newline="") as file:
        (found,) = [
            row
            for row in csv.DictReader(file)
            if (row["contender"], row["split"], row["measure"])
            == ("contact_number", "test", "pearson_mean")
        ]
    assert float(found["estimate"]) == pytest.approx(difference, abs=1e-5)
    shown = read_table(out / "report.md", "Differences from meta_gnn, test")["contact_number"]
    assert shown["CC"] == f"{difference:+.3f}"
    both = np.concatenate(scored(store, out, "meta_gnn/1", "on"), axis=1)
    pooled = float(
        rows_of(out, contender="meta_gnn", run="1", split="test", crystal="on")[0]["pooled_pearson"]
    )
    assert pooled == pytest.approx(np.corrcoef(*both)[0, 1], abs=1e-5)


@pytest.mark.slow
def test_the_page_needs_nothing_else_and_the_ceiling_is_in_it(finished) -> None:
    out, _, _ = finished
    page = (out / "report.html").read_text()
    assert "http://" not in page
    assert "https://" not in page
    assert page.count("<img ") == page.count('src="data:image/png;base64,') == 6
    assert page.count('alt="') == 6
    assert "crystal to crystal" in page
    with (out / "pairs.csv").open(newline="") as file:
        predictors = [row["predictor"] for row in csv.DictReader(file)]
    assert set(predictors) == {"crystal to crystal", "meta_gnn", "contact_number"}
    assert predictors.count("crystal to crystal") == 1, "every run wrote it"


@pytest.mark.slow
def test_predicted_structures_are_scored_beside_plddt(finished, place: Path) -> None:
    out, _, _ = finished
    table = read_table(out / "report.md", "Predicted structures")
    assert set(table) == {"pLDDT, Phenix", "−pLDDT", "meta_gnn", "contact_number"}
    structure = Store.open(place / "store").structure("test", 2)
    r = np.corrcoef(structure.residue_index, structure.b_iso)[0, 1]
    cells = table["−pLDDT"]
    assert cells["r, best match"] == f"{r:.3f}"
    assert cells["structures"] == "1"
    with (out / "predicted.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["predictor"] == "meta_gnn"]
    best = [float(row["pearson"]) for row in rows if row["best_match"] == "1"]
    assert len(best) == 2, "one for each seed"
    shown = f"{np.mean(best):.3f} ± {np.std(best, ddof=1):.3f}"
    assert table["meta_gnn"]["r, best match"] == shown


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "named"), [("model.cif", "lost.cif", "lost.cif"), ("013t", "9zzz", "9zzz")]
)
def test_predicted_structures_that_are_not_there_are_refused_before_anything_runs(
    place: Path, tmp_path: Path, old: str, new: str, named: str
) -> None:
    table = tmp_path / "map.csv"
    table.write_text((place / "predicted" / "map.csv").read_text().replace(old, new))
    refused = CliRunner().invoke(app, [*command(place, tmp_path / "out"), "--map", str(table)])
    assert isinstance(refused.exception, ConfigError)
    assert f"names {named}" in str(refused.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["compare", "evaluate"])
def test_a_folder_without_a_table_of_matches_says_how_to_give_one(
    place: Path, tmp_path: Path, verb: str
) -> None:
    words = [verb, "contact_number", "--data", str(place / "store"), "--predicted", str(tmp_path)]
    refused = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "out")])
    assert isinstance(refused.exception, ConfigError)
    assert "has no map.csv" in str(refused.exception)
    assert "--map" in str(refused.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_report_is_made_again_from_the_tables_alone(finished, tmp_path: Path) -> None:
    out, _, _ = finished
    for name in ("plan.json", "data.csv", *FILES):
        (tmp_path / name).write_bytes((out / name).read_bytes())
    done = CliRunner().invoke(app, ["compare", "--report-only", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "report.md").read_text() == (out / "report.md").read_text()
    empty = CliRunner().invoke(app, ["compare", "--report-only", str(tmp_path / "figures")])
    assert isinstance(empty.exception, ConfigError)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["recipe", "sample", "pairs", "predicted"])
def test_a_changed_comparison_is_refused(
    finished, place: Path, tmp_path: Path, change: str
) -> None:
    out, _, _ = finished
    words = command(place, out)
    if change == "recipe":
        other = tmp_path / "tiny.toml"
        other.write_text(RECIPE.replace("learning_rate = 1e-2", "learning_rate = 1e-3"))
        words[1] = str(other)
    elif change == "sample":
        words += ["--limit", "2"]
    elif change == "predicted":
        other = tmp_path / "map.csv"
        other.write_text((place / "predicted" / "map.csv").read_text().replace("A,0", "A,1"))
        words += ["--map", str(other)]
    else:
        other = tmp_path / "pairs.csv"
        other.write_text((place / "pairs.csv").read_text().replace(",0,p1", ",1,p1"))
        words[words.index("--pairs") + 1] = str(other)
    refused = CliRunner().invoke(app, words)
    assert isinstance(refused.exception, ConfigError)
    assert "has a run with another" in str(refused.exception)
    assert change in str(refused.exception)


@pytest.mark.slow
def test_a_folder_belongs_to_one_comparison_at_a_time(place: Path, tmp_path: Path) -> None:
    with FileLock(tmp_path / ".lock"):
        refused = CliRunner().invoke(app, command(place, tmp_path))
    assert isinstance(refused.exception, ConfigError)
    assert "another debye compare is at work" in str(refused.exception)
    assert not (tmp_path / "comparison.json").exists()


@pytest.mark.slow
def test_a_gpu_that_is_not_there_is_refused_before_anything_runs(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    refused = CliRunner().invoke(app, [*command(place, tmp_path / "out"), "--device", "cuda"])
    assert isinstance(refused.exception, ConfigError)
    assert "finds no GPU" in str(refused.exception)
    assert not (tmp_path / "out").exists()
    unknown = CliRunner().invoke(app, [*command(place, tmp_path / "out"), "--device", "tpu"])
    assert unknown.exit_code == 2


@pytest.mark.slow
def test_a_constant_beside_the_reference_leaves_nothing_to_draw(
    place: Path, tmp_path: Path
) -> None:
    words = ["compare", "contact_number", "train_mean", "--data", str(place / "store")]
    done = CliRunner().invoke(app, [*words, "-o", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert not (tmp_path / "figures" / "differences.png").exists()
    assert (tmp_path / "figures" / "per_structure.png").exists()


@pytest.mark.slow
def test_quick_trains_the_real_recipes_and_reports(place: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch_geometric")
    recipes = [str(RECIPES / f"{name}.toml") for name in ("gcn", "meta_gnn")]
    words = ["compare", *recipes, "structure_mean", "--quick", "--data", str(place / "store")]
    words += ["--set", "data.loader.min_usable=10", "--set", "search={}", "-o", str(tmp_path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert {row["contender"] for row in rows_of(tmp_path, split="test")} == {
        *("gcn", "meta_gnn", "structure_mean")
    }
    table = read_table(tmp_path / "report.md", "CC, per structure")
    assert all(np.isfinite(float(table[name]["test"])) for name in ("gcn", "meta_gnn"))
    assert table["structure_mean"]["test"] == "–"
    assert "directed edges of the graphs of " in (tmp_path / "report.md").read_text()
