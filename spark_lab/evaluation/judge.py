"""How well the model judges solutions: one at a time, and in pairs in both orders."""

from __future__ import annotations

from collections.abc import Sequence

from spark_lab import prompts
from spark_lab.evaluation import metrics
from spark_lab.evaluation.judge_set import JudgeEntry
from spark_lab.evaluation.trial import MATERIAL, Row, Trial
from spark_lab.prompts import LABELS, TemplateSet
from spark_lab.records import Item, Question, Rollout

POINTWISE_FORM = "yes_no"
PAIR_FORM = "pair"


def judge_trials(
    entries: Sequence[JudgeEntry], templates: TemplateSet, judge_set: str
) -> list[Trial]:
    """The right and the wrong solution each pointwise, then both as a pair in either order.

    Always the first template of the form: what the prompts vary in training is not measured here.
    """
    trials = []
    for entry in entries:
        for solution in (entry.right, entry.wrong):
            if solution is not None:
                trials.append(_pointwise(entry.question, solution, templates, judge_set))
        if entry.right is not None and entry.wrong is not None:
            for swapped in (False, True):
                trials.append(_pair(entry, templates, judge_set, swapped))
    return trials


def _pointwise(
    question: Question, solution: Rollout, templates: TemplateSet, judge_set: str
) -> Trial:
    yes, no = LABELS[POINTWISE_FORM]
    prompt = prompts.fill(
        templates.pointwise[POINTWISE_FORM][0],
        question=question.text,
        solution=solution.shown(MATERIAL),
        yes=yes,
        no=no,
    )
    correct = solution.verdict.correct
    label = yes if correct else no
    item = Item("pointwise", POINTWISE_FORM, MATERIAL, prompt, label, question.index, 0, correct)
    return Trial(item, judge_set)


def _pair(entry: JudgeEntry, templates: TemplateSet, judge_set: str, swapped: bool) -> Trial:
    a, b = LABELS[PAIR_FORM]
    first, second = (entry.wrong, entry.right) if swapped else (entry.right, entry.wrong)
    prompt = prompts.fill(
        templates.pairwise[0],
        question=entry.question.text,
        solution_a=first.shown(MATERIAL),
        solution_b=second.shown(MATERIAL),
        a=a,
        b=b,
    )
    label = b if swapped else a
    item = Item("pairwise", PAIR_FORM, MATERIAL, prompt, label, entry.question.index, 0, None)
    return Trial(item, judge_set, swapped)


def judge_metrics(rows: Sequence[Row]) -> dict[str, float | None]:
    """Of the rows of one judge set. An unparsed verdict is a wrong one, whatever the label."""
    pointwise = [row for row in rows if row["objective"] == "pointwise"]
    pairwise = [row for row in rows if row["objective"] == "pairwise"]
    unparsed = [not row["parsed"] for row in pointwise + pairwise]
    return {
        **_pointwise_metrics(pointwise),
        "judge/pairwise_accuracy": metrics.mean([row["reward"] for row in pairwise]),
        "judge/swap_consistency": _swap_consistency(pairwise),
        "judge/parse_failure_rate": metrics.mean(unparsed),
    }


def _pointwise_metrics(rows: Sequence[Row]) -> dict[str, float | None]:
    yes, _ = LABELS[POINTWISE_FORM]
    labels = [row["label"] == yes for row in rows]
    verdicts = [row["answer"] == yes if row["parsed"] else None for row in rows]
    weighed = [row for row in rows if row["p_yes"] is not None]
    probabilities = [row["p_yes"] for row in weighed]
    truths = [row["label"] == yes for row in weighed]
    return {
        "judge/pointwise_balanced_accuracy": metrics.balanced_accuracy(verdicts, labels),
        "judge/pointwise_accuracy": metrics.accuracy(verdicts, labels),
        "judge/pointwise_precision": metrics.precision(verdicts, labels),
        "judge/pointwise_recall": metrics.recall(verdicts, labels),
        "judge/pointwise_f1": metrics.f1(verdicts, labels),
        "judge/yes_rate": metrics.mean([verdict is True for verdict in verdicts]),
        "judge/label_yes_rate": metrics.mean(labels),
        "judge/brier": metrics.brier(probabilities, truths),
        "judge/ece": metrics.expected_calibration_error(probabilities, truths),
    }


def _swap_consistency(pairwise: Sequence[Row]) -> float | None:
    chosen: dict[bool, dict[int, bool | None]] = {False: {}, True: {}}
    for row in pairwise:
        chosen[row["swapped"]][row["question"]] = row["correct"] if row["parsed"] else None
    return metrics.swap_consistency(
        list(chosen[False].values()), [chosen[True][question] for question in chosen[False]]
    )
