"""From run folders to arrays: an arm's final scores per seed and question, and the compute it took."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from spark_lab.analysis.load import RunData, final_items
from spark_lab.analysis.pairing import ArmScores
from spark_lab.analysis.test_time import accuracy_by_question

LOWER_IS_BETTER = (
    *("parse_failure_rate", "break_rate", "brier", "ece"),
    *("truncated_rate", "thinking_cut_rate"),
)
# Metrics are means of 0 and 1 over at most some thousand rows; a larger difference is no rounding.
_AGREE = 1e-6
# Of a rollout; its texts would be copied with every selection of rows.
_NEEDED = ["objective", "set", "form", "question", "sample", "reward", "source_correct"]
_PASS_AT = re.compile(r"policy/pass_at_(\d+)")


@dataclass(frozen=True, slots=True)
class Collected:
    """An arm's scores, None where no run has any, and in plain words what was left out and why."""

    scores: ArmScores | None
    notes: tuple[str, ...]


def arm_scores(arm: str, runs: Sequence[RunData], metrics: Sequence[str]) -> dict[str, Collected]:
    """The `metrics` of the final checkpoint of an arm's finished runs, each run read once.

    Per question where the evaluation's rollouts allow it and all seeds were put the same questions
    (and, for `fixed/`, the same solutions); one number per run otherwise. Runs that did not finish,
    lack the metric, or whose rollouts contradict it are left out by name.
    """
    ordered = sorted(runs, key=lambda run: run.seed)
    finals = [(run, run.final) for run in ordered]
    unfinished = [f"{run.name} has no final evaluation" for run, final in finals if final is None]
    finished = [
        (run, final, final_items(run).rows.reindex(columns=_NEEDED))
        for run, final in finals
        if final is not None
    ]
    return {metric: _collect(arm, finished, unfinished, metric) for metric in metrics}


def compute_spent(runs: Sequence[RunData], seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Compute of the runs of `seeds` at their final evaluation: {unit: [seeds]}.

    Units that not every run has are left out. Raises ValueError for a seed that did not finish.
    """
    finals = {run.seed: run.evals.iloc[-1] for run in runs if run.final is not None}
    missing = [seed for seed in seeds if seed not in finals]
    if missing:
        raise ValueError(f"no finished run for seeds {missing}")
    table = pd.DataFrame([finals[seed] for seed in seeds])
    spent = table[[name for name in table if name.startswith("compute/") or name == "step"]]
    return {
        name.removeprefix("compute/").replace("step", "steps"): column.to_numpy(float)
        for name, column in spent.dropna(axis=1).items()
    }


def lower_is_better(metric: str) -> bool:
    return metric.endswith(LOWER_IS_BETTER)


def _collect(
    arm: str,
    runs: Sequence[tuple[RunData, dict[str, float], pd.DataFrame]],
    unfinished: Sequence[str],
    metric: str,
) -> Collected:
    notes = list(unfinished)
    measured: list[tuple[RunData, float, pd.Series | None]] = []
    for run, final, rows in runs:
        if metric not in final:
            notes.append(f"{run.name} lacks {metric}")
            continue
        items, logged = _per_question(run, rows, metric), final[metric]
        if items is not None and abs(items.mean() - logged) > _AGREE:
            found = f"rollouts give {metric} {items.mean():.4f}, eval.jsonl says {logged:.4f}"
            notes.append(f"{run.name}: {found}")
            continue
        measured.append((run, logged, items))
    scores = _stacked(arm, metric, measured, notes) if measured else None
    return Collected(scores, tuple(notes))


def _stacked(
    arm: str,
    metric: str,
    measured: list[tuple[RunData, float, pd.Series | None]],
    notes: list[str],
) -> ArmScores:
    seeds = tuple(run.seed for run, _, _ in measured)
    given = [items for _, _, items in measured if items is not None]
    tests = {_test_name(run, metric) for run, _, _ in measured}
    same = len(tests) == 1 and all(given[0].index.equals(items.index) for items in given)
    if len(given) == len(measured) and same:
        test = tests.pop()
        columns = tuple((test, int(question)) for question in given[0].index)
        values = np.stack([items.to_numpy(float) for items in given])
        return ArmScores(arm, metric, seeds, values, columns, lower_is_better(metric))
    if given and not same:
        notes.append(f"{arm}: {metric} was not measured on the same items by every seed")
    values = np.array([logged for _, logged, _ in measured])
    # Without items in common, only the question set can be held against another arm's.
    columns = tuple(sorted({str(run.questions) for run, _, _ in measured}))
    return ArmScores(arm, metric, seeds, values, columns, lower_is_better(metric))


def _test_name(run: RunData, metric: str) -> str:
    """What the metric was measured on: the question set, and the judged solutions for `fixed/`."""
    judge_set = run.folder / "judge_set.jsonl"
    if not metric.startswith("fixed/") or not judge_set.exists():
        return str(run.questions)
    return f"{run.questions}-{hashlib.sha256(judge_set.read_bytes()).hexdigest()[:8]}"


def _per_question(run: RunData, rows: pd.DataFrame, metric: str) -> pd.Series | None:
    """Contributions by question, whose plain mean is the metric; None where there is no such split.

    An item of weight w (the weights sum to 1) contributes Q w times its value to its question. For
    the held-out and the fixed set the weights are the same in every run. A live set has items of
    its own in every run, so that nothing could be paired.
    """
    if metric.startswith("tts/"):
        return accuracy_by_question(run, metric)
    if rows.empty:
        return None
    weighed = _weighed(rows, metric)
    if weighed is None or weighed.empty:
        return None
    by_question = weighed["value"].mul(weighed["weight"]).groupby(weighed["question"]).sum()
    return by_question.sort_index() * len(by_question)


def _weighed(rows: pd.DataFrame, metric: str) -> pd.DataFrame | None:
    """Columns question, value, weight: the items behind a metric."""
    solved = rows[rows["objective"] == "solve"]
    if metric == "policy/accuracy":
        return _equally(solved[solved["sample"] == 0])
    if metric == "policy/sampled_accuracy":
        return _equally(solved[solved["sample"] > 0])
    if pass_at := _PASS_AT.fullmatch(metric):
        return _any_of(solved[solved["sample"] > 0], int(pass_at[1]))
    fixed = rows[rows["set"] == "fixed"]
    judged = fixed[fixed["objective"] == "pointwise"]
    reflected = fixed[(fixed["objective"] == "reflect") & (fixed["form"] == "verify_first")]
    if metric == "fixed/judge/pointwise_accuracy":
        return _equally(judged)
    if metric == "fixed/judge/pointwise_balanced_accuracy":
        per_label = judged.groupby("source_correct")["reward"].transform("size")
        return _equally(judged).assign(weight=0.5 / per_label)
    if metric == "fixed/judge/pairwise_accuracy":
        return _equally(fixed[fixed["objective"] == "pairwise"])
    if metric == "fixed/reflect/fix_rate":
        return _equally(reflected[reflected["source_correct"] == False])  # noqa: E712
    if metric == "fixed/reflect/break_rate":
        right = _equally(reflected[reflected["source_correct"] == True])  # noqa: E712
        return right.assign(value=1.0 - right["value"])
    return None


def _equally(items: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "question": items["question"],
            "value": items["reward"].astype(float),
            "weight": 1.0 / max(len(items), 1),
        }
    )


def _any_of(samples: pd.DataFrame, k: int) -> pd.DataFrame | None:
    """pass@k where every question has exactly k samples: whether any of them is right."""
    grouped = samples.groupby("question")["reward"]
    if samples.empty or not (grouped.size() == k).all():
        return None
    return _equally(grouped.max().reset_index())
