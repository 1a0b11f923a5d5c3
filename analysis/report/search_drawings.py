"""The figures of a search, or in a sentence why one could not be drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from spark_lab.analysis.figures import search as went
from spark_lab.analysis.figures import search_keys as keys
from spark_lab.analysis.importance import FEWEST_TRIALS, RESAMPLES, Importance, importances
from spark_lab.analysis.report.drawings import Drawing
from spark_lab.analysis.report.search_words import PRUNERS, measure_words
from spark_lab.analysis.search import Searched, as_study

# Of the resamples, so that the same folder gives the same bytes.
SEED = 0


def drawings(searched: Searched) -> list[Drawing]:
    shares = _shares(searched)
    finished = sum(trial.complete for trial in searched.trials)
    found = _of_one(searched) if len(searched.metrics) == 1 else [_front(searched)]
    return [*found, _importance(searched, shares), *_of_keys(searched, shares, finished)]


def _shares(searched: Searched) -> dict[str, list[Importance]]:
    study = as_study(searched)
    rng = np.random.default_rng(SEED)
    found = {
        metric: importances(study, place, rng) for place, metric in enumerate(searched.metrics)
    }
    return {metric: shares for metric, shares in found.items() if shares}


def _of_one(searched: Searched) -> list[Drawing]:
    history = _drawing(
        "search_history",
        "How the search went",
        "Each trial's score in the order it was asked for"
        " (n = 1 trial a point; a trial that was given up is shown where it was then).",
        partial(went.history, searched),
        bool(searched.feasible),
        "No trial has finished.",
    )
    return [
        history,
        _drawing(
            "search_curves",
            "Trials while they trained",
            _watched(searched),
            partial(went.curves, searched),
            any(trial.intermediate for trial in searched.trials),
            "No trial could be given up early (hydra/sweeper/pruner=none), so none was watched.",
        ),
    ]


def _watched(searched: Searched) -> str:
    kind = searched.data["pruner"]["kind"]
    if len(searched.data["seeds"]) == 1:
        said = "A line for each trial, at equal shares of its budget."
    elif kind == "wilcoxon":
        said = "A line for each trial, with the score of each of its seeds."
    else:
        said = (
            "A line for each trial: its first seed at equal shares of the budget, then the mean of"
            " the seeds so far."
        )
    return (
        f"{said} A cross: the trial was given up there, as {PRUNERS.get(kind, 'the pruner said')}."
    )


def _front(searched: Searched) -> Drawing:
    return _drawing(
        "search_front",
        "What one metric costs in the others",
        f"The {len(searched.feasible)} finished trials that keep to the constraints, one point each. A"
        " trial on the front is beaten by no other that is as good in every metric. The chosen one is nearest to the"
        " best of each, on the scale of the front.",
        partial(went.front, searched),
        bool(searched.feasible),
        "No trial that keeps to the constraints has finished.",
    )


def _importance(searched: Searched, shares: Mapping[str, list[Importance]]) -> Drawing:
    finished = sum(trial.complete for trial in searched.trials)
    some = " Keys that only some trials have are left out." if searched.conditional else ""
    return _drawing(
        "search_importance",
        "Which keys matter",
        f"Share of the spread between the {finished} finished trials that a key explains by itself"
        f" (functional ANOVA on random forests). Lines hold 95 % of {RESAMPLES} resamples of the"
        " trials. It says what mattered within the ranges searched, not which way, and seed noise"
        f" counts as spread.{some}",
        partial(keys.importance, shares, searched.data["short"]),
        bool(shares),
        f"It needs {FEWEST_TRIALS} finished trials that differ in two keys and in the metric.",
    )


def _of_keys(
    searched: Searched, shares: Mapping[str, list[Importance]], finished: int
) -> list[Drawing]:
    short = searched.data["short"]
    metric = measure_words(searched.metrics[0])
    top = tuple(one.key for one in next(iter(shares.values()), [])[:2])
    return [
        _drawing(
            "search_slices",
            "Each key by itself",
            f"{metric[0].upper()}{metric[1:]} of every trial over each key, whatever the other keys"
            f" were ({finished} finished trials).",
            partial(keys.slices, searched, short),
            finished > 0,
            "No trial has finished.",
        ),
        _drawing(
            "search_contour",
            "The two keys that matter most, together",
            f"{metric[0].upper()}{metric[1:]} of the {finished} finished trials; they differ"
            f" in the other keys, too. From {keys.FEWEST_FOR_SURFACE} trials on a smooth surface is"
            " drawn where some are near. Ringed: the chosen one.",
            partial(keys.contour, searched, top, short),
            len(top) == 2,
            "It needs the importance of two keys.",
        ),
        _drawing(
            "search_parallel",
            "All keys at once",
            "A line for each finished trial through the values of its keys, the better the more it stands"
            " out; green: the chosen one. Where lines that stand out run together, good trials agree.",
            partial(keys.parallel, searched, short),
            finished > 1 and len(searched.data["keys"]) > 1,
            "It needs two finished trials and two keys.",
        ),
    ]


def _drawing(
    name: str, title: str, caption: str, draw: Callable[[], Figure], possible: bool, why_not: str
) -> Drawing:
    return Drawing(name, title, caption, draw) if possible else Drawing(name, title, why_not)
