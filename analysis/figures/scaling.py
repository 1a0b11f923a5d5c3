"""Accuracy against tokens per question for every test-time strategy, a panel for each arm."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from spark_lab.analysis.figures.look import (
    DASHES,
    INK,
    MUTED,
    PALETTE,
    ArmMark,
    arm_legend,
    heading,
    panels,
    percent_axis,
    seeds_of,
    styled,
)
from spark_lab.analysis.intervals import estimate
from spark_lab.analysis.test_time import ORACLE, REFLECT, SAMPLE, VOTE, Name, Scaling

# A colour, a marker and a dash each, so that nothing rests on colour alone.
MARKS = {
    VOTE: ArmMark(INK, "o", "solid"),
    REFLECT: ArmMark(PALETTE[1], "s", "solid"),
    "weighted": ArmMark(PALETTE[0], "^", DASHES[3]),
    "best": ArmMark(PALETTE[2], "v", DASHES[5]),
    "tournament": ArmMark(PALETTE[3], "P", DASHES[3]),
    ORACLE: ArmMark(MUTED, "D", (0, (1, 1.6))),
}
LABELS = {
    VOTE: "majority vote",
    REFLECT: "judge and reflect",
    "weighted": "vote weighed by the judge",
    "best": "the judge's best",
    "tournament": "the judge's tournament",
    ORACLE: "oracle",
}


@styled
def scaling_panels(arms: Mapping[str, Scaling]) -> Figure:
    """Means with 95 % intervals over seeds and questions. Raises ValueError for no arm."""
    if not arms:
        raise ValueError("no test-time scaling to draw")
    columns = 1 if len(arms) == 1 else 2 if len(arms) in (2, 4) else 3
    width, height = (7.0, 3.8) if columns == 1 else (7.4, 3.0 if columns == 2 else 2.6)
    figure, axes = panels(
        len(arms), columns=columns, width=width, height=height, sharex=True, sharey=True
    )
    for single, (arm, found) in zip(axes, arms.items(), strict=True):
        for strategy in MARKS:
            _line(single, found, strategy)
        heading(single, arm)
        single.set_xscale("log", base=2)
    for single in axes:
        single.xaxis.set_major_locator(LogLocator(base=2, numticks=8))
        single.xaxis.set_minor_locator(NullLocator())
        single.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        single.set_xlabel("generated tokens a question")
    # Intervals of two or three seeds can be wider than the scale; the means decide what is shown.
    means = [spent.accuracy.mean() for found in arms.values() for spent in found.by_name.values()]
    margin = max(0.15 * (max(means) - min(means)), 0.02)
    axes[0].set_ylim(max(min(means) - margin, -0.02), min(max(means) + margin, 1.02))
    axes[0].set_ylabel("accuracy, %")
    percent_axis(axes[0].yaxis)
    for single in axes:
        single.label_outer()
    arm_legend(figure, axes)
    return figure


def caption(arms: Mapping[str, Scaling]) -> str:
    """What is drawn, with n."""
    n = seeds_of({arm: len(found.seeds) for arm, found in arms.items()})
    questions = sorted({len(found.questions) for found in arms.values()})
    alone = all(len(found.seeds) == 1 for found in arms.values())
    over = "questions" if alone else "seeds and questions"
    return (
        "Accuracy on held-out questions against the tokens generated for each, prompts not counted;"
        f" 95 % intervals over {over} ({n}, {' or '.join(map(str, questions))} questions). Each line"
        " goes from one answer to more samples, or to more rounds of judge and reflect. The judge is"
        " the arm itself and sees the final answer alone. What lies below the line of the majority"
        " vote costs more than it gives; the oracle takes a right answer wherever one was sampled."
    )


def _line(axes: Axes, found: Scaling, strategy: str) -> None:
    names: list[Name] = sorted(name for name in found.by_name if name[0] == strategy)
    if strategy == ORACLE and names:
        names = [SAMPLE, *names]
    if not names:
        return
    mark = MARKS[strategy]
    tokens = np.array([found.by_name[name].tokens.mean() for name in names])
    singles = [estimate(found.by_name[name].accuracy) for name in names]
    means = np.array([single.mean for single in singles])
    bounds = np.array([(single.low, single.high) for single in singles])
    bounds = np.where(np.isfinite(bounds), np.clip(bounds, 0.0, 1.0), means[:, None])
    spread = np.maximum([means - bounds[:, 0], bounds[:, 1] - means], 0.0)
    axes.errorbar(
        tokens,
        means,
        spread,
        color=mark.colour,
        marker=mark.marker,
        linestyle=mark.dash,
        markersize=4.5,
        linewidth=1.5,
        elinewidth=0.8,
        capsize=0,
        label=LABELS[strategy],
    )
