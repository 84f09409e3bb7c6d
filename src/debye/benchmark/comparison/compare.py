"""Recipes × store → trained and evaluated models, searches first, in a folder that can be resumed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from debye.benchmark.comparison.contenders import Contender, chosen_settings, trial_recipe
from debye.benchmark.comparison.plan import (
    EVERY_TRAINED,
    TRAIN_SAMPLE,
    CompareConfig,
    Plan,
    PredictedFacts,
    Samples,
    draw_pairs,
    draw_samples,
    write_dataset,
)
from debye.benchmark.comparison.runs import (
    FAILURE_FILE,
    Attempts,
    RunFailure,
    RunJob,
    RunKind,
    Schedule,
    Step,
    Task,
    needs_package,
    read_failure,
    write_failure,
)
from debye.benchmark.crystal_pairs import CrystalPair, pair_table
from debye.benchmark.predicted_models import describe_matches, match_table
from debye.dataset.batches.graph_cache import find_graph_cache, open_graph_cache
from debye.dataset.store.store import Store
from debye.errors import ConfigError, DebyeError
from debye.files import write_text
from debye.graph.config import GraphConfig
from debye.models.catalog import build_model
from debye.models.checkpoint import checkpoint_digest
from debye.scores.tables import write_table
from debye.targets.catalog import find_targets
from debye.training.config import Recipe
from debye.training.fit import claim_folder
from debye.version import library_version

COMPARISON_FILE, SUBSET_FILE, PREPARATION_FILE = "comparison.json", "subset.txt", "preparation.json"
CHOSEN_PAIRS_FILE, LOCK_FILE = "chosen_pairs.csv", ".lock"
USUAL_REFERENCE = "meta_gnn"
FIXED_WEIGHT = 0.3
"""What a run without training takes, in runs of a whole budget: only for the time left."""


@dataclass(slots=True)
class Comparison:
    """One comparison: its contenders, samples and folder."""

    contenders: Sequence[Contender]
    store: Store
    out: Path
    config: CompareConfig
    jobs: int = 1
    """Processes at a time."""
    pairs: Path | None = None
    """Table of crystal pairs, the ceiling."""
    predicted: Path | None = None
    """Folder of predicted structures that are scored against crystals of the store."""
    matches: Path | None = None
    """Table of these crystals; None: ``map.csv`` in that folder."""
    command: str = ""
    """For the report."""
    reference: str = ""
    """Reference model for the differences in the report; empty: meta_gnn, or else the first."""
    on_step: Callable[[Step], None] = lambda step: None
    """Called whenever a run has ended."""
    on_message: Callable[[str], None] = lambda text: None
    """Called before other long work."""
    predicted_facts: PredictedFacts | None = field(init=False, default=None)
    targets: tuple[str, ...] = field(init=False)
    """Names of what all recipes predict."""
    samples: Samples = field(init=False)
    chosen_pairs: list[CrystalPair] = field(init=False, default_factory=list)
    """Those with an entry in the last scored split."""
    _chosen: set[str] = field(init=False, default_factory=set)
    """Contenders whose search is over."""

    def __post_init__(self) -> None:
        if self.config.device == "cuda" and not torch.cuda.is_available():
            problem = "device cuda, but torch finds no GPU that it can use here"
            remedy = "Choose cpu, or install a driver and a build of torch that fit the GPU"
            raise ConfigError("compare", problem, remedy)
        train, val, self.targets = _shared_data(self.contenders)
        trained = [each.recipe for each in self.contenders if each.kind != "fixed"]
        loaders = [recipe.data.loader for recipe in trained if recipe is not None]
        self.samples = draw_samples(
            self.store, self.config, train, val, loaders, find_targets(self.targets)
        )
        if self.pairs is not None:
            self.chosen_pairs = draw_pairs(self.store, self.pairs, self.samples, self.config)
        if self.predicted is not None:
            self.matches = self.matches or match_table(self.predicted)
            facts = describe_matches(self.store, self.predicted, self.matches)
            self.predicted_facts = PredictedFacts.model_validate(facts)
        names = [each.name for each in self.contenders]
        if not self.reference:
            self.reference = USUAL_REFERENCE if USUAL_REFERENCE in names else names[0]
        if self.reference not in names:
            problem = f"the reference {self.reference} is not one of the models"
            raise ConfigError("compare", problem, f"Choose from {', '.join(names)}")

    def run(self) -> list[RunFailure]:
        """Run everything that is missing; return what failed.

        A finished run is kept, one that was stopped resumes, one that failed is tried again.

        Raises:
            ConfigError: the folder holds a comparison of another store, sample or budget, or runs of
                another recipe, or another process works in it.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.out / LOCK_FILE, timeout=0):
                return self._run()
        except Timeout as error:
            problem = "another debye compare is at work in this folder"
            remedy = "Wait until it has ended, or give another folder with -o"
            raise ConfigError(str(self.out), problem, remedy) from error

    def _run(self) -> list[RunFailure]:
        self._claim()
        with Attempts(self.out / PREPARATION_FILE) as preparation:
            unbuildable = self._build_graphs()
            self._describe_data(unbuildable)
        self.plan(preparation.times).write(self.out)
        taking_part = [each for each in self.contenders if each.name not in unbuildable]
        searching = [each for each in taking_part if len(each.trials) > 1]
        runs = {each.name: self._runs(each, each.trials[0]) for each in taking_part}
        weight = sum(task.weight for tasks in runs.values() for task in tasks)
        trials = [task for each in searching for task in self._trials(each)]
        schedule = Schedule(
            follow=lambda task, failure: self._follow(task, failure, schedule),
            jobs=self.jobs,
            on_step=self.on_step,
            total=len(trials) + sum(map(len, runs.values())),
            expected_weight=weight + sum(task.weight for task in trials),
        )
        schedule.failures += list(unbuildable.values())
        # The other runs wait for their search.
        direct = [task for each in taking_part if each not in searching for task in runs[each.name]]
        return schedule.run([*trials, *direct])

    def plan(self, preparation: Sequence[tuple[float, float]]) -> Plan:
        """Return what the report states about the comparison."""
        samples, config = self.samples, self.config
        scored_val = samples.scored.get(samples.val_split, ())
        return Plan(
            contenders=tuple(each.name for each in self.contenders),
            reference=self.reference,
            command=self.command,
            preparation=tuple(preparation),
            version=library_version(),
            data=self.store.path.name,
            digest=self.store.digest,
            target=self.targets[0],
            jobs=self.jobs,
            **config.model_dump(
                include={"seeds", "share", "limit", "draw_seed", "settings", "device"}
            ),
            is_subset=samples.is_subset,
            train_split=samples.train_split,
            train_entries=len(samples.train),
            train_split_entries=len(self.store.entries(samples.train_split)),
            left_out=samples.left_out,
            val_sample=len(samples.val),
            val_sample_scored=sum(name in samples.val for name in scored_val),
            pairs=f"{len(self.chosen_pairs)} of {self.pairs.name}" if self.pairs else None,
            predicted=self.predicted_facts,
            scored={name: len(ids) for name, ids in samples.scored.items()},
        )

    def _claim(self) -> None:
        """Take the folder, or resume in that of the same comparison; write the samples."""
        described = {
            "store": self.store.digest,
            "sample": self.samples.scored,
            "subset": self.samples.train if self.samples.is_subset else None,
            "validation sample": self.samples.val,
            "share of a search": self.config.share,
            "table of pairs": self.pairs.read_text() if self.pairs else None,
        }
        if self.predicted_facts is not None:
            described["predicted structures"] = self.predicted_facts.digest
        claim_folder(self.out / COMPARISON_FILE, described, resume=True)
        for each in self.contenders:
            folder = self.out / "runs" / each.name
            claim_folder(folder / "contender.json", _described(each), resume=True)
        if self.chosen_pairs:
            write_table(self.out / CHOSEN_PAIRS_FILE, pair_table(self.chosen_pairs))
        write_text(self.out / SUBSET_FILE, "".join(f"{name}\n" for name in self.samples.train))

    def _build_graphs(self) -> dict[str, RunFailure]:
        """Build the graphs that the runs need more than once; return the models that cannot be built."""
        failures: dict[str, RunFailure] = {}
        uses: Counter[tuple[GraphConfig, str]] = Counter()
        samples, seeds = self.samples, self.config.seeds
        for each in self.contenders:
            folder = self.out / "runs" / each.name / "build"
            (folder / FAILURE_FILE).unlink(missing_ok=True)
            if each.recipe is None:
                continue
            try:
                config = self._graph_config(each)
            except DebyeError as error:
                self._job(each, "fixed", "build", None, {}, None).write(folder)
                write_failure(folder, str(error), needs_package(error))
                failures[each.name] = read_failure(folder)
                continue
            if each.kind == "learned":
                runs = seeds + (len(each.trials) if len(each.trials) > 1 else 0)
                uses[config, samples.train_split] += runs * len(samples.train)
                for name, ids in samples.scored.items():
                    uses[config, self._split(name)] += seeds * len(ids)
                uses[config, samples.val_split] += runs * len(samples.val)
        for (config, split), count in uses.items():
            total = len(self.store.entries(split))
            if count > total and find_graph_cache(self.store, split, config) is None:
                self.on_message(
                    f"building the graphs of {split}, {total} entries, once for all runs"
                )
                open_graph_cache(self.store, split, config, workers=self.jobs)
        return failures

    def _graph_config(self, contender: Contender) -> GraphConfig:
        settings = contender.recipe.settings if contender.recipe else {}
        return build_model(contender.model, settings, find_targets(self.targets)).graph_config

    def _describe_data(self, unbuildable: Collection[str]) -> None:
        """Write the table of the data, with the edges of the first recipe that is trained by gradient."""
        graphs = {
            each.name: self._graph_config(each)
            for each in self.contenders
            if each.kind == "learned" and each.name not in unbuildable
        }
        name, config = next(iter(graphs.items()), ("", None))
        edges_of = EVERY_TRAINED if len(set(graphs.values())) == 1 else name
        target = find_targets(self.targets)[0]
        write_dataset(self.store, self.samples, config, edges_of, self.out, target)

    def _split(self, column: str) -> str:
        return self.samples.train_split if column == TRAIN_SAMPLE else column

    def _trials(self, contender: Contender) -> list[Task]:
        """Return the trials of a search: the first seed, a share of the budget, no evaluation."""
        recipe, tasks = self._recipe(contender, 1), list[Task]()
        if recipe is None:
            return []
        for number, settings in enumerate(contender.trials, start=1):
            own = trial_recipe(recipe.changed(settings), self.store, self.config.share)
            job = self._job(contender, "search", str(number), 1, settings, own)
            folder = self.out / "runs" / contender.name / f"search-{number}"
            tasks.append(Task(job, folder, self.config.share, order=(0, number)))
        return tasks

    def _runs(self, contender: Contender, settings: dict[str, Any]) -> list[Task]:
        """Return the runs that are evaluated, with the settings that a search chose."""
        kind: RunKind = "seed" if contender.kind == "learned" else contender.kind
        tasks = []
        for seed in range(1, self.config.seeds + 1) if contender.has_seeds else [None]:
            recipe = self._recipe(contender, seed)
            recipe = recipe and recipe.changed(settings)
            job = self._job(contender, kind, str(seed or 1), seed, settings, recipe)
            folder = self.out / "runs" / contender.name / job.run
            weight, order = (1.0, (2, seed)) if seed else (FIXED_WEIGHT, (1, 0))
            tasks.append(Task(job, folder, weight, order))
        return tasks

    def _recipe(self, contender: Contender, seed: int | None) -> Recipe | None:
        """Return the recipe of one run: its seed, the entries that all are trained and validated on."""
        recipe, settings = contender.recipe, dict[str, Any]()
        if recipe is None:
            return None
        if contender.kind != "fixed":
            settings["data.validation_only"] = self.samples.val
            if self.samples.is_subset and recipe.data.loader.only:
                problem = "trains on entries of its own choice (data.loader.only)"
                raise ConfigError(contender.source, problem, "Leave out either that or --subset")
            if self.samples.is_subset:
                settings["data.loader.only"] = self.samples.train
        if seed is not None:
            settings["training.seed"] = seed
            if contender.seed_setting:
                settings["settings.seed"] = seed
        return recipe.changed(settings)

    def _job(
        self,
        contender: Contender,
        kind: RunKind,
        run: str,
        seed: int | None,
        settings: dict[str, Any],
        recipe: Recipe | None,
    ) -> RunJob:
        scored = {} if kind == "search" else self.samples.scored
        pairs = self.out / CHOSEN_PAIRS_FILE if self.chosen_pairs else None
        tables = {"pairs": pairs, "predicted": self.predicted, "matches": self.matches}
        return RunJob(
            contender=contender.name,
            kind=kind,
            run=run,
            seed=seed,
            settings=settings,
            model=contender.model,
            recipe=recipe,
            checkpoint=contender.checkpoint,
            store=str(self.store.path.resolve()),
            digest=self.store.digest,
            scored=scored,
            splits={name: self._split(name) for name in scored},
            pair_splits=tuple(scored)[-1:],
            device=self.config.device,
            jobs=self.jobs,
            **{name: str(path.resolve()) for name, path in tables.items() if path and scored},
        )

    def _follow(self, task: Task, failure: RunFailure | None, schedule: Schedule) -> Sequence[Task]:
        """After the last trial of a contender, return its runs with the best settings."""
        if task.job.kind != "search" or task.job.contender in self._chosen:
            return []
        contender = next(each for each in self.contenders if each.name == task.job.contender)
        failed = {each.job.title for each in schedule.failures}
        trials = self._trials(contender)
        if not all(each.is_done or each.job.title in failed for each in trials):
            return []
        self._chosen.add(contender.name)
        places = [(each.folder, each.job.settings) for each in trials]
        settings = chosen_settings(self.out / "runs" / contender.name, places)
        if settings is None:
            runs = self._runs(contender, {})
            schedule.drop(len(runs), sum(each.weight for each in runs))
            return []
        return self._runs(contender, settings)


def usual_jobs(device: str) -> int:
    """Return how many runs there are at a time: one a core, or one on a GPU."""
    return 1 if device.startswith("cuda") else os.cpu_count() or 1


def _shared_data(contenders: Sequence[Contender]) -> tuple[str, str, tuple[str, ...]]:
    """Return the splits that all recipes train and validate on, and their targets."""
    recipes = [each.recipe for each in contenders if each.recipe is not None]
    named = {(each.data.split, each.data.validation_split) for each in recipes}
    targets = {each.targets for each in recipes}
    for found, what, setting in (
        (named, "train and validate on different splits", "data.split and data.validation_split"),
        (targets, "have different targets", "targets"),
    ):
        if len(found) > 1:
            shown = ", ".join(" and ".join(each) for each in sorted(found))
            raise ConfigError(
                "compare", f"the recipes {what} ({shown})", f"Give all recipes the same {setting}"
            )
    train, val = next(iter(named), ("train", "val"))
    return train, val, next(iter(targets), ("b_factor",))


def _described(contender: Contender) -> dict[str, Any]:
    """Return what the runs of a contender depend on."""
    described: dict[str, Any] = {"model": contender.model, "kind": contender.kind}
    if contender.recipe is not None:
        return described | {"recipe": contender.recipe.model_dump(mode="json")}
    if contender.checkpoint is not None:
        described["checkpoint"] = checkpoint_digest(contender.checkpoint)
    return described
