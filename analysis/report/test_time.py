"""The report's section on test-time scaling: every arm with and without it, at equal tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from spark_lab.analysis.figures import scaling as figure
from spark_lab.analysis.intervals import Estimate, estimate
from spark_lab.analysis.report.arms import Arm
from spark_lab.analysis.report.drawings import Drawing
from spark_lab.analysis.report.table import Cell, Column, Table
from spark_lab.analysis.test_time import (
    ORACLE,
    PLAIN,
    REFLECT,
    VOTE,
    Gain,
    Name,
    Scaling,
    final_outcomes,
    gain,
    scaling,
    words,
)
from spark_lab.analysis.verdicts import points

# The rounds of the released code, shown beside the most that were measured.
RELEASED = (REFLECT, 2)


@dataclass(frozen=True)
class Section:
    """`lines` say in a sentence for each arm whether judging pays."""

    lines: list[str]
    arms: Table
    strategies: Table
    drawing: Drawing


def section(arms: Sequence[Arm], baseline: str) -> tuple[Section | None, list[str]]:
    """The section, None where no finished run was scaled, and what was left out of it."""
    problems: list[str] = []
    found = {arm.name: one for arm in arms if (one := _of_arm(arm, problems)) is not None}
    if not found:
        return None, problems
    same = _same_questions(arms, baseline)
    gains = {arm: {name: gain(one, name) for name in _shown(one)} for arm, one in found.items()}
    lines = [_line(arm, own[found[arm].most_rounds]) for arm, own in gains.items()]
    drawing = Drawing(
        "test_time",
        "Accuracy against tokens at test time",
        figure.caption(found),
        partial(figure.scaling_panels, found),
    )
    tables = (_arms(found, baseline, same), _strategies(gains))
    return Section(lines, *tables, drawing), problems


def _of_arm(arm: Arm, problems: list[str]) -> Scaling | None:
    """The arm's finished seeds that were put the same questions as the first one."""
    tables = {}
    for run in arm.finished:
        table, own = final_outcomes(run)
        problems += [f"{run.name}: {problem}" for problem in own]
        if len(table) and run.questions == arm.finished[0].questions:
            tables[run.seed] = table
        elif len(table):
            problems.append(f"{run.name}: other questions, left out of test-time scaling")
    return scaling(tables)


def _same_questions(arms: Sequence[Arm], baseline: str) -> set[str]:
    """The arms whose questions are the baseline's, so that they can be subtracted from it."""
    asked = {arm.name: arm.finished[0].questions for arm in arms if arm.finished}
    return {arm for arm, questions in asked.items() if questions == asked.get(baseline)}


def _shown(found: Scaling) -> list[Name]:
    """The plain answer, then of every strategy the largest with a vote of its price to compare with,
    or else the largest; of judge and reflect the most rounds, and two as in the released code."""
    largest: dict[str, Name] = {}
    for name in sorted(found.by_name):
        priced = found.at_price(VOTE, found.by_name[name].tokens) is not None
        if name[0] != ORACLE and (priced or name[0] not in largest):
            largest[name[0]] = name
    kept = {PLAIN, RELEASED, found.most_rounds, *largest.values()}
    return [name for name in found.by_name if name in kept]


def _line(arm: str, one: Gain) -> str:
    said = f"{arm}: {words(one.name)} gets {points(one.accuracy.mean)} % right at"
    said += f" {one.price:.0f} tokens a question, a majority vote"
    said += " of that price" if one.equal_price else " that costs less"
    said += f" {points(one.vote)} % ({_change(one.estimate)})"
    return (
        said
        + {
            "pays": ": judging pays.",
            "costs more than it gives": ": judging costs more than it gives.",
            "not separable": ": not separable.",
            "no vote of its price": ". No vote of that price was measured: raise"
            " eval.test_time_samples.",
        }[one.worth]
    )


def _change(single: Estimate) -> str:
    said = f"{points(single.mean, sign=True)} points"
    if np.isfinite(single.low):
        over = " over questions only" if single.basis == "questions" else ""
        said += f", 95 % interval{over} {points(single.low)} to {points(single.high)}"
    return said


def _arms(found: dict[str, Scaling], baseline: str, same: set[str]) -> Table:
    base = found.get(baseline)
    others = [] if base is None else [arm for arm in found if arm in same and arm != baseline]
    rows = []
    for arm, one in found.items():
        most = gain(one, one.most_rounds)
        cells = [Cell(arm), Cell(len(one.seeds)), _cell(estimate(one.by_name[PLAIN].accuracy))]
        cells += [_cell(most.accuracy), Cell(most.price)]
        cells += [Cell(most.vote if most.equal_price else None), Cell(most.oracle)]
        if others:
            cells += _against(one, base) if arm in others else [Cell(None)] * 3
        rows.append(tuple(cells))
    columns = [
        Column("arm", "arm"),
        Column("seeds", "seeds", "whole"),
        Column("without", "without", "percent", spread=True),
        Column("with", "with", "percent", spread=True),
        Column("tokens", "tokens", "whole"),
        Column("vote", "vote, same tokens", "percent"),
        Column("oracle", "oracle, same tokens", "percent"),
    ]
    caption = (
        f"Without: the plain answer; with: {words(next(iter(found.values())).most_rounds)}, by the arm"
        " itself, at that many generated tokens a question; vote and oracle: over the arm's own samples"
        " at as many (a dash: none that large was measured). Per cent with 95 % intervals."
    )
    if others:
        columns += [
            Column("without_difference", "both without", "points", spread=True),
            Column("with_difference", "both with", "points", spread=True),
            Column("vote_difference", "with, to its vote", "points", spread=True),
        ]
        caption += (
            f" The last three are differences to {baseline}, in points: both without, both with, and the"
            f" arm with it to {baseline} voting with as many tokens. They are paired by seed and question,"
            " and not corrected for their number."
        )
    title = "Every arm with and without test-time scaling"
    return Table("test_time_arms", title, caption, tuple(columns), tuple(rows))


def _against(one: Scaling, base: Scaling) -> list[Cell]:
    """Differences to the baseline on the seeds of both: without, with, and with to its vote."""
    seeds = [seed for seed in base.seeds if seed in one.seeds]
    if not seeds or one.questions != base.questions:
        return [Cell(None)] * 3
    ours, theirs = one.of_seeds(seeds), base.of_seeds(seeds)
    most = ours.by_name[ours.most_rounds]
    scaled = theirs.by_name.get(ours.most_rounds)
    return [
        _difference(ours.by_name[PLAIN].accuracy, theirs.by_name[PLAIN].accuracy),
        _difference(most.accuracy, None if scaled is None else scaled.accuracy),
        _difference(most.accuracy, theirs.at_price(VOTE, most.tokens)),
    ]


def _difference(ours: np.ndarray, theirs: np.ndarray | None) -> Cell:
    return Cell(None) if theirs is None else _cell(estimate(ours - theirs), bounded=False)


def _strategies(gains: dict[str, dict[Name, Gain]]) -> Table:
    rows = [
        (
            Cell(arm),
            Cell(words(name)),
            Cell(one.price),
            _cell(one.accuracy),
            Cell(one.vote if one.equal_price else None),
            Cell(one.oracle),
            _cell(one.estimate, bounded=False) if judged and one.equal_price else Cell(None),
            Cell(one.worth if judged else None),
        )
        for arm, own in gains.items()
        for name, one in own.items()
        for judged in (name[0] != VOTE and name != PLAIN,)
    ]
    columns = (
        Column("arm", "arm"),
        Column("strategy", "strategy"),
        Column("tokens", "tokens", "whole"),
        Column("accuracy", "accuracy", "percent", spread=True),
        Column("vote", "vote, same tokens", "percent"),
        Column("oracle", "oracle, same tokens", "percent"),
        Column("gain", "gain over the vote", "points", spread=True),
        Column("worth", "judging"),
    )
    caption = (
        "Of each strategy the largest size for which a vote of its price was measured (all sizes are in"
        " the figure), and what majority vote and the oracle get from as many generated tokens. The"
        " gain is paired by seed and question, with 95 % interval, not corrected for the number of"
        " strategies. A dash: no vote that large was measured; such a strategy costs more than it"
        " gives where the largest vote, which is cheaper, is better."
    )
    title = "What judging gives for its tokens"
    return Table("test_time", title, caption, columns, tuple(rows))


def _cell(single: Estimate, *, bounded: bool = True) -> Cell:
    if np.isnan(single.low):
        return Cell(single.mean)
    if not bounded:
        return Cell(single.mean, single.low, single.high)
    return Cell(single.mean, max(single.low, 0.0), min(single.high, 1.0))
