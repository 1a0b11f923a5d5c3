"""Every contrast that a report makes, all at once, so that one correction holds over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from spark_lab.analysis.budgets import BudgetMatch, match_budgets
from spark_lab.analysis.load import RunData
from spark_lab.analysis.pairing import ArmScores, pair
from spark_lab.analysis.report.arms import Arm, baseline_of, questions
from spark_lab.analysis.report.measures import (
    LIVE,
    MEASURES,
    STARTING_MODEL,
    Measure,
    measures,
)
from spark_lab.analysis.scores import arm_scores, compute_spent
from spark_lab.analysis.search import UNTUNED
from spark_lab.analysis.stats import Contrast, compare
from spark_lab.analysis.verdicts import brief, metric_words, points, short_verdict, verdict_line

# Weighted means of zeros and ones may pass their bounds by it.
_ROUNDING = 1e-9
Scores = dict[tuple[str, str], ArmScores]


@dataclass(frozen=True)
class Verdict:
    """One sentence, and the same `brief`ly. `tag` is "better", "worse", "not separable", or why there
    is no verdict; `seeds` are those of both arms."""

    metric: str
    tag: str
    line: str
    brief: str
    seeds: int = 0


@dataclass(frozen=True)
class Comparison:
    """All that is known about the arms at the end of training.

    `scores` by (arm, metric); `baseline` is an arm's name or the starting model where there is one
    arm only, which has no budget to match: `budgets` then is empty. `verdicts` has one for each of
    `contrasts`, in their order, and then the refused ones. `primary` are the metrics that the
    sweeps' questions name, `measures` all that are shown, the primary ones first.
    """

    baseline: str
    scores: Scores
    contrasts: list[Contrast]
    budgets: dict[str, BudgetMatch]
    verdicts: list[Verdict]
    notes: list[str] = field(default_factory=list)
    primary: tuple[str, ...] = ()
    measures: tuple[Measure, ...] = MEASURES

    @property
    def unfair(self) -> frozenset[str]:
        return frozenset(arm for arm, match in self.budgets.items() if not match.matched)


def contrast_arms(arms: Sequence[Arm]) -> Comparison:
    """Scores of every arm and of the starting model, and each tested metric against the baseline.

    What can't be compared (other questions, no seed in common, no budget) is refused in a verdict.
    """
    asked = [question.primary for question in questions(arms).values()]
    primary = tuple(dict.fromkeys(metric for metric in asked if metric is not None))
    shown = measures(primary)
    scores, notes = _all_scores(arms, [measure.metric for measure in (*shown, *LIVE)])
    alone = len(arms) == 1
    baseline = STARTING_MODEL if alone else baseline_of(list(arms)).name
    budgets, unmatched = ({}, {}) if alone else _budgets(arms, baseline)
    twins = _twins(arms, baseline)
    pairs, refused = [], []
    for metric in [measure.metric for measure in shown if measure.tested]:
        base = scores.get((baseline, metric))
        for arm in arms:
            ours = scores.get((arm.name, metric))
            if ours is None or arm.name == baseline or arm.name in twins:
                continue
            reason = unmatched.get(arm.name)
            if base is None and reason is None:
                continue
            reason = reason or _incomparable(ours, base) or _no_share(ours, base)
            if reason:
                line = (
                    f"{arm.name} vs {baseline}: {metric_words(metric)} is not compared: {reason}."
                )
                refused.append(Verdict(metric, "refused", line, arm.name))
            else:
                pairs.append((ours, base))
    contrasts = [_within_bounds(contrast) for contrast in compare(pairs)] if pairs else []
    verdicts = [_verdict(contrast, budgets.get(contrast.pairs.arm)) for contrast in contrasts]
    verdicts += refused
    notes += [f"{one} answers the question, and no run has it" for one in _absent(primary, scores)]
    return Comparison(baseline, scores, contrasts, budgets, verdicts, notes, primary, shown)


def _twins(arms: Sequence[Arm], baseline: str) -> set[str]:
    """The untuned arms of other searches whose runs are the baseline's."""
    own = {(arm.sweep, run.folder.name) for arm in arms if arm.name == baseline for run in arm.runs}
    sweeps, names = {sweep for sweep, _ in own}, {name for _, name in own}
    return {
        arm.name
        for arm in arms
        if arm.folder == UNTUNED
        and arm.sweep not in sweeps
        and {run.folder.name for run in arm.runs} <= names
    }


def at_start(run: RunData) -> RunData:
    """The run as if it had ended with its first evaluation, before any training."""
    first = run.evals.iloc[:1].assign(fraction=1.0)
    return replace(run, arm=STARTING_MODEL, evals=first, state="done")


def _all_scores(arms: Sequence[Arm], metrics: Sequence[str]) -> tuple[Scores, list[str]]:
    scores: Scores = {}
    notes: list[str] = []
    measured = {name for arm in arms for run in arm.finished for name in run.final or {}}
    wanted = [metric for metric in dict.fromkeys(metrics) if metric in measured]
    source = next((arm for arm in [baseline_of(list(arms)), *arms] if arm.finished), None)
    started = [run for run in (source.finished if source else ()) if _measured_at_start(run)]
    groups = [(arm.name, arm.runs) for arm in arms]
    if started:
        groups.append((STARTING_MODEL, tuple(at_start(run) for run in started)))
    for name, runs in groups:
        for metric, collected in arm_scores(name, runs, wanted).items():
            if collected.scores is not None:
                scores[name, metric] = collected.scores
            if name != STARTING_MODEL:
                notes += [note for note in collected.notes if note not in notes]
    return scores, notes


def _measured_at_start(run: RunData) -> bool:
    return len(run.evals) > 1 and run.evals.iloc[0]["step"] == 0


def _budgets(arms: Sequence[Arm], baseline: str) -> tuple[dict[str, BudgetMatch], dict[str, str]]:
    base = next(arm for arm in arms if arm.name == baseline)
    unit = base.config.get("budget.unit", "steps")
    have = {run.seed for run in base.finished}
    matches, reasons = {}, {}
    for arm in arms:
        if arm is base:
            continue
        common = [run.seed for run in arm.finished if run.seed in have]
        if not common:
            none = f"{base.name} has no finished run"
            reasons[arm.name] = "no seed of both was finished" if have else none
            continue
        try:
            matches[arm.name] = match_budgets(
                compute_spent(arm.runs, common), compute_spent(base.runs, common), unit
            )
        except ValueError as error:
            reasons[arm.name] = str(error)
    return matches, reasons


def _within_bounds(contrast: Contrast) -> Contrast:
    """Shares can't differ by more than 1; an interval from few seeds would go on."""
    single = contrast.estimate
    low, high = np.clip((single.low, single.high), -1.0, 1.0)
    return replace(contrast, estimate=replace(single, low=float(low), high=float(high)))


def _absent(primary: Sequence[str], scores: Scores) -> list[str]:
    measured = {metric for _, metric in scores}
    return [metric for metric in primary if metric not in measured]


def _no_share(*scores: ArmScores) -> str:
    """Differences are said in points, which a count of tokens, say, has not."""
    per_seed = [one.values.reshape(len(one.seeds), -1).mean(axis=1) for one in scores]
    whole = all(((means > -_ROUNDING) & (means < 1 + _ROUNDING)).all() for means in per_seed)
    return "" if whole else "it is no share between 0 and 1"


def _incomparable(ours: ArmScores, theirs: ArmScores) -> str:
    try:
        pair(ours, theirs)
    except ValueError as error:
        return str(error)
    return ""


def _verdict(contrast: Contrast, budget: BudgetMatch | None) -> Verdict:
    if budget is None:
        tag, line = contrast.outcome, _change_line(contrast)
    else:
        tag, line = short_verdict(contrast, budget), verdict_line(contrast, budget)
    pairs = contrast.pairs
    return Verdict(pairs.metric, tag, line, brief(contrast), len(pairs.seeds))


def _change_line(contrast: Contrast) -> str:
    """What training did to one arm, against the model that it started from."""
    single, n = contrast.estimate, len(contrast.pairs.seeds)
    before, after = (points(value) for value in (contrast.baseline_mean, contrast.arm_mean))
    change = points(single.mean, sign=True)
    line = f"{contrast.pairs.arm}: {metric_words(contrast.pairs.metric)} from {before} to {after}"
    line += f" ({change} points"
    if np.isfinite(single.low):
        over = " over questions only" if single.basis == "questions" else ""
        line += f", 95 % interval{over} {points(single.low)} to {points(single.high)}"
    line += f", n = {n} seed{'s' if n > 1 else ''})"
    if contrast.outcome == "no verdict":
        return line + ": one seed says nothing about training again; run at least 3."
    found = (
        "not separable from no change"
        if contrast.outcome == "not separable"
        else (f"{contrast.outcome} than the starting model")
    )
    return f"{line}: {found}."
