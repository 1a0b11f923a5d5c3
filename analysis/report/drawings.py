"""The figures of a report with their captions, and in a sentence why one could not be drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from spark_lab.analysis.calibration import Reliability, reliability
from spark_lab.analysis.difficulty import DifficultyProfile, difficulty_profile
from spark_lab.analysis.figures import (
    curves,
    difficulty,
    forest,
    health,
    lag,
    portrait,
    tradeoff,
    transfer,
)
from spark_lab.analysis.figures import reliability as reliability_figure
from spark_lab.analysis.figures.look import ArmMark, arm_marks, seeds_of
from spark_lab.analysis.leadlag import FEWEST_EVALUATIONS, LeadLag, lead_lag
from spark_lab.analysis.load import RunData, final_items
from spark_lab.analysis.report import series
from spark_lab.analysis.report.arms import Arm
from spark_lab.analysis.report.contrasts import Comparison
from spark_lab.analysis.report.measures import COMPUTE, FIXES, JUDGE, PAIRWISE, POLICY
from spark_lab.analysis.transfer import transfer_matrix
from spark_lab.analysis.verdicts import metric_words

Found = TypeVar("Found")
# Of the permutations and folds, so that the same run folders give the same bytes.
SEED = 0
JUDGE_WORDS = "pointwise judge accuracy"
# Of the training: by then samples differ from the starting model's and still fail.
EARLY = 0.25
ON_FIXED = "The judge is shown the fixed judge set."


@dataclass(frozen=True)
class Drawing:
    """`name` is the file's. `draw` makes the figure; without it the caption says why there is none."""

    name: str
    title: str
    caption: str
    draw: Callable[[], Figure] | None = None


class Artist:
    """Plans the figures of these arms; an arm looks the same in all of them.

    `axis` is a column of COMPUTE; `problems` names the rollouts that could not be used.
    """

    def __init__(self, arms: Sequence[Arm], found: Comparison, axis: str | None = None):
        self._arms = arms
        self._found = found
        self._axis = series.compute_axis(arms, axis)
        names = [arm.name for arm in arms]
        self._marks: dict[str, ArmMark] = arm_marks(names, found.baseline)
        self._items: dict[str, pd.DataFrame] = {}
        self.problems: list[str] = []
        for arm in arms:
            found_items = [(run, final_items(run)) for run in _alike(arm)]
            self._items[arm.name] = _pooled([items.rows for _, items in found_items])
            self.problems += [
                f"{run.name}: {problem}" for run, items in found_items for problem in items.problems
            ]

    def contrasts(self) -> Drawing:
        name, title = "contrasts", f"Difference to {self._found.baseline}"
        chosen = self._found.contrasts
        if not chosen:
            return Drawing(name, title, "Nothing to draw: no contrast could be made.")
        draw = partial(forest.forest, chosen, self._marks, self._found.unfair)
        return Drawing(name, title, forest.caption(chosen), draw)

    def answer(self) -> Drawing:
        """The contrasts in the metrics that answer the sweeps' questions."""
        primary = self._found.primary
        title = (
            f"Difference to {self._found.baseline} in {' and '.join(map(metric_words, primary))}"
        )
        chosen = [one for one in self._found.contrasts if one.pairs.metric in primary]
        if not chosen:
            return Drawing("answer", title, "Nothing to draw: no contrast answers the question.")
        draw = partial(forest.forest, chosen, self._marks, self._found.unfair)
        return Drawing("answer", title, forest.caption(chosen), draw)

    def coevolution(self) -> list[Drawing]:
        return [
            self._curves(),
            self._portrait(),
            self._lead_lag(),
            self._transfer(),
            self._difficulty(),
            self._tradeoff(),
            self._reliability(),
        ]

    def health(self) -> Drawing:
        title = "Signs of trouble"
        found = {sign: drawn for sign in health.SIGNS if (drawn := self._sign(sign))}
        if not found:
            return Drawing("health", title, "No training metrics were logged.")
        draw = partial(health.health, found, self._marks, COMPUTE[self._axis])
        counts = {arm.name: len(arm.shown) for arm in self._arms}
        means = f" Mean over seeds ({seeds_of(counts)}) with {curves.bands(counts)}."
        return Drawing("health", title, health.caption(found) + means, draw)

    def _curves(self) -> Drawing:
        title = "Policy and judge over compute"
        references = {JUDGE: 0.5, PAIRWISE: 0.5}
        shown = []
        for metric in (POLICY, JUDGE, PAIRWISE, FIXES):
            found = self._each(lambda arm, m=metric: series.evaluation_curve(arm, m, self._axis))
            if found:
                shown.append(
                    curves.Panel(metric_words(metric), found, True, references.get(metric))
                )
        if not shown:
            return Drawing("curves", title, "No run was evaluated twice: there are no curves.")
        draw = partial(curves.curve_panels, shown, self._marks, COMPUTE[self._axis])
        caption = curves.caption(shown) + " Dotted: a judge that guesses." + self._averaged()
        return Drawing("curves", title, caption, draw)

    def _portrait(self) -> Drawing:
        title = "Phase portrait: judge against policy"
        found = self._each(lambda arm: series.together(arm, (POLICY, JUDGE)))
        if not found:
            return Drawing("portrait", title, _no_judge("portrait"))
        paths = {arm: tuple(map(series.thinned, both)) for arm, both in found.items()}
        draw = partial(portrait.portrait, paths, self._marks, metric_words(POLICY), JUDGE_WORDS)
        caption = f"{portrait.caption(paths)} {ON_FIXED}{self._averaged()}"
        return Drawing("portrait", title, caption, draw)

    def _lead_lag(self) -> Drawing:
        title = "Lead and lag: does the judge move first?"
        found: dict[str, LeadLag] = {}
        reasons: dict[str, list[str]] = {}
        for arm in self._arms:
            both = series.together(arm, (POLICY, JUDGE))
            if both is None:
                continue
            try:
                found[arm.name] = lead_lag(*both, np.random.default_rng(SEED))
            except ValueError as error:
                reasons.setdefault(str(error), []).append(arm.name)
        if not found:
            needs = f"It needs two seeds with {FEWEST_EVALUATIONS} evaluations of policy and judge."
            return Drawing("lead_lag", title, " ".join([needs, *_sentences(reasons)]))
        caption = " ".join([lag.caption(found), *_sentences(reasons)])
        draw = partial(lag.lead_lag_panels, found, self._marks)
        return Drawing("lead_lag", title, caption, draw)

    def _transfer(self) -> Drawing:
        title = "Transfer: what training one objective does to the other skills"
        alone = {arm.name for arm in self._arms if len(arm.trained) == 1}
        chosen = [one for one in self._found.contrasts if one.pairs.arm in alone]
        if not chosen or len(self._arms) < 2:
            why = (
                "It needs an arm with one objective alone beside the one that it is compared with."
            )
            return Drawing("transfer", title, why)
        matrix = transfer_matrix(chosen)
        draw = partial(transfer.transfer_heatmap, matrix)
        seeds = sorted({len(one.pairs.seeds) for one in chosen})
        n = f" n = {' to '.join(map(str, {seeds[0]: 0, seeds[-1]: 0}))} paired seeds."
        unfair = sorted(alone & self._found.unfair)
        note = f" Not matched in budget: {', '.join(unfair)}." if unfair else ""
        return Drawing("transfer", title, transfer.caption(matrix) + n + note, draw)

    def _difficulty(self) -> Drawing:
        title = "Does the judge read, or guess by difficulty?"
        found = {arm.name: _profile(self._items[arm.name], _early(arm)) for arm in self._arms}
        profiles = {name: profile for name, profile in found.items() if profile is not None}
        if not profiles:
            why = "It needs the rollouts of the last evaluation, with sampled answers and verdicts."
            return Drawing("difficulty", title, why)
        draw = partial(difficulty.difficulty_panels, profiles, self._marks)
        caption = (
            f"{difficulty.caption(profiles)} The solve rate is that of sampled answers after a quarter"
            " of the training and at its end, over seeds; the fixed judge set is of neither."
        )
        return Drawing("difficulty", title, caption, draw)

    def _tradeoff(self) -> Drawing:
        title = "What the tokens bought"
        points: dict[str, tradeoff.ArmPoint] = {}
        for arm in self._arms:
            finals = [run.final for run in arm.finished]
            needed = (POLICY, JUDGE, "compute/generated_tokens")
            whole = [final for final in finals if final and all(name in final for name in needed)]
            if whole:
                policy, judge, tokens = (np.array([one[key] for one in whole]) for key in needed)
                points[arm.name] = tradeoff.ArmPoint(policy, judge, float(tokens.mean()))
        if not points:
            return Drawing("tradeoff", title, _no_judge("comparison of policy, judge and tokens"))
        draw = partial(tradeoff.tradeoff, points, self._marks, metric_words(POLICY), JUDGE_WORDS)
        return Drawing("tradeoff", title, f"{tradeoff.caption(points)} {ON_FIXED}", draw)

    def _reliability(self) -> Drawing:
        title = "Calibration: is the judge right as often as it is sure?"
        found = {name: _calibration(rows) for name, rows in self._items.items()}
        judges = {name: judge for name, judge in found.items() if judge is not None}
        if not judges:
            why = (
                "No probabilities were recorded (eval.calibration), or their rollouts are missing."
            )
            return Drawing("reliability", title, why)
        draw = partial(reliability_figure.reliability_diagram, judges, self._marks)
        return Drawing("reliability", title, reliability_figure.caption(judges), draw)

    def _averaged(self) -> str:
        if all(len(run.evals) <= series.BINS for arm in self._arms for run in arm.shown):
            return ""
        return " Between the first and the last, neighbouring evaluations are averaged."

    def _sign(self, sign: str) -> dict[str, curves.Curve]:
        if sign in ("yes_rate", "label_yes_rate"):
            metric = f"live/judge/{sign}"
            return self._each(lambda arm: series.evaluation_curve(arm, metric, self._axis))
        own = {"age_windows": "recycle/age_windows", "entropy": "entropy"}
        own |= {name: f"reward/{name}" for name in health.OF_REWARD}
        if sign == "length":
            own["length"] = "train/solve/length"
        values = series.column(own[sign]) if sign in own else series.over_objectives(sign)
        return self._each(lambda arm: series.training_curve(arm, values, self._axis))

    def _each(self, of: Callable[[Arm], Found | None]) -> dict[str, Found]:
        found = {arm.name: of(arm) for arm in self._arms}
        return {name: one for name, one in found.items() if one is not None}


def _pooled(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all tables, without their texts."""
    kept = ["objective", "set", "question", "sample", "reward", "source_correct", "p_yes"]
    found = [rows.reindex(columns=kept) for rows in tables if len(rows)]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=kept)


def _early(arm: Arm) -> pd.DataFrame:
    """The finished seeds' rollouts after EARLY of the training."""
    cut = []
    for run in _alike(arm):
        trained = run.evals[run.evals["fraction"] > 0]
        count = max(int((trained["fraction"] <= EARLY).sum()), 1)
        cut.append(replace(run, evals=trained.iloc[:count]))
    return _pooled([final_items(run).rows for run in cut])


def _alike(arm: Arm) -> list[RunData]:
    """The finished seeds that were put the first one's questions: others can't be pooled with it."""
    return [run for run in arm.finished if run.questions == arm.finished[0].questions]


def _judged(rows: pd.DataFrame) -> pd.DataFrame:
    judged = rows[(rows["set"] == "fixed") & (rows["objective"] == "pointwise")]
    return judged[judged["source_correct"].notna()]


def _profile(rows: pd.DataFrame, early: pd.DataFrame) -> DifficultyProfile | None:
    """By solve rate over both. The starting model's answers would not do: the set is made of them."""
    both = pd.concat([early, rows])
    sampled = both[(both["objective"] == "solve") & (both["sample"] > 0)]
    rate = sampled.groupby("question")["reward"].mean()
    judged = _judged(rows)
    judged = judged[judged["question"].isin(rate.index)]
    right = judged["source_correct"].astype(bool).to_numpy()
    if judged["question"].nunique() < 2 or right.all() or not right.any():
        return None
    agrees = judged["reward"].to_numpy(float) == 1.0
    return difficulty_profile(
        rate.loc[judged["question"]].to_numpy(float),
        right,
        np.where(agrees, right, ~right),
        judged["question"].to_numpy(int),
        np.random.default_rng(SEED),
    )


def _calibration(rows: pd.DataFrame) -> Reliability | None:
    judged = _judged(rows)
    judged = judged[judged["p_yes"].notna()]
    if judged.empty:
        return None
    truth = judged["source_correct"].astype(bool).to_numpy()
    return reliability(judged["p_yes"].to_numpy(float), truth)


def _no_judge(what: str) -> str:
    return f"No {what}: policy and judge were not both measured on held-out questions."


def _sentences(reasons: Mapping[str, Sequence[str]]) -> list[str]:
    return [f"Left out: {', '.join(arms)} ({reason})." for reason, arms in reasons.items()]
