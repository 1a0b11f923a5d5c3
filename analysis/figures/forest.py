"""Forest plot: every contrast with its interval, and what each seed said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spark_lab.analysis.figures.look import (
    INK,
    MUTED,
    PAPER,
    ArmMark,
    heading,
    panels,
    percent_axis,
    styled,
)
from spark_lab.analysis.stats import Contrast
from spark_lab.analysis.verdicts import metric_words, points


@styled
def forest(
    contrasts: Sequence[Contrast],
    marks: dict[str, ArmMark],
    unfair: frozenset[str] = frozenset(),
) -> Figure:
    """A panel per metric, a row per arm: mean difference, interval, small dots for the seeds.

    A filled mark was separable after correction; arms in `unfair` had another budget than the
    baseline and are drawn pale whatever their difference. Raises ValueError for no contrasts.
    """
    if not contrasts:
        raise ValueError("a forest plot needs at least one contrast")
    metrics = list(dict.fromkeys(contrast.pairs.metric for contrast in contrasts))
    arms = list(dict.fromkeys(contrast.pairs.arm for contrast in contrasts))
    figure, axes = panels(
        len(metrics),
        columns=2,
        height=0.85 + 0.4 * len(arms),
        sharey=True,
        width=8.2 if len(metrics) > 1 else 5.6,
    )
    for single, metric in zip(axes, metrics, strict=True):
        chosen = [contrast for contrast in contrasts if contrast.pairs.metric == metric]
        for contrast in chosen:
            name = contrast.pairs.arm
            _row(single, contrast, arms.index(name), marks[name], name in unfair)
        single.axvline(0, color=INK, linewidth=1)
        heading(single, metric_words(metric))
        single.set_xlabel(f"difference to {chosen[0].pairs.baseline}, points")
        single.grid(axis="y", visible=False)
        percent_axis(single.xaxis)
    axes[0].set_yticks(range(len(arms)), [_name(arm, contrasts) for arm in arms])
    axes[0].set_ylim(len(arms) - 0.4, -0.6)
    return figure


def caption(contrasts: Sequence[Contrast]) -> str:
    """What the plot shows, with n, the interval and the correction."""
    counts = sorted({len(contrast.pairs.seeds) for contrast in contrasts})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return (
        f"Difference to the baseline at the final checkpoint, n = {seeds} paired seeds: mean with"
        f" {100 * contrasts[0].estimate.confidence:g} % interval over seeds and questions; small dots"
        " are single seeds. Filled marks are separable after Holm's correction over"
        f" {contrasts[0].family} contrasts, hollow ones are not; pale marks had another budget."
    )


def _name(arm: str, contrasts: Sequence[Contrast]) -> str:
    counts = sorted({len(item.pairs.seeds) for item in contrasts if item.pairs.arm == arm})
    return f"{arm}\nn = {counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "")


def _row(axes: Axes, contrast: Contrast, row: int, mark: ArmMark, unfair: bool) -> None:
    single, values = contrast.estimate, contrast.pairs.values
    seeds = values if values.ndim == 1 else values.mean(axis=1)
    opacity = 0.35 if unfair else 1.0
    colour = MUTED if unfair else mark.colour
    spread = row + 0.22 + np.zeros(len(seeds))
    axes.plot(seeds, spread, ".", color=colour, markersize=4, alpha=0.6 * opacity, clip_on=False)
    if single.basis != "none":
        dash = ":" if single.basis == "questions" else "-"
        axes.plot([single.low, single.high], [row, row], dash, color=colour, alpha=opacity)
    filled = contrast.outcome in ("better", "worse") and not unfair
    axes.plot(
        single.mean,
        row,
        mark.marker,
        color=colour,
        markersize=7,
        markerfacecolor=colour if filled else PAPER,
        markeredgewidth=1.5,
        alpha=opacity,
        clip_on=False,
    )
    axes.annotate(
        f"{points(single.mean, sign=True)}",
        (1.01, row),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=8.5,
        fontweight="bold" if filled else "normal",
        color=MUTED if unfair else INK,
    )
