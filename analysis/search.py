"""A search read from its folder: which trial to take, and what the trials say about each key."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spark_lab.analysis.pareto import pareto_front
from spark_lab.errors import Problem, UserError

if TYPE_CHECKING:
    from optuna import Study

NAME = "study.json"
# The arms on fresh seeds: "tuned-007" has the values of trial 7.
TUNED, UNTUNED = "tuned", "untuned"


@dataclass(frozen=True)
class Trial:
    """One trial. `state` is COMPLETE, PRUNED, FAIL or RUNNING; `values` are in the search's order of
    metrics, `intermediate` by rung, `excess` above 0 where a constraint is broken."""

    number: int
    state: str
    values: tuple[float, ...]
    params: dict[str, Any]
    intermediate: dict[int, float]
    result: dict[str, float]
    excess: tuple[float, ...]
    tokens: float

    @property
    def complete(self) -> bool:
        return self.state == "COMPLETE"

    @property
    def feasible(self) -> bool:
        return self.complete and all(value <= 0 for value in self.excess)


@dataclass(frozen=True)
class Searched:
    """A search as study.json tells it; `data` is the file itself."""

    folder: Path
    data: dict[str, Any]
    trials: tuple[Trial, ...]

    @property
    def metrics(self) -> tuple[str, ...]:
        return (*self.data["maximize"], *self.data["minimize"])

    @property
    def maximized(self) -> tuple[bool, ...]:
        return tuple(one == "maximize" for one in self.data["directions"])

    @property
    def conditional(self) -> bool:
        """Whether only some trials have some keys."""
        return any(len(trial.params) < len(self.data["keys"]) for trial in self.trials)

    @property
    def ended(self) -> int:
        """Trials that count: finished or given up."""
        return sum(trial.state in ("COMPLETE", "PRUNED") for trial in self.trials)

    @property
    def feasible(self) -> tuple[Trial, ...]:
        return tuple(trial for trial in self.trials if trial.feasible)

    @property
    def front(self) -> tuple[Trial, ...]:
        """The trials that no other beats in every metric, best first in the first metric."""
        trials = self.feasible
        if not trials:
            return ()
        points = np.array([trial.values for trial in trials])
        kept = pareto_front(points, self.maximized)
        sign = -1 if self.maximized[0] else 1
        found = [trial for trial, on in zip(trials, kept, strict=True) if on]
        return tuple(sorted(found, key=lambda trial: (sign * trial.values[0], trial.number)))

    @property
    def chosen(self) -> Trial | None:
        """The best trial, or of several metrics the knee of the front; None without a finished one
        that keeps to the constraints."""
        front = self.front
        if not front:
            return None
        return front[knee(np.array([trial.values for trial in front]), self.maximized)]


def read(folder: Path) -> Searched | None:
    """The search of a sweep's folder; None where it holds none. UserError where it is damaged."""
    path = folder / NAME
    if not path.exists():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Searched(folder, data, tuple(_trial(one) for one in data["trials"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        fix = "type the search's command again, which writes it anew"
        got = f"damaged ({type(error).__name__})"
        raise UserError(Problem(str(path), got, "the trials of a search", fix)) from error


def knee(points: np.ndarray, larger_is_better: Sequence[bool]) -> int:
    """The row of `points` [trials, metrics] that gives up least: nearest to the ideal point.

    Each metric is scaled to 0 (worst on this front) ... 1 (best); the distance is Euclidean
    (compromise programming: Zeleny 1973). Where rows are equally near, the first.
    """
    signed = np.where(larger_is_better, points, -np.asarray(points, float))
    low, high = signed.min(axis=0), signed.max(axis=0)
    scaled = np.divide(signed - low, high - low, out=np.ones_like(signed), where=high > low)
    return int(np.argmin(np.sqrt(((1 - scaled) ** 2).sum(axis=1)).round(12)))


def as_study(searched: Searched) -> Study:
    """The finished and pruned trials as a study of Optuna's, in memory."""
    import optuna
    from optuna.distributions import json_to_distribution
    from optuna.trial import TrialState, create_trial

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=searched.data["name"], directions=list(searched.data["directions"])
    )
    for trial, stored in zip(searched.trials, searched.data["trials"], strict=True):
        if trial.state not in ("COMPLETE", "PRUNED") or not trial.values:
            continue
        study.add_trial(
            create_trial(
                state=TrialState[trial.state],
                values=list(trial.values),
                params=trial.params,
                distributions={
                    key: json_to_distribution(json.dumps(value))
                    for key, value in stored["distributions"].items()
                },
                intermediate_values=trial.intermediate,
            )
        )
    return study


def _trial(stored: dict[str, Any]) -> Trial:
    return Trial(
        number=int(stored["number"]),
        state=str(stored["state"]),
        values=tuple(map(float, stored["values"] or ())),
        params=dict(stored["params"]),
        intermediate={int(rung): float(v) for rung, v in stored["intermediate"].items()},
        result=dict(stored["result"]),
        excess=tuple(map(float, stored["excess"])),
        tokens=float(stored["tokens"]),
    )
