"""Write the parts of the docs that are generated: results, model cards, catalogs.

    python scripts/make_docs.py            # after `debye evaluate … -o docs/results/SPLIT`
    python scripts/make_docs.py --check    # only say what is out of date, exit 1 if anything is

Numbers are copied from ``docs/results/*/report.json``, which ``debye evaluate`` writes.
"""

from __future__ import annotations

import csv
import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any

from aims import AIMS, RESULTS, summary

from debye.graph.node_features import NODE_FEATURES
from debye.graph.structure_features import STRUCTURE_FEATURES
from debye.models.catalog import CATALOG
from debye.models.checkpoint import CheckpointHeader, read_header, released_checkpoints
from debye.prediction.predictor import DEFAULT_MODEL
from debye.scores.strata import ATOM_CLASSES
from debye.targets.target import TARGETS

ROOT = Path(__file__).parent.parent
ABLATIONS = RESULTS / "ablations"
ABLATION_FIGURES = {
    "val_r_crystal": "crystal",
    "val_r_isolated": "hidden",
    "val_r_noise": "hidden, noise",
}
ABLATION_SEEDS = ("base", "seed_2", "seed_3")
"""Variants that differ by their seed alone."""
SPLITS = {
    "kinase": "protein and small-molecule kinases, none similar in training",
    "test": "one entry a sequence cluster, none similar in training",
    "val": "the same, used to choose epochs and to calibrate bounds",
    "kinase_unknown": "the kinases, resolution unknown",
    "test_noise": "the test structures with noise on every coordinate",
    "relaxed": "single chains of half of the validation structures, completed and relaxed in a force field",
}
"""Folders of results; those that are not there are left out."""
CORRELATIONS = {"pairs": "Crystals of one protein", "predicted_models": "Predicted structures"}
"""Stems of reports of correlations, in any folder of results."""
SMALL_CLASSES = ("modified residue", "nucleic", "ligand", "cofactor", "sugar", "ion")
"""Atoms that the rows of all models leave out."""
MAIN_MODELS = ("waller", "waller-small", "meta_gnn", "weighted_contact_number")
PREDICTORS = {"−pLDDT": "−pLDDT", "pLDDT, Phenix": "B from pLDDT as in Phenix"}
"""How to name what is no model."""
MARKERS = re.compile(r"(<!-- results:start -->\n).*?(<!-- results:end -->)", re.DOTALL)


def main(check: bool) -> int:
    """Write, or compare, every generated file; return the exit code."""
    reports = {
        split: json.loads((RESULTS / split / "report.json").read_text())
        for split in SPLITS
        if (RESULTS / split / "report.json").exists()
    }
    readme = ROOT / "README.md"
    files = {
        readme: MARKERS.sub(
            lambda found: found[1] + results(reports, ("kinase", "test")) + found[2],
            readme.read_text(),
        ),
        ABLATIONS / "README.md": MARKERS.sub(
            lambda found: found[1] + ablations() + found[2], (ABLATIONS / "README.md").read_text()
        ),
        ROOT / "docs" / "catalogs.md": catalogs(),
        ROOT / "docs" / "results" / "README.md": results_page(reports),
    }
    for name, path in released_checkpoints().items():
        files[path.with_suffix(".md")] = model_card(read_header(name), path, reports)
    stale = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        print(("out of date: " if check else "wrote ") + str(path.relative_to(ROOT)))
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[path])
    return 1 if check and stale else 0


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def number(value: float | None, digits: int = 3) -> str:
    """Return a rounded number, or a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def results(reports: dict[str, Any], splits: tuple[str, ...]) -> str:
    """Return the comparison of all models on some splits."""
    parts = []
    for split in splits:
        if split not in reports:
            continue
        report = reports[split]
        rows = [result_row(evaluation) for evaluation in report["evaluations"]]
        structures = summary(report["evaluations"][0])["structures"]
        parts.append(
            f"**`{split}`**, {structures} structures ({SPLITS[split]}):\n\n"
            + table(
                [
                    "model",
                    "crystal",
                    "mean r",
                    "95 %",
                    "median r",
                    "10th percentile",
                    "pooled raw r (oracle)",
                    "MAE, Å² (oracle)",
                    "coverage",
                ],
                rows,
            )
            + "".join(f"\n{sentence}\n" for sentence in agreement(split))
        )
    return "\n".join(parts)


def result_row(evaluation: dict[str, Any]) -> list[str]:
    """Return the cells of one model."""
    row = summary(evaluation)
    found = row["estimates"]
    interval = row["intervals"]["pearson_mean"]
    has_level = found["pooled_mae"] is not None
    return [
        f"`{evaluation['model']}`",
        "on" if evaluation["crystal"] else "off",
        number(found["pearson_mean"]),
        f"{number(interval['low'])}–{number(interval['high'])}"
        if found["pearson_mean"] is not None
        else "–",
        number(found["pearson_median"]),
        number(found["pearson_p10"]),
        f"{number(found['pooled_pearson'])} ({number(found['oracle_pooled_pearson'])})"
        if has_level
        else "–",
        f"{number(found['pooled_mae'], 1)} ({number(found['oracle_pooled_mae'], 1)})"
        if has_level
        else "–",
        number(found["coverage_90"], 2),
    ]


def agreement(split: str) -> list[str]:
    """Return a sentence on how well two crystals of one protein agree, and one on predicted structures."""
    pairs, predicted = (
        json.loads(path.read_text())["means"] if path.exists() else []
        for path in (RESULTS / split / f"{stem}.json" for stem in CORRELATIONS)
    )
    sentences = []
    if pairs:
        means = {(row["model"], row["crystal"], row["group"]): row for row in pairs}
        every = means["crystal to crystal", "", "all pairs"]
        same = means["crystal to crystal", "", "same form"]
        mine, crossed = (means[DEFAULT_MODEL, shown, "all pairs"] for shown in ("on", "other"))
        sentences.append(
            f"The deposited B of two crystals of one protein agree to r = {number(every['mean'])} ({every['items']} pairs; "
            f"{number(same['mean'])} in the same crystal form). `{DEFAULT_MODEL}`, which is shown the packing and the coordinates of each "
            f"crystal itself, agrees with them to {number(mine['mean'])}; from one chain of the other crystal alone, shown as a predicted "
            f"structure is, to {number(crossed['mean'])}."
        )
    if predicted:
        best = [row for row in predicted if row["group"] == "best match"]
        told = [
            f"{PREDICTORS.get(row['model'], '`' + row['model'] + '`')} {number(row['mean'])}"
            for row in best
            if row["model"] in (*MAIN_MODELS, *PREDICTORS)
        ]
        sentences.append(
            f"On {best[0]['items']} AlphaFold models, against a crystal of the same protein: {', '.join(told)}."
        )
    return sentences


def aims(reports: dict[str, Any]) -> list[str]:
    """Return the section that holds the default model against what it is meant to reach."""
    return [
        "## Aims",
        "",
        f"What `{DEFAULT_MODEL}` is meant to reach, with the crystal where nothing is said. The bounds are older than the model. `kinase` and",
        "`test` were evaluated between its cycles of training; which weights were kept was decided on `val`. Ligands have at",
        "least 7 heavy atoms. Speed: [benchmarks](../benchmarks.md).",
        "",
        table(
            ["figure", "bounds", "goal", "measured", "bounds are"],
            [aim.row(reports) for aim in AIMS],
        ),
    ]


def small_classes(report: dict[str, Any]) -> str:
    """Return the figures of atoms that are no protein, or modified, of the most important models."""
    rows = []
    for atom_class in SMALL_CLASSES:
        for evaluation in report["evaluations"]:
            present = any(row["atom_class"] == atom_class for row in evaluation["summaries"])
            if not present or evaluation["model"] not in MAIN_MODELS:
                continue
            row = summary(evaluation, atom_class)
            values = row["estimates"]
            rows.append(
                [
                    atom_class, str(row["structures"]), f"`{evaluation['model']}`",
                    "on" if evaluation["crystal"] else "off", number(values["pearson_mean"]),
                    number(values["z_mae"], 2), number(values["coverage_90"], 2),
                ]
            )  # fmt: skip
    head = ["atoms", "structures", "model", "crystal", "mean r", "MAE, z", "coverage"]
    return table(head, rows)


def results_page(reports: dict[str, Any]) -> str:
    """Return the page that says how each number was made."""
    lines = [
        "# Results",
        "",
        "Generated by `scripts/make_docs.py` from the `report.json` of each folder. Protein heavy atoms; r is Pearson's,",
        "per structure, then averaged; the interval is a bootstrap over structures. *Crystal* says whether symmetry mates",
        "were shown. Pooled figures stand beside an oracle that knows the mean B of each structure and nothing else.",
        "MAE is over all atoms. Coverage: share of atoms within their 90 % interval.",
        "",
        *aims(reports),
    ]
    for split, report in reports.items():
        source = report["provenance"]
        lines += [
            f"## {split}",
            "",
            results(reports, (split,)),
            *([small_classes(report)] if split in ("kinase", "test") else []),
            f"`{source['command']}`, debye {source['version']}, data digest `{source['digest'][:16]}`.",
            f"More in [{split}/report.md]({split}/report.md).",
            "",
        ]
    for stem, title in CORRELATIONS.items():
        for path in sorted(RESULTS.glob(f"*/{stem}.json")):
            lines += correlations(json.loads(path.read_text()), title, path)
    return "\n".join(lines)


def correlations(report: dict[str, Any], title: str, path: Path) -> list[str]:
    """Return the section of pairs of crystals, or of predicted structures."""
    source = report["provenance"]
    rows = [
        [
            row["model"], row["crystal"] or "–", row["group"], str(row["items"]), number(row["mean"]),
            f"{number(row['interval']['low'])}–{number(row['interval']['high'])}"
            if row["interval"]["low"] is not None else "–",
            number(row["median"]),
        ]
        for row in report["means"]
    ]  # fmt: skip
    return [
        f"## {title}, {source['split']}",
        "",
        table(["predictor", "crystal", "group", "items", "mean r", "95 %", "median r"], rows),
        f"{report['note']} `{source['command']}`.",
        f"More in [{path.parent.name}/{path.stem}.md]({path.parent.name}/{path.stem}.md).",
        "",
    ]


def ablations() -> str:
    """Return the table of ablations: differences to the mean of the seeds, in bold beyond two of their deviations."""
    with (ABLATIONS / "ablations.csv").open(newline="") as file:
        variants = {row["variant"]: row for row in csv.DictReader(file)}
    seeds = {
        name: [float(variants[seed][name]) for seed in ABLATION_SEEDS] for name in ABLATION_FIGURES
    }
    mean = {name: statistics.mean(values) for name, values in seeds.items()}
    deviation = {name: statistics.stdev(values) for name, values in seeds.items()}

    def difference(row: dict[str, str], name: str) -> str:
        value = float(row[name]) - mean[name]
        text = f"{value:+.4f}".replace("-", "−")
        return f"**{text}**" if abs(value) > 2 * deviation[name] else text

    rows = [
        ["mean of three seeds", *(f"{mean[name]:.4f}" for name in ABLATION_FIGURES)],
        ["their standard deviation", *(f"{deviation[name]:.4f}" for name in ABLATION_FIGURES)],
    ]
    for name, row in variants.items():
        if name not in ABLATION_SEEDS:
            cells = [difference(row, figure) for figure in ABLATION_FIGURES]
            rows.append([f"`{name}`", *cells])
    return table(["variant", *ABLATION_FIGURES.values()], rows)


def model_card(header: CheckpointHeader, path: Path, reports: dict[str, Any]) -> str:
    """Return the card that travels with a released checkpoint."""
    training = header.training
    recipe = training.get("recipe", {})
    graph = header.config.get("graph", {})
    lines = [
        f"# Model card: `{header.name}`",
        "",
        f"{CATALOG[header.model].summary} Predicts `{header.target}`. {path.stat().st_size / 1e6:.1f} MB.",
        "",
        "**Intended use.** Expected crystallographic B-factors (Å²) of heavy atoms, to compare atoms within a structure, weigh",
        "models in molecular replacement, choose mutation sites, and look critically at deposited values. Not a confidence",
        "of a predicted model, and not a measure of motion in solution.",
        "",
        "**Training.** Recipe "
        f"`{recipe.get('name', header.name)}`, split `{recipe.get('data', {}).get('split', 'train')}`, "
        f"data digest `{str(training.get('store', 'unknown'))[:16]}`, seed "
        f"{recipe.get('training', {}).get('seed', '–')}, {training.get('hardware', 'CPU')}, "
        f"debye {header.version}, torch {training.get('torch', '–')}. {steps(training)}",
        "",
        "**Inputs.** "
        f"Categories: {', '.join(graph.get('node_categories', [])) or 'none'}. "
        f"Scalars: {', '.join(graph.get('node_scalars', [])) or 'none'}. "
        f"Of the structure: {', '.join(graph.get('structure_scalars', [])) or 'none'}. "
        f"Edges: {edges(graph)}.",
        "",
        "**Figures.**",
        "",
        *(own_rows(header.name, reports)),
        "**Limits.** Trained on X-ray structures up to 3 Å, mostly soluble proteins. The level of B belongs largely to the",
        "crystal and its data: its error dominates MAE. Atoms in ligands, ions and nucleic acids are a small share of",
        "the training data. Bounds are calibrated by class of atoms on the validation split; *coverage* above says how many atoms",
        "of other structures they hold.",
        "",
    ]
    return "\n".join(lines)


def steps(training: dict[str, Any]) -> str:
    """Return in words how long a run trained; each of its processes has batches of its own."""
    recipe = training.get("recipe", {})
    batches = recipe.get("data", {}).get("batches_per_epoch")
    epochs = recipe.get("training", {}).get("epochs")
    if not batches or not epochs:
        return "Fitted in one pass."
    processes = int(str(training.get("hardware", "1")).split()[0])
    largest = recipe["data"]["loader"]["batch_atoms"]
    atoms = batches * epochs * largest * processes
    together = f" on each of {processes} processes" if processes > 1 else ""
    optimizer = {"adamw": "AdamW", "muon": "Muon"}[recipe["training"].get("optimizer", "adamw")]
    text = (
        f"{batches * epochs:,} steps of {optimizer} of at most {largest:,} atoms{together}, at most "
        f"{atoms / 1e6:.0f} million in all."
    )
    if recipe.get("rehearsal"):
        text += (
            f" For each of these batches {recipe['rehearsal']['share']:g} of a second store, digest "
            f"`{training['old_store'][:16]}`."
        )
    blend = (recipe.get("start") or {}).get("blend", 1)
    if blend < 1:
        text += f" Kept: {blend:.0%} of these weights, the rest as they were before."
    parent = training.get("parent")
    return f"{text} Before that: {steps(parent['training'])}" if parent else text


def edges(graph: dict[str, Any]) -> str:
    """Return in words which edges a graph has."""
    kinds = ["bonds"] if graph.get("covalent", True) else []
    if graph.get("radius"):
        kinds.append(f"contacts within {graph['radius']:g} Å")
    if graph.get("nearest"):
        kinds.append(f"{graph['nearest']} nearest atoms")
    if graph.get("residue_radius"):
        kinds.append(f"between residues within {graph['residue_radius']:g} Å")
    return ", ".join(kinds)


def own_rows(name: str, reports: dict[str, Any]) -> list[str]:
    """Return one table of a model over splits and atom classes."""
    rows = []
    for split, report in reports.items():
        for evaluation in report["evaluations"]:
            if evaluation["model"] != name:
                continue
            for atom_class in ATOM_CLASSES:
                found = [
                    row
                    for row in evaluation["summaries"]
                    if row["atom_class"] == atom_class and row["stratum"] == "all"
                ]
                if not found:
                    continue
                values = found[0]["estimates"]
                rows.append(
                    [
                        split, "on" if evaluation["crystal"] else "off", atom_class,
                        str(found[0]["structures"]), number(values["pearson_mean"]),
                        number(values["mae_mean"], 1), number(values.get("z_mae"), 2),
                        number(values["coverage_90"], 2),
                    ]
                )  # fmt: skip
    head = ["split", "crystal", "atoms", "structures", "mean r", "MAE, Å²", "MAE, z", "coverage"]
    return [table(head, rows)] if rows else ["No evaluation is committed.", ""]


def catalogs() -> str:
    """Return the page of all catalogs."""
    models = [
        [
            f"`{card.name}`",
            card.summary,
            "yes" if card.learned else "baseline",
            *(
                "" if fact is None else "yes" if fact else "no"
                for fact in (card.edge_features, card.vectors)
            ),
            "" if card.extra is None else f"`{card.extra}`",
        ]
        for card in CATALOG.values()
    ]
    features = [
        [f"`{row.name}`", f"{row.size} codes" if row.kind == "category" else row.unit, row.source]
        for row in NODE_FEATURES.values()
    ]
    facts = [[f"`{name}`", row.summary] for name, row in STRUCTURE_FEATURES.items()]
    targets = [[f"`{row.name}`", row.unit, row.summary] for row in TARGETS.values()]
    return "\n".join(
        [
            "# Catalogs",
            "",
            "Generated by `scripts/make_docs.py`: the names that recipes may use.",
            "",
            "## Models",
            "",
            table(["name", "what it is", "trained", "edge features", "vectors", "extra"], models),
            "Edge features: what an edge is (length, bond order, mate) can reach the messages that pass "
            "along it.",
            "Vectors: its direction can, too. Extra: what `pip install 'debye[EXTRA]'` must bring. [How they are compared](training.md#the-comparison).",
            "",
            "## Atom features (`node_categories`, `node_scalars`)",
            "",
            table(["name", "unit", "definition and source"], features),
            "## Structure features (`structure_scalars`)",
            "",
            table(["name", "definition"], facts),
            "## Targets",
            "",
            table(["name", "unit", "what it is"], targets),
        ]
    )


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
