"""The tables of a report: skills, compute, contrasts, further summaries, configuration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spark_lab.analysis.budgets import WORDS
from spark_lab.analysis.curves import area_under_curve
from spark_lab.analysis.intervals import estimate
from spark_lab.analysis.pairing import ArmScores
from spark_lab.analysis.report.arms import Arm, differences
from spark_lab.analysis.report.contrasts import Comparison
from spark_lab.analysis.report.measures import (
    COMPUTE,
    JUDGE,
    LIVE,
    POLICY,
    STARTING_MODEL,
    Measure,
)
from spark_lab.analysis.report.table import Cell, Column, Table
from spark_lab.analysis.scores import compute_spent
from spark_lab.analysis.stats import iqm
from spark_lab.tracking.words import count

SPENT = ("generated_tokens", "trained_tokens", "rollouts", "updates", "flops")


def skills(arms: Sequence[Arm], found: Comparison) -> Table:
    """The starting model and every arm at the final checkpoint."""
    caption = (
        "Final checkpoint, per cent: mean over seeds with 95 % interval over seeds and questions"
        " (over questions only where one seed is all there is; over seeds only for swap consistency)."
        " Judges are shown the fixed judge set. A dash: not measured."
    )
    return _scored("skills", "Skills on held-out questions", caption, found.measures, arms, found)


def own_answers(arms: Sequence[Arm], found: Comparison) -> Table | None:
    """The judge on the arm's own solutions; None where no arm was measured so."""
    caption = (
        "Final checkpoint, on solutions sampled from the arm itself, so arms are not shown the same."
        " Says right and is right: shares of verdicts and of labels. Per cent, except for the Brier"
        " score (100 is worst; lower is better). Mean with 95 % interval over seeds."
    )
    table = _scored("own_answers", "Judging its own answers", caption, LIVE, arms, found)
    return table if len(table.columns) > 2 else None


def compute(arms: Sequence[Arm]) -> Table:
    """What the finished runs of each arm cost, mean over seeds."""
    spent = {arm.name: compute_spent(arm.runs, _finished(arm)) for arm in arms if arm.finished}
    units = [unit for unit in SPENT if any(unit in one for one in spent.values())]
    columns = [Column("arm", "arm"), Column("seeds", "seeds", "whole")]
    columns += [Column(unit, WORDS[unit], "amount") for unit in units]
    columns += [Column("minutes", "minutes", "number")]
    rows = []
    for arm in arms:
        mine = spent.get(arm.name, {})
        cells = [Cell(arm.name), Cell(len(arm.finished))]
        cells += [Cell(float(mine[unit].mean()) if unit in mine else None) for unit in units]
        cells.append(Cell(float(mine["seconds"].mean()) / 60 if "seconds" in mine else None))
        rows.append(tuple(cells))
    caption = "Mean over the finished seeds. Minutes are wall-clock and depend on the machine."
    return Table("compute", "What it cost", caption, tuple(columns), tuple(rows))


def contrasts(found: Comparison) -> Table | None:
    """Every contrast with all that its verdict rests on."""
    if not found.contrasts:
        return None
    heads = {measure.metric: measure.head for measure in found.measures}
    rows = []
    for contrast, verdict in zip(found.contrasts, found.verdicts, strict=False):
        single = contrast.estimate
        rows.append(
            (
                Cell(contrast.pairs.arm),
                Cell(heads[contrast.pairs.metric]),
                Cell(len(contrast.pairs.seeds)),
                Cell(single.mean, single.low, single.high),
                Cell(contrast.p_corrected),
                Cell(contrast.improvement),
                Cell(contrast.minimum_detectable),
                Cell(contrast.seeds_needed),
                Cell(verdict.tag),
            )
        )
    first = found.contrasts[0]
    columns = (
        Column("arm", "arm"),
        Column("metric", "skill"),
        Column("seeds", "seeds", "whole"),
        Column("difference", "difference", "points", spread=True),
        Column("p_holm", "p (Holm)", "p"),
        Column("probability_of_improvement", "P(above)", "percent"),
        Column("minimum_detectable", "detectable", "percent"),
        Column("seeds_needed", "seeds needed", "whole"),
        Column("verdict", "verdict"),
    )
    caption = (
        (
            f"Difference to {found.baseline}, points, with 95 % interval. p is corrected over"
            f" {first.family} contrasts. P(above): how often a run of the arm scores above one of"
            f" {found.baseline}. Detectable: the difference that a repeat of this size would separate"
            f" with {first.target_power:.0%} power. Seeds needed: for a difference of"
            f" {100 * first.effect_of_interest:g} points; a dash means over 200, or unknown."
        )
        .replace("%", " %")
        .replace("  %", " %")
    )
    return Table("contrasts", f"Contrasts to {found.baseline}", caption, columns, tuple(rows))


def summaries(arms: Sequence[Arm], found: Comparison) -> Table | None:
    """Interquartile mean of the seeds and the area under the curves over compute."""
    rows = []
    axis, until = _common_stretch(arms)
    for arm in arms:
        cells = [Cell(arm.name), Cell(len(arm.finished))]
        for metric in (POLICY, JUDGE):
            scores = found.scores.get((arm.name, metric))
            cells.append(Cell(iqm(_per_seed(scores)) if scores else None))
            cells.append(Cell(_area(arm, metric, axis, until)))
        if any(cell.value is not None for cell in cells[2:]):
            rows.append(tuple(cells))
    if not rows:
        return None
    columns = (
        Column("arm", "arm"),
        Column("seeds", "seeds", "whole"),
        Column("policy_iqm", "policy, IQM", "percent"),
        Column("policy_area", "policy, area", "percent"),
        Column("judge_iqm", "pointwise judge, IQM", "percent"),
        Column("judge_area", "pointwise judge, area", "percent"),
    )
    caption = (
        "IQM: mean of the seeds without their best and worst quarter, at the final checkpoint. Area:"
        f" mean height of the curve up to {count(until)} {COMPUTE[axis]}, which every run reached; it"
        " rewards learning early. Per cent."
    )
    return Table("summaries", "Robust mean and speed of learning", caption, columns, tuple(rows))


def configuration(arms: Sequence[Arm]) -> Table | None:
    """The keys that differ between the arms; None where there is nothing to compare."""
    changed = differences(list(arms))
    if not changed:
        return None
    columns = (Column("key", "key"), *(Column(arm.name, arm.name) for arm in arms))
    rows = tuple((Cell(key), *map(Cell, values)) for key, values in changed.items())
    caption = "Keys of the resolved configurations that differ between arms; all others are equal."
    return Table("configuration", "What differs between the arms", caption, columns, rows)


def _scored(
    name: str,
    title: str,
    caption: str,
    measures: Sequence[Measure],
    arms: Sequence[Arm],
    found: Comparison,
) -> Table:
    names = [STARTING_MODEL, *(arm.name for arm in arms)]
    measured = {metric for _, metric in found.scores}
    chosen = [measure for measure in measures if measure.metric in measured]
    counts: dict[str, int | None] = {arm.name: len(arm.finished) for arm in arms}
    columns = [Column("arm", "arm"), Column("seeds", "seeds", "whole")]
    columns += [Column(one.metric, one.head, "percent", spread=True) for one in chosen]
    rows = [
        (
            Cell(arm),
            Cell(counts.get(arm)),
            *(_interval(found.scores.get((arm, one.metric))) for one in chosen),
        )
        for arm in names
        if arm in counts or any((arm, one.metric) in found.scores for one in chosen)
    ]
    return Table(name, title, caption, tuple(columns), tuple(rows))


def _interval(scores: ArmScores | None) -> Cell:
    if scores is None:
        return Cell(None)
    single = estimate(scores.values)
    if np.isnan(single.low):
        return Cell(single.mean)
    return Cell(single.mean, max(single.low, 0.0), min(single.high, 1.0))


def _per_seed(scores: ArmScores) -> np.ndarray:
    return scores.values if scores.values.ndim == 1 else scores.values.mean(axis=1)


def _finished(arm: Arm) -> list[int]:
    return [run.seed for run in arm.finished]


def _common_stretch(arms: Sequence[Arm]) -> tuple[str, float]:
    """The axis of compute that all finished runs have, and how far all of them came on it."""
    evals = [run.evals for arm in arms for run in arm.finished]
    axis = next((name for name in COMPUTE if all(name in one for one in evals)), "step")
    return axis, min((float(one[axis].iloc[-1]) for one in evals), default=0.0)


def _area(arm: Arm, metric: str, axis: str, until: float) -> float | None:
    areas = []
    for run in arm.finished:
        if metric not in run.evals:
            continue
        curve = run.evals[[axis, metric]].dropna()
        compute, values = (curve[name].to_numpy(float) for name in (axis, metric))
        if len(curve) > 1 and (np.diff(compute) > 0).all() and compute[0] < until <= compute[-1]:
            areas.append(area_under_curve(compute, values, until))
    return float(np.mean(areas)) if areas else None
