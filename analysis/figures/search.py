"""How a search went: every trial's score, the curves it was judged by, and the front of several."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from spark_lab.analysis.figures.look import (
    BLUE,
    INK,
    MUTED,
    PAPER,
    VERMILION,
    arm_marks,
    panels,
    percent_axis,
    styled,
    wrapped,
)
from spark_lab.analysis.search import Searched, Trial
from spark_lab.analysis.verdicts import metric_words

CHOSEN = "#009E73"
_PRUNED = (0, (4, 1.5))


def axis_label(metric: str) -> str:
    """With its unit."""
    if metric.startswith("compute/"):
        return metric.removeprefix("compute/").replace("_", " ")
    return f"{metric_words(metric)}, %"


def metric_axis(axis: Axis, metric: str) -> None:
    """Per cent, or an amount in k and M."""
    if metric.startswith("compute/"):
        axis.set_major_formatter(EngFormatter(sep="\N{THIN SPACE}"))
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    else:
        percent_axis(axis)


def best_so_far(trials: Sequence[Trial], maximized: bool) -> list[tuple[int, float]]:
    """(number, value) of the feasible trials that were better than all before them."""
    found: list[tuple[int, float]] = []
    for trial in sorted((t for t in trials if t.feasible), key=lambda t: t.number):
        value = trial.values[0]
        if not found or ((value > found[-1][1]) == maximized and value != found[-1][1]):
            found.append((trial.number, value))
    return found


@styled
def history(searched: Searched) -> Figure:
    """Each trial's score in the order asked, and the best so far. For one metric."""
    [metric] = searched.metrics
    figure, (axes,) = panels(1, width=7.4, height=3.2)
    _scatter(axes, [t for t in searched.trials if t.feasible], BLUE, "o", "finished")
    broken = [t for t in searched.trials if t.complete and not t.feasible]
    _scatter(axes, broken, MUTED, "X", "breaks a constraint")
    pruned = [t for t in searched.trials if t.state == "PRUNED" and t.values]
    _scatter(axes, pruned, VERMILION, "x", "given up, where it was")
    best = best_so_far(searched.trials, searched.maximized[0])
    if best:
        last = max(trial.number for trial in searched.trials)
        x, y = zip(*best, (last, best[-1][1]), strict=True)
        axes.step(x, y, where="post", color=INK, linewidth=1.2, label="best so far", zorder=1)
    _mark(axes, searched.chosen, lambda t: (t.number, t.values[0]))
    axes.set_xlabel("trial")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_ylabel(wrapped(axis_label(metric), 34))
    metric_axis(axes.yaxis, metric)
    figure.legend(loc="outside lower center", ncols=5, frameon=False)
    return figure


@styled
def race(searches: Sequence[Searched]) -> Figure:
    """The best score so far of each search over the tokens that its trials have generated."""
    [metric, *_] = searches[0].metrics
    figure, (axes,) = panels(1, width=7.4, height=3.2)
    names = [searched.data["name"] for searched in searches]
    for searched, mark in zip(searches, arm_marks(names).values(), strict=True):
        trials = sorted(searched.trials, key=lambda t: t.number)
        spent = dict(
            zip([t.number for t in trials], np.cumsum([t.tokens for t in trials]), strict=True)
        )
        best = best_so_far(trials, searched.maximized[0])
        x = [spent[number] for number, _ in best] + [spent[trials[-1].number]]
        y = [value for _, value in best] + [best[-1][1]]
        axes.step(
            x, y, where="post", color=mark.colour, linestyle=mark.dash, label=searched.data["name"]
        )
        axes.plot(x[:-1], y[:-1], mark.marker, color=mark.colour, markersize=4.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("generated tokens")
    metric_axis(axes.xaxis, "compute/generated_tokens")
    axes.set_ylabel(wrapped(f"best so far: {axis_label(metric)}", 34))
    metric_axis(axes.yaxis, metric)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def trained(searched: Searched, rung: int) -> float:
    """How many seeds a trial has trained at a rung: 0.3 is within the first one."""
    if searched.data["pruner"]["kind"] == "wilcoxon":
        return rung
    rungs = int(searched.data["rungs"])
    return rung / rungs if rung <= rungs else rung - rungs + 1


@styled
def curves(searched: Searched) -> Figure:
    """What the trials reported while they trained, over the seeds that they had trained: the first
    one in parts, then the mean so far (each seed by itself where seeds are paired)."""
    [metric] = searched.metrics
    several = len(searched.data["seeds"]) > 1
    figure, (axes,) = panels(1, width=7.4, height=3.4)
    seen: set[str] = set()
    for trial in searched.trials:
        points = [(trained(searched, rung), v) for rung, v in trial.intermediate.items()]
        if not points or trial.state not in ("COMPLETE", "PRUNED"):
            continue
        pruned = trial.state == "PRUNED"
        label = "given up" if pruned else "finished"
        colour = VERMILION if pruned else BLUE
        x, y = zip(*sorted(points), strict=True)
        axes.plot(
            x,
            y,
            marker="." if several else None,
            color=colour,
            linestyle=_PRUNED if pruned else "solid",
            linewidth=1.1,
            alpha=0.75,
            label=None if label in seen else label,
        )
        if pruned:
            axes.plot(x[-1:], y[-1:], marker="x", color=colour, markersize=6, linestyle="none")
        seen.add(label)
    axes.set_xlim(left=0)
    if several:
        axes.set_xlabel("seeds trained")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        axes.set_xlabel("budget spent, %")
        percent_axis(axes.xaxis)
    axes.set_ylabel(wrapped(axis_label(metric), 34))
    metric_axis(axes.yaxis, metric)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


@styled
def front(searched: Searched) -> Figure:
    """Every pair of metrics, with the trials that no other beats in all of them."""
    pairs = list(combinations(range(len(searched.metrics)), 2))
    figure, shown = panels(len(pairs), columns=3, width=8.2 if len(pairs) > 1 else 5, height=3.4)
    on = {trial.number for trial in searched.front}
    for axes, (first, second) in zip(shown, pairs, strict=True):
        for member, colour, face, label in (
            (False, MUTED, PAPER, "beaten by another"),
            (True, BLUE, BLUE, "on the front"),
        ):
            points = [t.values for t in searched.feasible if (t.number in on) == member]
            if points:
                x, y = np.array(points)[:, [first, second]].T
                axes.plot(
                    x, y, "o", color=colour, markerfacecolor=face, label=label, markersize=5.5
                )
        _mark(axes, searched.chosen, lambda t, a=first, b=second: (t.values[a], t.values[b]))
        for axis, place, set_label in (
            (axes.xaxis, first, axes.set_xlabel),
            (axes.yaxis, second, axes.set_ylabel),
        ):
            metric_axis(axis, searched.metrics[place])
            better = "more" if searched.maximized[place] else "less"
            set_label(wrapped(f"{axis_label(searched.metrics[place])} ({better} is better)", 30))
    handles, labels = shown[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _scatter(axes: Axes, trials: Sequence[Trial], colour: str, marker: str, label: str) -> None:
    if trials:
        x, y = zip(*((t.number, t.values[0]) for t in trials), strict=True)
        axes.plot(x, y, marker, color=colour, label=label, markersize=5.5, zorder=2)


def _mark(axes: Axes, chosen: Trial | None, at) -> None:
    if chosen is not None:
        axes.plot(
            *at(chosen),
            marker="o",
            markersize=11,
            markerfacecolor="none",
            markeredgecolor=CHOSEN,
            markeredgewidth=2,
            linestyle="none",
            clip_on=False,
            label=f"chosen: trial {chosen.number}",
            zorder=3,
        )
