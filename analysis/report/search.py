"""The report's section on a search: how it went, what it chose and what that is worth, which keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from spark_lab.analysis.load import RunData
from spark_lab.analysis.report import search_space, search_story, search_worth
from spark_lab.analysis.report.drawings import Drawing
from spark_lab.analysis.report.search_drawings import drawings
from spark_lab.analysis.report.search_words import measure_words, value_words
from spark_lab.analysis.report.table import Cell, Column, Table
from spark_lab.analysis.search import Searched, read
from spark_lab.runs import trial_of

_SHOWN = 8
GLOSSARY: dict[str, str] = {
    "trial": "one choice of values for the searched keys, trained like any other run.",
    "given up early": "a trial that was stopped before its end, because others were further at the"
    " same point; Optuna calls it pruned.",
    "tuned / untuned": "the chosen trial's values, and the defaults, trained anew on seeds that no trial"
    " has used.",
}


@dataclass(frozen=True)
class Section:
    """`lines` say in sentences what the search found; `worth` is absent without a chosen trial."""

    name: str
    lines: list[str]
    worth: Table | None
    space: Table
    best: Table
    drawings: list[Drawing]

    @property
    def tables(self) -> list[Table]:
        return [one for one in (self.worth, self.space, self.best) if one is not None]


def split(runs: Sequence[RunData]) -> tuple[list[RunData], list[tuple[Searched, list[RunData]]]]:
    """(runs to compare as arms, each search with its folder's runs).

    Trials are no arms: forty of them, picked by their scores, would be contrasted with each other.
    Where a search has nothing else yet, its chosen trial, or else its first one, stands for it.
    """
    kept: list[RunData] = []
    found: list[tuple[Searched, list[RunData]]] = []
    for folder in dict.fromkeys(run.folder.parents[1] for run in runs):
        own = [run for run in runs if run.folder.parents[1] == folder]
        searched = read(folder)
        if searched is None:
            kept += own
            continue
        found.append((searched, own))
        arms = [run for run in own if trial_of(run.arm) is None]
        kept += arms or _standing_in(searched, own)
    return kept, found


def _standing_in(searched: Searched, own: Sequence[RunData]) -> list[RunData]:
    chosen = searched.chosen
    number = chosen.number if chosen else trial_of(own[0].arm)
    return [run for run in own if trial_of(run.arm) == number]


def section(searched: Searched, own: Sequence[RunData], place: int = 0) -> Section:
    """Of one search and the runs of its folder; `place` is its number in a report of several."""
    mark = f"_{place + 1}" if place else ""  # its files go beside those of the first one
    worth = search_worth.worth_of(searched, own)
    lines = search_story.sentences(searched)
    if searched.chosen is not None:
        lines += search_worth.sentences(searched, worth)
    table = search_worth.table(searched, worth)
    space, best = search_space.table(searched, own), _best(searched)
    return Section(
        name=searched.data["name"],
        lines=lines,
        worth=table and replace(table, name=table.name + mark),
        space=replace(space, name=space.name + mark),
        best=replace(best, name=best.name + mark),
        drawings=[replace(one, name=one.name + mark) for one in drawings(searched)],
    )


def _best(searched: Searched) -> Table:
    """The first few of one metric, or the whole front."""
    trials = list(searched.front)
    if len(searched.metrics) == 1:
        sign = -1 if searched.maximized[0] else 1
        trials = sorted(searched.feasible, key=lambda t: (sign * t.values[0], t.number))[:_SHOWN]
    short = searched.data["short"]
    columns = [Column("trial", "trial")]
    columns += [
        Column(
            metric, measure_words(metric), "amount" if metric.startswith("compute/") else "percent"
        )
        for metric in searched.metrics
    ]
    columns += [Column(key, short[key]) for key in searched.data["keys"]]
    rows = tuple(
        (
            Cell(str(trial.number)),
            *map(Cell, trial.values),
            *(Cell(value_words(trial.params[k]) if k in trial.params else None) for k in short),
        )
        for trial in trials
    )
    one = len(searched.metrics) == 1
    title = "The best trials" if one else "The trials on the front"
    caption = (
        "Scores of the search itself, too good for those on top."
        if one
        else "No other trial is as good in every metric and better in one. Scores of the search itself."
    )
    if searched.chosen is not None:
        caption += f" Chosen: trial {searched.chosen.number}."
    dash = " A dash: a key that this trial did not have." if searched.conditional else ""
    return Table("search_best", title, caption + dash, tuple(columns), rows)
