"""What a search says about its keys: importance, slices, two keys together, and all at once."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.interpolate import RBFInterpolator

from spark_lab.analysis.figures.look import (
    BLUE,
    INK,
    LEVELS,
    MUTED,
    PAPER,
    SCALE,
    VERMILION,
    panels,
    percent_axis,
    styled,
    wrapped,
)
from spark_lab.analysis.figures.search import CHOSEN, axis_label, metric_axis
from spark_lab.analysis.importance import Importance
from spark_lab.analysis.search import Searched, Trial

FEWEST_FOR_SURFACE = 10
_GRID = 60
# Of the searched ranges.
_NEAR = 0.2


@dataclass(frozen=True)
class KeyAxis:
    """A searched key as an axis: its values as places, even where they are names or logarithms."""

    key: str
    log: bool
    choices: tuple[Any, ...]
    low: float
    high: float

    def at(self, value: Any) -> float:
        if self.choices:
            return float(self.choices.index(value))
        return math.log10(value) if self.log else float(value)

    def label(self, axis, *, short: str) -> None:
        axis.set_label_text(wrapped(short, 22))
        if self.choices:
            axis.set_ticks(
                range(len(self.choices)), [choice_words(choice) for choice in self.choices]
            )
        else:
            axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
            if self.log:
                axis.set_major_formatter(lambda place, _: number_words(10**place))

    def said(self, place: float) -> str:
        if self.choices:
            return choice_words(self.choices[round(place)])
        return number_words(10**place if self.log else place)


def key_axes(searched: Searched) -> dict[str, KeyAxis]:
    """The axes of the keys that a finished trial has, in the search's order."""
    found: dict[str, KeyAxis] = {}
    for stored in searched.data["trials"]:
        for key, described in stored["distributions"].items():
            if key not in found:
                found[key] = _axis(key, described["attributes"])
    return {key: found[key] for key in searched.data["keys"] if key in found}


def _axis(key: str, held: Mapping[str, Any]) -> KeyAxis:
    if "choices" in held:
        return KeyAxis(key, False, tuple(held["choices"]), 0.0, len(held["choices"]) - 1.0)
    log = bool(held["log"])
    low, high = (math.log10(v) if log else float(v) for v in (held["low"], held["high"]))
    return KeyAxis(key, log, (), low, high)


@styled
def importance(found: Mapping[str, Sequence[Importance]], short: Mapping[str, str]) -> Figure:
    """Bars with their intervals, a panel for each metric; the keys in the first panel's order."""
    order = [one.key for one in next(iter(found.values()))]
    height = 0.9 + 0.34 * len(order)
    figure, shown = panels(len(found), columns=3, width=7.4, height=height, sharey=True)
    for axes, (metric, shares) in zip(shown, found.items(), strict=True):
        by_key = {one.key: one for one in shares}
        kept = [by_key[key] for key in order if key in by_key]
        places = [len(order) - 1 - order.index(one.key) for one in kept]
        values = np.array([one.share for one in kept])
        errors = np.abs(np.array([[one.low, one.high] for one in kept]).T - values)
        axes.barh(places, values, height=0.6, color=BLUE, alpha=0.85)
        axes.errorbar(values, places, xerr=errors, fmt="none", ecolor=INK, elinewidth=1, capsize=3)
        axes.set_yticks(range(len(order)), [short[key] for key in reversed(order)])
        axes.set_xlim(0, 1)
        percent_axis(axes.xaxis, whole=True)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("of the spread, %")
        if len(found) > 1:
            axes.set_title(wrapped(axis_label(metric).removesuffix(", %"), 20))
    return figure


@styled
def slices(searched: Searched, short: Mapping[str, str]) -> Figure:
    """The first metric over each key: finished trials, and those that were given up."""
    axes_of = key_axes(searched)
    figure, shown = panels(len(axes_of), columns=3, width=7.4, height=2.2, sharey=True)
    for place, (axes, (key, scale)) in enumerate(zip(shown, axes_of.items(), strict=True)):
        for state, colour, marker in (("PRUNED", VERMILION, "x"), ("COMPLETE", BLUE, "o")):
            trials = [t for t in searched.trials if t.state == state and t.values]
            with_key = [t for t in trials if key in t.params]
            if not with_key:
                continue
            x = [scale.at(t.params[key]) + _jitter(scale, t) for t in with_key]
            label = "finished" if state == "COMPLETE" else "given up, where it was"
            axes.plot(
                x, [t.values[0] for t in with_key], marker, color=colour, label=label, alpha=0.8
            )
        chosen = searched.chosen
        if chosen is not None and key in chosen.params:
            x = scale.at(chosen.params[key]) + _jitter(scale, chosen)
            axes.plot(
                x,
                chosen.values[0],
                "o",
                ms=10,
                mfc="none",
                mec=CHOSEN,
                mew=1.8,
                label="chosen",
                clip_on=False,
            )
        scale.label(axes.xaxis, short=short[key])
        metric_axis(axes.yaxis, searched.metrics[0])
        if place % 3 == 0:
            axes.set_ylabel(wrapped(axis_label(searched.metrics[0]), 22))
    handles = {
        label: handle
        for axes in shown
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False
    )
    return figure


@styled
def contour(searched: Searched, keys: tuple[str, str], short: Mapping[str, str]) -> Figure:
    """The first metric over two keys: the trials, and a smooth surface between them."""
    axes_of = key_axes(searched)
    first, second = (axes_of[key] for key in keys)
    trials = [t for t in searched.trials if t.complete and set(keys) <= set(t.params)]
    x = np.array([first.at(t.params[keys[0]]) + _jitter(first, t) for t in trials])
    y = np.array([second.at(t.params[keys[1]]) + _jitter(second, t) for t in trials])
    values = np.array([t.values[0] for t in trials])
    norm = Normalize(values.min(), values.max())
    figure, (axes,) = panels(1, width=5.8, height=4.2)
    if not first.choices and not second.choices and len(trials) >= FEWEST_FOR_SURFACE:
        _surface(searched, axes, first, second, np.stack([x, y], axis=1), values, norm)
    axes.scatter(
        x, y, c=values, cmap=_scale(searched), norm=norm, edgecolors=PAPER, linewidths=1, s=46
    )
    chosen = searched.chosen
    if chosen is not None and chosen in trials:
        at = trials.index(chosen)
        axes.plot(x[at], y[at], "o", ms=13, mfc="none", mec=VERMILION, mew=2)
    first.label(axes.xaxis, short=short[keys[0]])
    second.label(axes.yaxis, short=short[keys[1]])
    axes.grid(visible=False)
    _colours(searched, figure, axes, norm)
    return figure


@styled
def parallel(searched: Searched, short: Mapping[str, str]) -> Figure:
    """Each finished trial as a line through its values, the better the more it stands out."""
    axes_of = {
        key: scale
        for key, scale in key_axes(searched).items()
        if any(key in t.params for t in searched.trials if t.complete)
    }
    trials = [t for t in searched.trials if t.complete]
    sign = 1 if searched.maximized[0] else -1
    values = np.array([t.values[0] for t in trials])
    norm, scale = Normalize(values.min(), values.max()), _scale(searched)
    figure, (axes,) = panels(1, width=7.4, height=3.6)
    for trial in sorted(trials, key=lambda t: sign * t.values[0]):
        path = [
            (place, (scale.at(trial.params[key]) - scale.low) / ((scale.high - scale.low) or 1))
            for place, (key, scale) in enumerate(axes_of.items())
            if key in trial.params
        ]
        x, y = zip(*path, strict=True)
        is_chosen = trial is searched.chosen
        colour = CHOSEN if is_chosen else scale(norm(trial.values[0]))
        axes.plot(x, y, color=colour, linewidth=2.4 if is_chosen else 1.1, alpha=0.9, marker=".")
    for place, scale in enumerate(axes_of.values()):
        axes.vlines(place, 0, 1, color=MUTED, linewidth=0.8, zorder=0)
        for height, end, side in ((0.0, scale.low, "top"), (1.0, scale.high, "bottom")):
            shift = -4 if side == "top" else 4
            axes.annotate(
                scale.said(end),
                (place, height),
                xytext=(0, shift),
                textcoords="offset points",
                ha="center",
                va=side,
                fontsize=8,
                color=MUTED,
            )
    axes.set_ylim(-0.16, 1.12)
    axes.set_yticks([])
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="x", length=0)
    axes.set_xticks(range(len(axes_of)), [short[key].replace(".", ".\n") for key in axes_of])
    axes.grid(visible=False)
    _colours(searched, figure, axes, norm)
    return figure


def _scale(searched: Searched) -> Colormap:
    """What stands out is good."""
    return SCALE if searched.maximized[0] else SCALE.reversed()


def _surface(
    searched: Searched,
    axes: Axes,
    first: KeyAxis,
    second: KeyAxis,
    points: np.ndarray,
    values: np.ndarray,
    norm: Normalize,
) -> None:
    """A smoothing spline, drawn where a trial is near: beyond that it would be made up."""
    low = np.array([first.low, second.low])
    size = np.array([first.high - first.low, second.high - second.low])
    known = (points - low) / size
    spline = RBFInterpolator(known, values, smoothing=1.0, kernel="thin_plate_spline")
    line = np.linspace(0, 1, _GRID)
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    found = np.clip(spline(grid), values.min(), values.max())
    away = np.sqrt(((grid[:, None] - known[None]) ** 2).sum(axis=-1)).min(axis=1) > _NEAR
    found = np.ma.masked_array(found, away).reshape(_GRID, _GRID)
    x, y = low[0] + line * size[0], low[1] + line * size[1]
    levels = np.linspace(values.min(), values.max(), LEVELS + 1)
    axes.contourf(x, y, found, levels=levels, cmap=_scale(searched), norm=norm, alpha=0.6)


def _colours(searched: Searched, figure: Figure, axes: Axes, norm: Normalize) -> None:
    metric = searched.metrics[0]
    bar = figure.colorbar(ScalarMappable(norm, _scale(searched)), ax=axes, pad=0.02, aspect=30)
    bar.outline.set_visible(False)
    metric_axis(bar.ax.yaxis, metric)
    bar.set_label(wrapped(axis_label(metric), 36))


def _jitter(scale: KeyAxis, trial: Trial) -> float:
    """Trials of one choice beside one another, always at the same place."""
    return 0.0 if not scale.choices else 0.36 * ((trial.number * 0.618034) % 1.0 - 0.5)


def choice_words(choice: Any) -> str:
    """ "[pointwise,reflect]" -> "pointwise+reflect"."""
    text = choice if isinstance(choice, str) else json.dumps(choice)
    return text.strip("[]").replace(",", "+").replace(" ", "")


def number_words(value: float) -> str:
    """Three significant digits: 0.00031234 -> "3.12e-4"; whole numbers as they are."""
    if value == round(value) and abs(value) < 1e6:
        return str(round(value))
    scientific = abs(value) < 0.001 or abs(value) >= 1e6
    mantissa, _, exponent = f"{value:{'.2e' if scientific else '.3g'}}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}" if exponent else mantissa
