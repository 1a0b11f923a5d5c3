"""What a search's chosen trial is worth: by the score that it was picked by, and on fresh seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spark_lab.analysis.intervals import estimate
from spark_lab.analysis.load import RunData
from spark_lab.analysis.report.search_words import amount, difference, measure_words, seeds
from spark_lab.analysis.report.table import Cell, Column, Table
from spark_lab.analysis.scores import arm_scores
from spark_lab.analysis.search import TUNED, UNTUNED, Searched
from spark_lab.runs import trial_arm

Spread = tuple[float, float, float]


@dataclass(frozen=True)
class Worth:
    """A metric of the chosen trial as it was found, and, where it was trained again, on `seeds` fresh
    ones; each (mean, low, high), the ends NaN where one number is all there is."""

    metric: str
    found: Spread
    again: Spread | None
    untuned: Spread | None
    seeds: int


def worth_of(searched: Searched, own: Sequence[RunData]) -> list[Worth]:
    """Of each metric of the search; empty without a chosen trial whose runs are there."""
    chosen = searched.chosen
    if chosen is None:
        return []
    by_arm: dict[str, list[RunData]] = {}
    for run in own:
        by_arm.setdefault(run.arm, []).append(run)
    tuned = f"{TUNED}-{chosen.number:03d}"
    found = []
    for metric in searched.metrics:
        scores = {
            arm: _spread(arm, by_arm, metric) for arm in (trial_arm(chosen.number), tuned, UNTUNED)
        }
        before, after, untuned = scores.values()
        if before is not None:
            fresh = sum(run.final is not None for run in by_arm.get(tuned, []))
            found.append(Worth(metric, before, after, untuned, fresh))
    return found


def _spread(arm: str, by_arm: Mapping[str, list[RunData]], metric: str) -> Spread | None:
    found = arm_scores(arm, by_arm.get(arm, []), [metric])[metric].scores
    if found is None:
        return None
    single = estimate(found.values)
    high = np.inf if metric.startswith("compute/") else 1.0
    low, high = np.clip([single.low, single.high], 0.0, high).tolist()
    return single.mean, low, high


def sentences(searched: Searched, worth: Sequence[Worth]) -> list[str]:
    """How far the score that the trial was picked by is to be believed."""
    many = sum(trial.feasible for trial in searched.trials)
    luck = (
        f"It was picked by its score among {many}, so luck is in that (the winner's curse)."
        if many > 1
        else "It is the only one that finished."
    )
    if not worth or worth[0].again is None:
        return [f"{luck} No fresh seeds have been run to say by how much."]
    again = [_on_fresh_seeds(one, one.again) for one in worth if one.again is not None]
    beside = worth[0].untuned is not None
    apart = ["The verdicts say whether tuned and untuned can be told apart."] if beside else []
    return [luck, *again, *apart]


def _on_fresh_seeds(worth: Worth, again: Spread) -> str:
    metric = worth.metric
    text = (
        f"On {seeds(worth.seeds, 'fresh ')}: {measure_words(metric)} {amount(metric, again[0])}"
        f"{_interval(metric, again)}, {difference(metric, again[0] - worth.found[0])} the score that"
        " it was picked by"
    )
    if worth.untuned is None:
        return f"{text}."
    untuned = amount(metric, worth.untuned[0])
    return f"{text}; the untuned configuration {untuned}{_interval(metric, worth.untuned)}."


def _interval(metric: str, found: Spread) -> str:
    if not np.isfinite(found[1]):
        return ""
    return f" (95 % interval {amount(metric, found[1])} to {amount(metric, found[2])})"


def table(searched: Searched, worth: Sequence[Worth]) -> Table | None:
    """Shares only: compute is an amount. None without any."""
    shares = [one for one in worth if not one.metric.startswith("compute/")]
    if searched.chosen is None or not shares:
        return None
    later = [
        (Column("again", "on fresh seeds", "percent", spread=True), [one.again for one in shares]),
        (
            Column("untuned", "untuned, fresh seeds", "percent", spread=True),
            [one.untuned for one in shares],
        ),
    ]
    found = Column("found", "in the search", "percent", spread=True)
    kept = [(found, [one.found for one in shares])]
    kept += [(column, values) for column, values in later if any(values)]
    rows = tuple(
        (Cell(measure_words(one.metric)), *(_cell(values[place]) for _, values in kept))
        for place, one in enumerate(shares)
    )
    fresh = max(one.seeds for one in shares)
    caption = (
        f"Trial {searched.chosen.number} on the {seeds(len(searched.data['seeds']))} of the search, by"
        " which it was picked"
        + (f", and again on {seeds(fresh)} that no trial has used" if fresh else "")
        + ". Per cent, with 95 % interval over seeds and questions (questions only where there is one"
        " seed)."
    )
    columns = (Column("metric", "metric"), *(column for column, _ in kept))
    return Table("search_worth", "What the chosen trial is worth", caption, columns, rows)


def _cell(found: Spread | None) -> Cell:
    if found is None:
        return Cell(None)
    return Cell(*found) if np.isfinite(found[1]) else Cell(found[0])
