"""Judge accuracy by question difficulty, against the judge that knows difficulty only."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from spark_lab.analysis.difficulty import DifficultyProfile
from spark_lab.analysis.figures.look import (
    INK,
    MUTED,
    ArmMark,
    heading,
    panels,
    percent_axis,
    styled,
)


@styled
def difficulty_panels(
    arms: Mapping[str, DifficultyProfile], marks: Mapping[str, ArmMark]
) -> Figure:
    """A panel per arm: accuracy in each bin of the solve rate; grey columns are the bins' items."""
    figure, axes = panels(len(arms), columns=3, height=2.4, sharex=True, sharey=True)
    for single, (arm, profile) in zip(axes, arms.items(), strict=True):
        centre = (profile.edges[:-1] + profile.edges[1:]) / 2
        width = 0.9 * np.diff(profile.edges)
        single.bar(centre, 0.5 * profile.count / profile.count.max(), width, color=MUTED, alpha=0.2)
        single.plot(centre, profile.baseline, color=INK, linestyle=":", label="difficulty alone")
        mark = marks[arm]
        single.plot(
            centre, profile.judge, color=mark.colour, marker=mark.marker, markersize=5, label=arm
        )
        judge, baseline = 100 * profile.judge_balanced, 100 * profile.baseline_balanced
        heading(single, arm, f"judge {judge:.0f}, difficulty alone {baseline:.0f}")
        single.set(xlim=(0, 1), ylim=(0, 1.03))
        percent_axis(single.xaxis, whole=True)
        percent_axis(single.yaxis, whole=True)
    figure.supxlabel("solve rate of the question, %", fontsize=9)
    figure.supylabel("verdicts that are right, %", fontsize=9)
    return figure


def caption(arms: Mapping[str, DifficultyProfile]) -> str:
    """What the lines are, with the number of items."""
    items = sum(int(profile.count.sum()) for profile in arms.values())
    return (
        f"Accuracy of the judge by how often the policy solves the question ({items:,} verdicts in"
        " all). Dotted: the best judge that knows the solve rate and nothing else, cross-validated"
        " over questions. The numbers are balanced accuracies in %; grey columns count the items."
    )
