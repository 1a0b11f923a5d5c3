"""How much of a search's spread in a metric each key explains (fANOVA), with its uncertainty."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from optuna import Study

# A forest for each resample of the trials: some seconds for a metric.
RESAMPLES = 25
TREES = 16
FEWEST_TRIALS = 8


class Importance(NamedTuple):
    """The share of variance that a key explains by itself, and 95 % of resamples of the trials."""

    key: str
    share: float
    low: float
    high: float


def importances(study: Study, metric: int, rng: np.random.Generator) -> list[Importance]:
    """The keys that every finished trial has, the most important first.

    Functional ANOVA on a random forest (Hutter, Hoos & Leyton-Brown, ICML 2014), Optuna's: the
    shares sum to 1. The forest is fitted anew to `RESAMPLES` bootstrap samples of the finished
    trials, so the interval says what other trials would have said, not what seeds would.
    Empty for fewer than FEWEST_TRIALS trials, fewer than two such keys, or a metric that never
    changes.
    """
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    keys = sorted(set.intersection(*(set(t.params) for t in trials))) if trials else []
    keys = [key for key in keys if len({t.params[key] for t in trials}) > 1]
    values = [t.values[metric] for t in trials]
    if len(trials) < FEWEST_TRIALS or len(keys) < 2 or len(set(values)) < 2:
        return []

    def shares(chosen: np.ndarray) -> np.ndarray:
        resampled = optuna.create_study(direction=study.directions[metric])
        resampled.add_trials(
            optuna.trial.create_trial(
                value=trials[index].values[metric],
                params={key: trials[index].params[key] for key in keys},
                distributions={key: trials[index].distributions[key] for key in keys},
            )
            for index in chosen
        )
        evaluator = FanovaImportanceEvaluator(n_trees=TREES, seed=int(rng.integers(2**31)))
        found = get_param_importances(resampled, evaluator=evaluator, params=keys)
        return np.array([found[key] for key in keys])

    everything = np.arange(len(trials))
    whole = np.mean([shares(everything) for _ in range(4)], axis=0)
    spread = [shares(chosen) for chosen in _resamples(values, rng)]
    low, high = np.quantile(spread, [0.025, 0.975], axis=0)
    # A resample has fewer distinct trials, so all of them may lie to one side of the whole.
    low, high = np.minimum(low, whole), np.maximum(high, whole)
    numbers = zip(whole.tolist(), low.tolist(), high.tolist(), strict=True)
    found = [Importance(key, *one) for key, one in zip(keys, numbers, strict=True)]
    return sorted(found, key=lambda one: -one.share)


def _resamples(values: list[float], rng: np.random.Generator) -> list[np.ndarray]:
    """Bootstrap samples of the trials in which the metric still changes."""
    found = []
    while len(found) < RESAMPLES:
        chosen = rng.integers(len(values), size=len(values))
        if len({values[index] for index in chosen}) > 1:
            found.append(chosen)
    return found
