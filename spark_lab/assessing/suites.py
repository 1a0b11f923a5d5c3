"""`spark-lab eval suite=...`: one model on public benchmarks."""

from __future__ import annotations

import functools
import typing
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from spark_lab import runs
from spark_lab.assessing import store
from spark_lab.assessing.subject import Subject, find
from spark_lab.errors import Problem, UserError
from spark_lab.models.folder import sees_images
from spark_lab.models.load import resolve_path
from spark_lab.schema import TaskConfig

if TYPE_CHECKING:
    from spark_lab.benchmarks.benchmark import Benchmark, Loaded

OPTION = "benchmark"  # of the group `eval`
WORDS = ("suite", "data", "limit", "samples")
# The keys of `eval` that a benchmark is asked by; the others would have no effect.
KEYS = (
    *("temperature", "answer_temperature", "test_time", "test_time_rounds"),
    *("batch_size", "max_completion_length", "seed"),
)


@dataclass(frozen=True)
class Plan:
    """What was typed of a suite. `samples` None: each benchmark's own number."""

    names: str
    data: Path | None
    limit: int | None
    samples: int | None


def is_asked(argv: Sequence[str]) -> bool:
    return any(word.startswith("suite=") for word in argv)


def main(argv: list[str]) -> None:
    """Raises UserError for bad input, a benchmark's own rows included, before any model is loaded."""
    from spark_lab.benchmarks import catalogue

    plan, rest = _plan(argv)
    benchmarks, tasks = catalogue.chosen(plan.names)
    subject = _subject(rest)
    _check_sight(benchmarks, subject)
    trained = _trained_on(subject)
    loaded = [_load(one, plan, trained) for one in benchmarks]
    if tasks:
        from spark_lab.assessing import harness

        harness.check(tasks, plan.data)
    # Torch takes seconds to import, which errors don't pay for.
    from spark_lab.assessing import measuring, suite_table
    from spark_lab.build import build_generator, load_asked

    config = subject.config
    asked = functools.cache(lambda: load_asked(config, subject.adapters))
    generator = functools.cache(lambda: build_generator(config, *asked()))
    weights = store.weights(subject)
    results = {}
    for one in loaded:
        settings = measuring.settings_of(one, subject, weights, plan.limit, plan.samples)
        results[one.benchmark.name] = measuring.result(one, subject, settings, generator)
    for task in tasks:
        name = catalogue.HARNESS + task
        results[name] = harness.result(task, subject, weights, plan.data, plan.limit, asked)
    suite_table.show(results, plan.names, subject.title)


def _plan(argv: Sequence[str]) -> tuple[Plan, list[str]]:
    own: dict[str, str] = {}
    rest = []
    for word in argv:
        key, equals, value = word.partition("=")
        if equals and key in WORDS:
            own[key] = value
        else:
            rest.append(word)
    problems = [
        Problem(f"{key}={own[key]}", "no number", f"an integer >= {least}", f"{key}={least + 1}")
        for key, least in (("limit", 1), ("samples", 0))
        if key in own and not (own[key].isdecimal() and int(own[key]) >= least)
    ]
    if problems:
        raise UserError(*problems)
    numbers = {key: int(own[key]) if key in own else None for key in ("limit", "samples")}
    data = Path(own["data"]).expanduser() if own.get("data") else None
    return Plan(own["suite"], data, **numbers), rest


def _subject(rest: Sequence[str]) -> Subject:
    problems = [_without_effect(word) for word in rest if not _concerns(word)]
    if problems:
        raise UserError(*problems)
    # A run's own questions are not asked, so they may be gone.
    subject = find([*rest, "task=chain_sums"], "eval", OPTION)
    if any(_key(word) in ("eval", "eval.answer_temperature") for word in rest):
        return subject
    config = replace(subject.config, eval=replace(subject.config.eval, answer_temperature=0.0))
    return replace(subject, config=config)


def _key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]


def _concerns(word: str) -> bool:
    section, _, name = _key(word).partition(".")
    return section != "task" and (section != "eval" or not name or name in KEYS)


def _without_effect(word: str) -> Problem:
    fix = "leave it out"
    if _key(word) in ("eval.samples", "eval.test_time_samples"):
        fix = "samples=K"
    expected = f"keys of model, trainer.threads, and of eval: {', '.join(KEYS)}"
    return Problem(word, "nothing that a benchmark is asked by", expected, fix)


def _check_sight(benchmarks: Sequence[Benchmark], subject: Subject) -> None:
    """What a hub's name stands for is known once it is loaded."""
    folder = Path(resolve_path(subject.config.model.path))
    visual = [one.name for one in benchmarks if one.visual]
    if visual and folder.is_dir() and not sees_images(folder):
        raise UserError(subject.blind_for(", ".join(visual)))


def _trained_on(subject: Subject) -> frozenset[str] | None:
    """The questions that a run was trained on; None for a model by its path, or where they are gone."""
    from spark_lab.tasks import build_task
    from spark_lab.tasks.data import identity

    if subject.run is None:
        return None
    stored = runs.read_config(subject.run)["task"]
    try:
        node = OmegaConf.merge(OmegaConf.structured(TaskConfig), stored)
        task = build_task(typing.cast(TaskConfig, OmegaConf.to_object(node)))
    except (UserError, OmegaConfBaseException):
        return None
    return frozenset(map(identity, task.train))


def _load(benchmark: Benchmark, plan: Plan, trained: frozenset[str] | None) -> Loaded:
    from spark_lab.benchmarks import catalogue
    from spark_lab.benchmarks.benchmark import Loaded
    from spark_lab.tasks.data import identity

    protocol = catalogue.protocol_of(benchmark)
    items = protocol.load(benchmark, plan.data, plan.limit)
    if trained is None:
        return Loaded(benchmark, items, None)
    asked = protocol.questions(items)
    seen = frozenset(one.index for one in asked if identity(one) in trained)
    return Loaded(benchmark, items, seen)
