"""Which points Optuna asks for next (samplers), and which trials are given up early (pruners)."""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spark_lab.errors import Problem, unknown
from spark_lab.tuning.space import Space

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

Bounds = Callable[["FrozenTrial"], Sequence[float]]


class Key(NamedTuple):
    """What a key of an option may be: of `kind`, at least `low`, at most `high`, or a choice."""

    kind: type
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        words = {int: "a whole number", float: "a number", bool: "true or false"}[self.kind]
        ends = [f"at least {self.low:g}"] if self.low > -math.inf else []
        ends += [f"at most {self.high:g}"] if self.high < math.inf else []
        return " ".join([words, " and ".join(ends)]).strip()

    def allows(self, value: Any) -> bool:
        if self.choices:
            return value in self.choices
        if self.kind is bool or isinstance(value, bool):
            return self.kind is bool and isinstance(value, bool)
        fits = isinstance(value, int) or (self.kind is float and isinstance(value, float))
        return fits and self.low <= value <= self.high


_OVER = Key(str, choices=("steps", "seeds", "both"))
OPTIONS: dict[str, dict[str, dict[str, Key]]] = {
    "sampler": {
        "tpe": {
            "n_startup_trials": Key(int, 0),
            "n_ei_candidates": Key(int, 1),
            "multivariate": Key(bool),
        },
        "gp": {"n_startup_trials": Key(int, 1), "deterministic": Key(bool)},
        "nsgaii": {"population_size": Key(int, 2), "crossover_prob": Key(float, 0, 1)},
        "qmc": {"sequence": Key(str, choices=("sobol", "halton")), "scramble": Key(bool)},
        "cmaes": {"n_startup_trials": Key(int, 1), "population_size": Key(int, 2)},
        "grid": {},
        "random": {},
    },
    "pruner": {
        "none": {},
        "median": {
            "over": _OVER,
            "n_startup_trials": Key(int, 1),
            "n_warmup_rungs": Key(int, 0),
        },
        "hyperband": {
            "over": _OVER,
            "min_rung": Key(int, 1),
            "reduction_factor": Key(int, 2),
        },
        "wilcoxon": {"p_threshold": Key(float, 0, 1), "n_startup_seeds": Key(int, 2)},
    },
}


def check(section: dict[str, Any], group: str) -> list[Problem]:
    """Everything wrong with hydra.sweeper.sampler or hydra.sweeper.pruner (`group`) by itself."""
    where = f"hydra.sweeper.{group}"
    kind = section.get("kind")
    if kind not in OPTIONS[group]:
        return [unknown(f"{where}.kind", str(kind), OPTIONS[group], f"hydra/sweeper/{group}=")]
    keys = OPTIONS[group][kind]
    problems = [
        unknown(f"{where}.{key}", key, list(keys) or ["no key"], f"{where}.")
        for key in section
        if key not in (*keys, "kind")
    ]
    for key, rule in keys.items():
        if not rule.allows(section.get(key)):
            fix = f"{where}.{key}=VALUE; hydra/sweeper/{group}={kind} sets it"
            problems.append(Problem(f"{where}.{key}", str(section.get(key)), str(rule), fix))
    return problems


def check_fit(
    sampler: dict[str, Any],
    pruner: dict[str, Any],
    space: Space,
    *,
    metrics: int,
    seeds: int,
) -> list[Problem]:
    """Where sampler and pruner can't do what this search asks of them."""
    where = "hydra/sweeper/sampler"
    kind, problems = sampler["kind"], []
    numeric = sum(d.kind != "choice" for d in space.dimensions)
    if kind == "grid":
        endless = [d for d in space.dimensions if d.grid() is None]
        problems += [
            Problem(
                f"{d.key}={d.typed}",
                "an interval",
                "single values: a grid tries each",
                f"{d.key}=range(START,STOP,STEP)",
            )
            for d in endless
        ]
        if any(d.when for d in space.dimensions):
            fix = f"{where}=tpe, or leave out hydra.sweeper.when"
            problems.append(
                Problem(f"{where}=grid", "a conditional key", "a grid of all keys", fix)
            )
    if kind == "cmaes":
        if numeric < 2:
            fix = f"{where}=tpe"
            problems.append(
                Problem(f"{where}=cmaes", f"{numeric} keys with numbers", "two or more", fix)
            )
        if importlib.util.find_spec("cmaes") is None:
            fix = "pip install 'spark-lab[cmaes]'"
            problems.append(Problem(f"{where}=cmaes", "no package cmaes", "it installed", fix))
    if kind == "cmaes" and metrics > 1:
        problems.append(
            Problem(f"{where}=cmaes", f"{metrics} metrics", "one metric", f"{where}=tpe")
        )
    return problems + _pruner_fit(pruner, metrics, seeds)


def _pruner_fit(pruner: dict[str, Any], metrics: int, seeds: int) -> list[Problem]:
    where, kind = "hydra/sweeper/pruner", pruner["kind"]
    if kind == "none":
        return []
    found = []
    if metrics > 1:
        got = f"{metrics} metrics"
        expected = "one metric: with several no trial is hopeless for sure"
        found.append(Problem(f"{where}={kind}", got, expected, f"{where}=none"))
    if kind == "wilcoxon" and 0.5 ** max(seeds - 1, 0) >= pruner["p_threshold"]:
        got = f"{seeds} seed{'s' * (seeds != 1)}: before the last one p is {0.5 ** max(seeds - 1, 0):g} at best"
        needed = 2 + int(math.log2(1 / max(pruner["p_threshold"], 1e-9)))
        fix = f"seed=0,...,{needed - 1} or hydra.sweeper.pruner.p_threshold above that"
        found.append(Problem(f"{where}=wilcoxon", got, f"p below {pruner['p_threshold']:g}", fix))
    return found


def build_sampler(
    section: dict[str, Any], space: Space, *, seed: int, number: int, bounds: Bounds | None
) -> BaseSampler:
    """The sampler that asks for trial `number`.

    Its random stream belongs to that trial, so a search that was killed neither repeats a draw nor
    differs from one that was not. A grid's order and a sequence's scrambling hold for all trials.
    """
    from optuna import samplers

    kind = section["kind"]
    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    with quiet():
        if kind == "tpe":
            return samplers.TPESampler(
                n_startup_trials=section["n_startup_trials"],
                n_ei_candidates=section["n_ei_candidates"],
                multivariate=section["multivariate"],
                # Without groups, keys that only some trials have would be drawn at random.
                group=section["multivariate"],
                warn_independent_sampling=False,
                constraints_func=bounds,
                seed=own,
            )
        if kind == "gp":
            return samplers.GPSampler(
                n_startup_trials=section["n_startup_trials"],
                deterministic_objective=section["deterministic"],
                warn_independent_sampling=False,
                constraints_func=bounds,
                seed=own,
            )
        if kind == "nsgaii":
            return samplers.NSGAIISampler(
                population_size=section["population_size"],
                crossover_prob=section["crossover_prob"],
                constraints_func=bounds,
                seed=own,
            )
        if kind == "qmc":
            return samplers.QMCSampler(
                qmc_type=section["sequence"],
                scramble=section["scramble"],
                independent_sampler=samplers.RandomSampler(own),
                warn_independent_sampling=False,
                seed=seed,
            )
        if kind == "cmaes":
            return samplers.CmaEsSampler(
                n_startup_trials=section["n_startup_trials"],
                popsize=section["population_size"],
                independent_sampler=samplers.RandomSampler(own),
                warn_independent_sampling=False,
                seed=own,
            )
        if kind == "grid":
            return samplers.GridSampler({d.key: d.grid() or () for d in space.dimensions}, seed)
        return samplers.RandomSampler(own)


def build_pruner(section: dict[str, Any], rungs: int) -> BasePruner:
    """A pruner over rungs 1 ... `rungs` of the first seed and one more for each further seed."""
    from optuna import pruners

    kind = section["kind"]
    with quiet():
        if kind == "median":
            return pruners.MedianPruner(
                n_startup_trials=section["n_startup_trials"],
                n_warmup_steps=section["n_warmup_rungs"] + 1,
            )
        if kind == "hyperband":
            return pruners.HyperbandPruner(
                min_resource=section["min_rung"],
                max_resource=rungs,
                reduction_factor=section["reduction_factor"],
            )
        if kind == "wilcoxon":
            return pruners.WilcoxonPruner(
                p_threshold=section["p_threshold"], n_startup_steps=section["n_startup_seeds"]
            )
        return pruners.NopPruner()


def over(section: dict[str, Any]) -> frozenset[str]:
    """Where trials may be pruned: over "steps" of their first seed, and over "seeds"."""
    if section["kind"] == "none":
        return frozenset()
    chosen = section.get("over", "seeds")
    return frozenset(("steps", "seeds") if chosen == "both" else (chosen,))


class quiet(warnings.catch_warnings):
    """Without Optuna's notes that a class may change in a later version: it is pinned."""

    def __enter__(self):
        found = super().__enter__()
        warnings.filterwarnings("ignore", module="optuna")
        warnings.filterwarnings("ignore", message=".*is experimental.*")
        return found
