"""A search as its command describes it, checked before the first trial starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig

from spark_lab import runs
from spark_lab.config import compose, compose_node
from spark_lab.errors import Problem, UserError
from spark_lab.plugins import OPTUNA
from spark_lab.preflight import compose_points
from spark_lab.schema import Config
from spark_lab.sweeping import axes as sweeps
from spark_lab.sweeping import labels, launch, launchers, question
from spark_lab.sweeping.axes import Axes, Axis
from spark_lab.sweeping.plan import PlannedRun, quoted
from spark_lab.tuning import metrics, samplers, settings, space, storage
from spark_lab.tuning.settings import Settings
from spark_lab.tuning.space import Space, Value


@dataclass(frozen=True)
class Search:
    """What is searched, how, and where.

    `fixed` holds for every run. `example` is the configuration of a possible trial, `untuned` the
    one without any searched key (None where that can't be composed).
    """

    axes: Axes
    name: str
    space: Space
    settings: Settings
    seeds: tuple[int, ...]
    fixed: tuple[str, ...]
    example: Config
    untuned: Config | None
    storage: str

    @property
    def folder(self) -> Path:
        return runs.folder_of(self.example).parents[1]

    @property
    def n_trials(self) -> int:
        """A grid has no more than its points."""
        if self.settings.sampler["kind"] != "grid":
            return self.settings.n_trials
        points = 1
        for dimension in self.space.dimensions:
            points *= len(dimension.grid() or ())
        return min(self.settings.n_trials, points)

    @property
    def workers(self) -> int:
        found = self.settings.workers or launch.workers(self.axes, self.settings.n_trials)
        assert found is not None, "checked by read"
        return found

    @property
    def shares(self) -> int | None:
        """Into how many parts the workers' machine is divided; None where the launcher does that."""
        return None if self.axes.workers is None else self.workers

    @property
    def fresh_seeds(self) -> tuple[int, ...]:
        first = max(self.seeds) + 1
        return tuple(range(first, first + self.settings.revalidate))

    @property
    def last_rung(self) -> int:
        """The step at which the last seed of a trial ends; its first seed ends at `rungs`."""
        return self.settings.rungs + len(self.seeds) - 1

    def run(self, arm: str, params: dict[str, Value], seed: int) -> PlannedRun:
        """A run with these values of the searched keys."""
        words = (*self.fixed, *self.space.overrides(params), f"seed={seed}", quoted("arm", arm))
        return PlannedRun(arm, seed, compose(list(words), self.axes.config_name), words)

    def trial_run(self, number: int, params: dict[str, Value], seed: int) -> PlannedRun:
        return self.run(runs.trial_arm(number), params, seed)

    def identity(self) -> dict[str, Any]:
        """What must be the same for two commands to work on one search."""
        chosen = self.settings
        return {
            "space": str(self.space).splitlines(),
            "maximize": list(chosen.maximize),
            "minimize": list(chosen.minimize),
            "constraints": list(chosen.constraints),
            "seeds": list(self.seeds),
            "sampler": dict(chosen.sampler),
            "pruner": dict(chosen.pruner),
            "seed": chosen.seed,
            "rungs": chosen.rungs,
            "config": asdict(self.example),
        }


def read(config_name: str, overrides: list[str], multirun: bool) -> Search | None:
    """The search that a command asks for; None where it asks for none.

    Raises UserError with what is wrong with its space, its settings, or any run it could start.
    """
    fixed, swept = _split(overrides)
    if not (multirun or config_name != "config"):
        return None
    node = compose_node(fixed, config_name)
    section = node.hydra
    if not (multirun or section.mode == RunMode.MULTIRUN):
        return None
    if section.sweeper.get("_target_") != OPTUNA:
        return None
    chosen = settings.read(section.sweeper)
    launchers.check(section.launcher)
    typed = {sweeps.key_of(text) for text in (*fixed, *swept)}
    stored = [f"{key}={value}" for key, value in chosen.params.items() if key not in typed]
    more_fixed, more_swept = _split(stored)
    swept = [*more_swept, *swept]
    return _checked(config_name, node, chosen, fixed, more_fixed, swept, overrides)


def refuse_swept_settings(overrides: list[str]) -> None:
    """UserError where a key of Hydra's own has several values."""
    problems = [
        Problem(text, "several values of one of Hydra's keys", "one value", "type one of them")
        for text in _split(overrides)[1]
        if sweeps.is_hydra(text)
    ]
    if problems:
        raise UserError(*problems)


def _split(overrides: list[str]) -> tuple[list[str], list[str]]:
    """(single values, sweeps), each as typed."""
    parsed = {text: space.parse(text) for text in overrides}
    swept = [text for text, one in parsed.items() if one is not None and one.is_sweep_override()]
    return [text for text in overrides if text not in swept], swept


def _checked(
    config_name: str,
    node: DictConfig,
    chosen: Settings,
    fixed: list[str],
    more_fixed: list[str],
    swept: list[str],
    overrides: list[str],
) -> Search:
    seed_texts = [text for text in swept if sweeps.key_of(text) == "seed"]
    searched = [text for text in swept if text not in seed_texts]
    problems: list[Problem] = []
    seeds = _seeds(seed_texts, problems)
    if "arms" in node:
        fix = "hydra/sweeper=basic, or a file without arms"
        problems.append(Problem("arms", "named arms", "keys to search over", fix))
    if problems:
        raise UserError(*problems)
    settled = {sweeps.key_of(text): text.partition("=")[2] for text in [*more_fixed, *fixed]}
    found = space.read(searched, chosen.when, settled)
    keys = [d.key for d in found.dimensions]
    if not keys:
        fix = "trainer.learning_rate=tag(log,interval(1e-5,1e-3)), for example"
        raise UserError(Problem("hydra/sweeper=optuna", "nothing to search", "a swept key", fix))
    axes = Axes(
        config_name=config_name,
        launcher=tuple(text for text in fixed if sweeps.is_hydra(text)),
        fixed=(
            *(t for t in fixed + more_fixed if not sweeps.is_hydra(t) and not _of_sweep(t)),
            *(f"~{name}" for name in sweeps.SECTIONS if sweeps.in_file(name, node, overrides)),
        ),
        settings=sweeps.settings_of(fixed),
        swept=tuple(Axis(d.key, (d.typed,)) for d in found.dimensions),
        arms=(),
        name=node.get("name") or (f"tune-{_stem(keys)}" if config_name == "config" else None),
        name_is_typed=any(sweeps.key_of(text) == "name" for text in fixed),
        workers=launchers.workers(node.hydra.launcher),
        question=question.read(node),
        command=sweeps.command_of(config_name, overrides, config_name == "config"),
    )
    return _composed(axes, chosen, found, seeds)


def _of_sweep(override: str) -> bool:
    return sweeps.key_of(override).partition(".")[0] in sweeps.SECTIONS


def _stem(keys: list[str]) -> str:
    return "+".join(labels.short_keys(keys).values())


def _seeds(texts: list[str], problems: list[Problem]) -> tuple[str, ...]:
    if not texts:
        return ()
    parsed = space.parse(texts[-1])
    if parsed is None or not parsed.is_discrete_sweep():
        fix = "seed=0,1,2"
        problems.append(Problem(texts[-1], "an interval of seeds", "seeds one by one", fix))
        return ()
    found = tuple(map(str, parsed.sweep_string_iterator()))
    if len(set(found)) < len(found):
        fix = f"seed={','.join(dict.fromkeys(found))}"
        problems.append(Problem(texts[-1], "a seed twice", "each seed once", fix))
    return found


def _composed(axes: Axes, chosen: Settings, found: Space, seeds: tuple[str, ...]) -> Search:
    """With every end of every dimension composed, and each seed once."""
    name = labels.sweep_name(axes)
    fixed = [text for text in axes.fixed if sweeps.key_of(text) != "name"] + [quoted("name", name)]
    first = [f"seed={seeds[0]}"] if seeds else []
    texts = [found.overrides(point) + first for point in found.probes()]
    texts += [[*texts[0][:-1], f"seed={seed}"] for seed in seeds[1:]]
    configs = compose_points(axes.config_name, fixed, texts)
    example = replace(configs[0], arm=runs.trial_arm(0))
    every = tuple(dict.fromkeys(config.seed for config in configs))
    search = Search(
        axes=axes,
        name=name,
        space=found,
        settings=chosen,
        seeds=every,
        fixed=tuple(fixed),
        example=example,
        untuned=_without(lambda: compose(fixed + first, axes.config_name)),
        storage=storage.place(chosen.storage, runs.folder_of(example).parents[1]),
    )
    problems = _fits(search)
    if problems:
        raise UserError(*problems)
    return search


def _without(composed: Callable[[], Config]) -> Config | None:
    """A searched key may have no default; the first trial has shown that all else composes."""
    try:
        return composed()
    except UserError:
        return None


def _fits(search: Search) -> list[Problem]:
    """What needs the configuration, or several keys."""
    chosen, config = search.settings, search.example
    problems = metrics.check(chosen, config)
    problems += samplers.check_fit(
        chosen.sampler,
        chosen.pruner,
        search.space,
        metrics=len(chosen.metrics),
        seeds=len(search.seeds),
    )
    pruner = f"hydra/sweeper/pruner={chosen.pruner['kind']}"
    if "steps" in samplers.over(chosen.pruner) and not config.eval.every:
        got = "eval.every=0: no evaluation before the end"
        fix = "eval.every=10, or hydra/sweeper/pruner=none"
        problems.append(Problem(pruner, got, "evaluations to prune at", fix))
    at_the_end = config.eval.test_time == "final" and "tts/" in "".join(chosen.metrics)
    if "steps" in samplers.over(chosen.pruner) and at_the_end:
        got = f"{chosen.metrics[0]}, measured after the last step only"
        fix = "eval.test_time=always, or hydra/sweeper/pruner=none"
        problems.append(Problem(pruner, got, "a metric of every evaluation", fix))
    if config.force:
        fix = "name=NAME for a search of its own, or delete its folder"
        expected = "a search that goes on: force would delete trials that it has learned from"
        problems.append(Problem("force", "true", expected, fix))
    if chosen.workers is None and search.axes.workers in (None, launchers.ALL):
        got = "a launcher that does not say how many jobs it runs at once"
        fix = "hydra.sweeper.workers=4"
        problems.append(Problem("hydra.sweeper.workers", got, "a number", fix))
    return problems
