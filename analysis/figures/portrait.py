"""Phase portrait: policy against judge, from the start of training to its end."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from spark_lab.analysis.figures.look import (
    MUTED,
    ArmMark,
    arm_legend,
    panels,
    percent_axis,
    seeds_of,
    styled,
)


@styled
def portrait(
    paths: Mapping[str, tuple[np.ndarray, np.ndarray]],
    marks: Mapping[str, ArmMark],
    policy_words: str,
    judge_words: str,
) -> Figure:
    """Each arm's (policy, judge), both [seeds, evaluations]: thin per seed, thick their mean.

    A hollow ring is the start, the arm's marker the end. NaN leaves a gap.
    """
    figure, (axes,) = panels(1, width=6.4, height=4.6)
    for arm, (policy, judge) in paths.items():
        mark = marks[arm]
        axes.plot(policy.T, judge.T, color=mark.colour, linewidth=0.6, alpha=0.25)
        x, y = policy.mean(axis=0), judge.mean(axis=0)
        axes.plot(
            x,
            y,
            color=mark.colour,
            linestyle=mark.dash,
            marker=mark.marker,
            markevery=[-1],
            label=arm,
        )
        axes.plot(x[0], y[0], "o", color=MUTED, markerfacecolor="none", markersize=9)
    axes.set_xlabel(f"{policy_words}, %")
    axes.set_ylabel(f"{judge_words}, %")
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    arm_legend(figure, [axes])
    return figure


def caption(paths: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> str:
    """What the lines are, with n."""
    counts = {arm: len(policy) for arm, (policy, _) in paths.items()}
    return (
        "How policy and judge move together: thick lines are means over seeds, thin lines single"
        f" seeds ({seeds_of(counts)}); the ring is the start. Up without right: the judge learns alone; right"
        " without up: the policy outgrows its judge."
    )
