"""Which arms are worth their compute: policy against judge, with the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from spark_lab.analysis.budgets import TOLERANCE
from spark_lab.analysis.figures.look import (
    PAPER,
    ArmMark,
    arm_legend,
    panels,
    percent_axis,
    seeds_of,
    styled,
)
from spark_lab.analysis.pareto import pareto_front
from spark_lab.tracking.words import count


@dataclass(frozen=True, slots=True)
class ArmPoint:
    """An arm's final `policy` and `judge` [seeds], and the `tokens` it generated on average."""

    policy: np.ndarray
    judge: np.ndarray
    tokens: float


@styled
def tradeoff(
    arms: Mapping[str, ArmPoint],
    marks: Mapping[str, ArmMark],
    policy_words: str,
    judge_words: str,
) -> Figure:
    """Means with one standard error over seeds; arms on the front are filled.

    The front is over policy, judge (more is better) and tokens (less is better; budgets that count
    as matched are equal), on means: it says what was observed, not what is separable. Raises ValueError for NaN or no arms.
    """
    names = list(arms)
    means = np.array([[arm.policy.mean(), arm.judge.mean(), arm.tokens] for arm in arms.values()])
    front = pareto_front(means.reshape(-1, 3), (True, True, False), TOLERANCE)
    figure, (axes,) = panels(1, width=6.4, height=4.4)
    for name, point, best in zip(names, means, front, strict=True):
        mark, arm = marks[name], arms[name]
        axes.errorbar(
            point[0],
            point[1],
            _error(arm.judge),
            _error(arm.policy),
            color=mark.colour,
            marker=mark.marker,
            markersize=8,
            markerfacecolor=mark.colour if best else PAPER,
            linestyle="none",
            label=f"{name}, {count(point[2])} tokens",
            markeredgewidth=1.5,
            elinewidth=1,
        )
    axes.margins(0.1)
    axes.set_xlabel(f"{policy_words}, %")
    axes.set_ylabel(f"{judge_words}, %")
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    arm_legend(figure, [axes])
    return figure


def caption(arms: Mapping[str, ArmPoint]) -> str:
    """What is on the front, with n."""
    n = seeds_of({name: len(arm.policy) for name, arm in arms.items()})
    return (
        "Policy against judge at the final checkpoint with the generated tokens of each arm; bars are"
        f" one standard error over seeds ({n}). Filled: no other arm is at least as good at both"
        f" with no more tokens (up to {100 * TOLERANCE:.0f} % more count as equal)."
    )


def _error(scores: np.ndarray) -> float:
    return float(scores.std(ddof=1) / len(scores) ** 0.5) if len(scores) > 1 else 0.0
