"""A search in sentences: how many trials, what they saved, what was chosen and what that gives up."""

from __future__ import annotations

import numpy as np

from spark_lab.analysis.report.search_words import (
    SAMPLERS,
    amount,
    measure_words,
    params_words,
    scores,
    seeds,
)
from spark_lab.analysis.search import Searched, Trial
from spark_lab.tracking.words import count


def sentences(searched: Searched) -> list[str]:
    said = [_counted(searched), *_saved(searched)]
    chosen = searched.chosen
    if chosen is None:
        broken = any(trial.complete for trial in searched.trials)
        why = "every finished trial breaks a constraint" if broken else "no trial has finished"
        return [*said, f"Nothing is chosen: {why}."]
    found = f"{scores(searched, chosen)}, with {params_words(searched, chosen)}."
    if len(searched.metrics) == 1:
        return [*said, f"Trial {chosen.number} is the best: {found}"]
    number = len(searched.front)
    front = "1 trial lies" if number == 1 else f"{number} trials lie"
    return [
        *said,
        f"{front} on the front: no other trial is as good in every metric and better in one. Trial"
        f" {chosen.number} is the suggested compromise (the knee), nearest to the best of each: {found}",
        *_given_up(searched, chosen),
    ]


def _counted(searched: Searched) -> str:
    states = [trial.state for trial in searched.trials]
    names = (("COMPLETE", "finished"), ("PRUNED", "given up early"), ("FAIL", "failed"))
    parts = [f"{states.count(state)} {words}" for state, words in names if state in states]
    number = len(searched.data["seeds"])
    each = f", each the mean of {seeds(number)}" if number > 1 else ""
    kind = searched.data["sampler"]["kind"]
    spent = sum(trial.tokens for trial in searched.trials)
    return (
        f"{len(states)} trial{'s' * (len(states) != 1)}{each}, proposed by {SAMPLERS.get(kind, kind)}:"
        f" {', '.join(parts) or 'none has ended'}. They generated {count(spent)} tokens."
    )


def _saved(searched: Searched) -> list[str]:
    whole = [trial.tokens for trial in searched.trials if trial.complete]
    pruned = [trial.tokens for trial in searched.trials if trial.state == "PRUNED"]
    if not pruned or not whole:
        return []
    full = float(np.mean(whole)) * (len(whole) + len(pruned))
    share = 1 - (sum(whole) + sum(pruned)) / full
    return [
        f"Giving trials up early saved {100 * share:.0f} % of the {count(full)} tokens that all of them"
        " would have taken at the mean of the finished ones."
    ]


def _given_up(searched: Searched, chosen: Trial) -> list[str]:
    """What each metric could be on the front, and what that costs in the others."""
    lines = []
    for place, (metric, larger) in enumerate(
        zip(searched.metrics, searched.maximized, strict=True)
    ):
        pick = max if larger else min
        best = pick(searched.front, key=lambda trial: trial.values[place])
        if best.values[place] == chosen.values[place]:
            continue
        beside = ", ".join(
            f"{measure_words(other)} {amount(other, theirs)} (here {amount(other, mine)})"
            for other, theirs, mine in zip(
                searched.metrics, best.values, chosen.values, strict=True
            )
            if other != metric
        )
        word = "most" if larger else "least"
        lines.append(
            f"The {word} {measure_words(metric)} on the front is {amount(metric, best.values[place])}"
            f" (here {amount(metric, chosen.values[place])}): trial {best.number}, with {beside}."
        )
    return lines
