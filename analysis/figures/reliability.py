"""Reliability diagram: stated against observed probability that a solution is right."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from spark_lab.analysis.calibration import Reliability
from spark_lab.analysis.figures.look import (
    MUTED,
    ArmMark,
    heading,
    panels,
    percent_axis,
    styled,
)


@styled
def reliability_diagram(judges: Mapping[str, Reliability], marks: Mapping[str, ArmMark]) -> Figure:
    """A panel per arm; the grey columns are the share of items in each bin (tallest = half a panel)."""
    figure, axes = panels(len(judges), columns=3, height=2.6, sharex=True, sharey=True)
    for single, (arm, judge) in zip(axes, judges.items(), strict=True):
        mark = marks[arm]
        width = np.diff(judge.edges)
        single.bar(
            judge.edges[:-1],
            0.5 * judge.count / judge.count.max(),
            width,
            align="edge",
            color=MUTED,
            alpha=0.2,
            edgecolor="none",
        )
        single.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
        filled = judge.count > 0
        error = np.stack([judge.observed - judge.low, judge.high - judge.observed])[:, filled]
        single.errorbar(
            judge.stated[filled],
            judge.observed[filled],
            np.maximum(error, 0),
            color=mark.colour,
            marker=mark.marker,
            markersize=4,
            linewidth=1.4,
            elinewidth=0.9,
            clip_on=False,
            zorder=3,
        )
        heading(single, arm, f"ECE {100 * judge.ece:.1f} points")
        single.set_aspect("equal")
        single.set(xlim=(0, 1), ylim=(0, 1))
        percent_axis(single.xaxis, whole=True)
        percent_axis(single.yaxis, whole=True)
    figure.supxlabel("judge's probability that the solution is right, %", fontsize=9)
    figure.supylabel("solutions that are, %", fontsize=9)
    return figure


def caption(judges: Mapping[str, Reliability]) -> str:
    """What the bins are, with the number of items."""
    counts = sorted({int(judge.count.sum()) for judge in judges.values()})
    items = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    return (
        f"Calibration of the judge at the final checkpoint, {items} judged solutions per arm, bars are"
        " 95 % Wilson intervals. Below the dotted line the judge is too sure that solutions are"
        " right. Grey columns show how often it states each probability."
    )
