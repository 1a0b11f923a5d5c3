"""Numbers and keys of a search as its section says them."""

from __future__ import annotations

from typing import Any

from spark_lab.analysis.figures.search_keys import choice_words, number_words
from spark_lab.analysis.search import Searched, Trial
from spark_lab.analysis.verdicts import metric_words, points
from spark_lab.tracking.words import count

SAMPLERS = {
    "tpe": "TPE, which prefers values like those of good trials",
    "gp": "a Gaussian process, which weighs what looks good against what is unknown",
    "nsgaii": "NSGA-II, which crosses the best trials",
    "qmc": "an even covering of the ranges (quasi-Monte Carlo)",
    "cmaes": "CMA-ES, which moves towards good trials",
    "grid": "a grid of all combinations",
    "random": "random draws",
}
# Why a trial is given up.
PRUNERS = {
    "median": "it was behind the median of the others at that point",
    "hyperband": "it was not among the best of those that had come as far",
    "wilcoxon": "it was worse than the best trial, seed by seed (Wilcoxon's signed-rank test)",
}


def value_words(value: Any) -> str:
    return number_words(value) if isinstance(value, float) else choice_words(value)


def params_words(searched: Searched, trial: Trial) -> str:
    short = searched.data["short"]
    return ", ".join(f"{short[key]} = {value_words(value)}" for key, value in trial.params.items())


def measure_words(metric: str) -> str:
    compute = metric.removeprefix("compute/")
    return metric_words(metric) if compute == metric else compute.replace("_", " ")


def amount(metric: str, value: float) -> str:
    """A share as per cent, compute as an amount."""
    return count(value) if metric.startswith("compute/") else f"{points(value)} %"


def difference(metric: str, value: float) -> str:
    """ "4.4 points below", "1.2 k above"."""
    is_amount = metric.startswith("compute/")
    size = count(abs(value)) if is_amount else f"{points(abs(value))} points"
    return f"{size} {'above' if value > 0 else 'below'}" if value else "equal to"


def scores(searched: Searched, trial: Trial) -> str:
    return ", ".join(
        f"{measure_words(metric)} {amount(metric, value)}"
        for metric, value in zip(searched.metrics, trial.values, strict=True)
    )


def seeds(number: int, kind: str = "") -> str:
    return f"{number} {kind}seed{'s' * (number != 1)}"
