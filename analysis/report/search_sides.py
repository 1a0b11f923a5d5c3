"""Searches for the same metric beside one another: what each took, and what its choice is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from spark_lab.analysis.figures import search as went
from spark_lab.analysis.intervals import Estimate, estimate
from spark_lab.analysis.load import RunData
from spark_lab.analysis.pairing import ArmScores, pair
from spark_lab.analysis.report.drawings import Drawing
from spark_lab.analysis.report.search_words import amount, difference, measure_words, seeds
from spark_lab.analysis.report.table import Cell, Column, Table
from spark_lab.analysis.scores import arm_scores
from spark_lab.analysis.search import TUNED, UNTUNED, Searched
from spark_lab.tracking.words import count


@dataclass(frozen=True)
class Sides:
    """`lines` hold each search against the first one."""

    lines: list[str]
    table: Table
    drawing: Drawing


@dataclass(frozen=True)
class _Side:
    """A search, or the untuned configuration (`searched` None), and its scores on fresh seeds."""

    name: str
    searched: Searched | None
    again: ArmScores | None

    @property
    def tokens(self) -> float:
        return sum(trial.tokens for trial in self.searched.trials) if self.searched else 0.0

    def minus(self, first: _Side) -> Estimate | None:
        """Paired by seed and question; None where nothing can be paired."""
        if self is first or self.again is None or first.again is None:
            return None
        try:
            return estimate(pair(self.again, first.again).values)
        except ValueError:
            return None


def sides(found: Sequence[tuple[Searched, Sequence[RunData]]]) -> Sides | None:
    """None for fewer than two searches, for other metrics each, and where they want an amount."""
    if len(found) < 2 or len({searched.metrics for searched, _ in found}) > 1:
        return None
    metric = found[0][0].metrics[0]
    if metric.startswith("compute/"):
        return None
    listed = [_side(searched, own, metric) for searched, own in found]
    untuned = _untuned(found, metric)
    return Sides(
        lines=[_line(side, listed[0], metric) for side in listed[1:]],
        table=_table([*listed, *([untuned] if untuned else [])], metric),
        drawing=_drawing([searched for searched, _ in found], metric),
    )


def _side(searched: Searched, own: Sequence[RunData], metric: str) -> _Side:
    chosen = searched.chosen
    arm = "" if chosen is None else f"{TUNED}-{chosen.number:03d}"
    return _Side(searched.data["name"], searched, _scores(arm, own, metric))


def _untuned(found: Sequence[tuple[Searched, Sequence[RunData]]], metric: str) -> _Side | None:
    """Of the first search that has trained it: it is the same in all of them."""
    for _, own in found:
        again = _scores(UNTUNED, own, metric)
        if again is not None:
            return _Side("untuned", None, again)
    return None


def _scores(arm: str, own: Sequence[RunData], metric: str) -> ArmScores | None:
    return arm_scores(arm, [run for run in own if run.arm == arm], [metric])[metric].scores


def _line(side: _Side, first: _Side, metric: str) -> str:
    text = f"{side.name} generated {count(side.tokens)} tokens in its trials{_less(side, first)}."
    minus = side.minus(first)
    if minus is None or side.again is None:
        return f"{text} Its choice can't be held against that of {first.name}: no fresh seeds are shared."
    shared = pair(side.again, first.again).seeds
    score = float(side.again.values[[side.again.seeds.index(seed) for seed in shared]].mean())
    apart = difference(metric, minus.mean)
    ends = f" (95 % interval {_signed(minus.low)} to {_signed(minus.high)} points)"
    return (
        f"{text} On {seeds(len(shared), 'fresh ')} its choice has {measure_words(metric)}"
        f" {amount(metric, score)}, {apart} that of {first.name}"
        f"{ends if np.isfinite(minus.low) else ''}."
    )


def _less(side: _Side, first: _Side) -> str:
    if not first.tokens:
        return ""
    share = round(100 * (side.tokens / first.tokens - 1))
    if share == 0:
        return f", as many as {first.name}"
    return f", {abs(share)} % {'more' if share > 0 else 'fewer'} than {first.name}"


def _signed(value: float) -> str:
    return f"{100 * value:.1f}".replace("-", "\N{MINUS SIGN}")


def _table(listed: Sequence[_Side], metric: str) -> Table:
    first = listed[0]
    columns = (
        Column("search", "search"),
        Column("sampler", "proposed by"),
        Column("pruner", "given up by"),
        Column("trials", "trials", "whole"),
        Column("pruned", "given up", "whole"),
        Column("tokens", "tokens", "amount"),
        Column("found", "in the search", "percent"),
        Column("again", "on fresh seeds", "percent", spread=True),
        Column("minus", f"minus {first.name}", "points", spread=True),
    )
    several = max((len(side.again.seeds) for side in listed if side.again), default=0)
    caption = (
        f"{measure_words(metric)[0].upper()}{measure_words(metric)[1:]} of each search's chosen trial:"
        " as it was picked by it, and trained anew"
        f" on {seeds(several, 'fresh ')}, with 95 % interval over seeds and questions. Differences to"
        f" {first.name} are paired by seed and question; their intervals are not corrected for how many"
        " there are, and say nothing of another search by the same means: each was made once. Tokens are those of all trials, not of the fresh seeds."
    )
    rows = tuple(_row(side, first) for side in listed)
    return Table("search_sides", "Searches side by side", caption, columns, rows)


def _row(side: _Side, first: _Side) -> tuple[Cell, ...]:
    searched, minus = side.searched, side.minus(first)
    again = None if side.again is None else estimate(side.again.values)
    known: list[Cell] = [Cell(None)] * 6
    if searched is not None:
        states = [trial.state for trial in searched.trials]
        chosen = searched.chosen
        known = [
            Cell(searched.data["sampler"]["kind"]),
            Cell(searched.data["pruner"]["kind"]),
            Cell(float(len(states))),
            Cell(float(states.count("PRUNED"))),
            Cell(side.tokens),
            Cell(None if chosen is None else chosen.values[0]),
        ]
    return (Cell(side.name), *known, _cell(again), _cell(minus))


def _cell(found: Estimate | None) -> Cell:
    return Cell(None) if found is None else Cell(found.mean, found.low, found.high)


def _drawing(searches: Sequence[Searched], metric: str) -> Drawing:
    words = measure_words(metric)
    title = "How fast each search got there"
    if not all(searched.feasible for searched in searches):
        return Drawing("search_race", title, "One of the searches has no finished trial.")
    caption = (
        f"The best {words} so far over the tokens that all trials until then had generated, in the"
        f" order they were asked for (n = {', '.join(str(len(s.trials)) for s in searches)} trials)."
        " Scores of the searches themselves, too good for those on top."
    )
    return Drawing("search_race", title, caption, partial(went.race, tuple(searches)))
