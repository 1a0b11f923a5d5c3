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
NEITHER = "neither"
"""What is to be said of two wrong solutions, though a judge can't."""


def judge_trials(
    entries: Sequence[JudgeEntry], templates: TemplateSet, judge_set: str
) -> list[Trial]:
    """The right and the wrong solution each pointwise, then both as a pair in either order.

    Always the first template of the form: what the prompts vary in training is not measured here.
    """
    trials = []
    for entry in entries:
        question, right, wrong = entry.question, entry.right, entry.wrong
        for solution in (right, wrong):
            if solution is not None:
                trials.append(Trial(pointwise_item(question, solution, templates), judge_set))
        if right is not None and wrong is not None:
            for swapped, pair in ((False, (right, wrong)), (True, (wrong, right))):
                trials.append(Trial(pair_item(question, *pair, templates), judge_set, swapped))
    return trials


def pointwise_item(question: Question, solution: Rollout, templates: TemplateSet) -> Item:
    """Whether the solution, which is shown by its answer alone, is correct."""
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
    return Item("pointwise", POINTWISE_FORM, MATERIAL, prompt, label, question.index, 0, correct)


def pair_item(question: Question, first: Rollout, second: Rollout, templates: TemplateSet) -> Item:
    """Which of two solutions is correct; the label is NEITHER unless exactly one is."""
    a, b = LABELS[PAIR_FORM]
    prompt = prompts.fill(
        templates.pairwise[0],
        question=question.text,
        solution_a=first.shown(MATERIAL),
        solution_b=second.shown(MATERIAL),
        a=a,
        b=b,
    )
    right = (first.verdict.correct, second.verdict.correct)
    label = {(True, False): a, (False, True): b}.get(right, NEITHER)
    return Item("pairwise", PAIR_FORM, MATERIAL, prompt, label, question.index, 0, None)


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
