"""Curves over compute with seed bands, one panel per metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spark_lab.analysis.curves import Band
from spark_lab.analysis.figures.look import (
    MUTED,
    ArmMark,
    arm_legend,
    compute_axis,
    heading,
    panels,
    percent_axis,
    seeds_of,
    styled,
)


@dataclass(frozen=True, slots=True)
class Curve:
    """One arm: `compute` [points] and the `band` over its seeds at these points."""

    compute: np.ndarray
    band: Band


@dataclass(frozen=True, slots=True)
class Panel:
    """A metric's curves per arm. `fraction` shows per cent, `reference` draws a level to compare with."""

    title: str
    curves: Mapping[str, Curve]
    fraction: bool = True
    reference: float | None = None


@styled
def curve_panels(
    shown: Sequence[Panel],
    marks: Mapping[str, ArmMark],
    compute_words: str,
    *,
    columns: int = 2,
    height: float = 2.6,
) -> Figure:
    """All panels on the same compute axis. Raises ValueError for no panel."""
    if not shown:
        raise ValueError("no curves to draw")
    figure, axes = panels(len(shown), columns=columns, height=height, sharex=True)
    for single, panel in zip(axes, shown, strict=True):
        _panel(single, panel, marks)
    for single in axes[-min(columns, len(axes)) :]:
        compute_axis(single, compute_words)
    arm_legend(figure, axes)
    return figure


def caption(shown: Sequence[Panel]) -> str:
    """What the curves and bands are, with the number of seeds of each arm."""
    counts = {
        arm: int(curve.band.n.max()) for panel in shown for arm, curve in panel.curves.items()
    }
    return (
        f"Mean over seeds ({seeds_of(counts)}) with {bands(counts)}. Finished runs are stretched to"
        " the mean compute at which the seeds of their arm ended; nothing is extrapolated."
    )


def bands(counts: Mapping[str, int]) -> str:
    """What the bands are for so many seeds of each arm."""
    found = set(counts.values())
    if max(found) < 3:
        return "the range of both" if 2 in found else "no band, as one seed has none"
    words = "the pointwise 95 % t interval over seeds"
    return words + (" (range where there are two)" if 2 in found else "")


def _panel(axes: Axes, panel: Panel, marks: Mapping[str, ArmMark]) -> None:
    if panel.reference is not None:
        axes.axhline(panel.reference, color=MUTED, linewidth=1, linestyle=":")
    for arm, curve in panel.curves.items():
        mark, band = marks[arm], curve.band
        reached = np.flatnonzero(np.isfinite(band.mean))
        axes.plot(
            curve.compute,
            band.mean,
            color=mark.colour,
            linestyle=mark.dash,
            linewidth=1.5,
            marker=mark.marker,
            markersize=5,
            markevery=reached[-1:].tolist(),
            label=arm,
        )
        axes.fill_between(
            curve.compute, band.low, band.high, color=mark.colour, alpha=0.12, linewidth=0
        )
    # Bands of two or three seeds can be wider than the scale; the means decide what is shown.
    means = np.concatenate([curve.band.mean for curve in panel.curves.values()])
    if np.isfinite(means).any():
        low, high = np.nanmin(means), np.nanmax(means)
        if panel.reference is not None:
            low, high = min(low, panel.reference), max(high, panel.reference)
        margin = max(0.15 * (high - low), 0.02 if panel.fraction else 1e-9)
        axes.set_ylim(low - margin, high + margin)
        if panel.fraction:
            axes.set_ylim(max(low - margin, -0.1 * margin), min(high + margin, 1 + 0.1 * margin))
            percent_axis(axes.yaxis)
    heading(axes, panel.title + (",\N{NO-BREAK SPACE}%" if panel.fraction else ""))
