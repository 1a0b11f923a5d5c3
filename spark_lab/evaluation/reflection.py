"""Whether a second look repairs wrong solutions, and whether it breaks right ones."""

from __future__ import annotations

from collections.abc import Sequence

from spark_lab import prompts
from spark_lab.evaluation import metrics
from spark_lab.evaluation.judge_set import JudgeEntry
from spark_lab.evaluation.trial import MATERIAL, Row, Trial
from spark_lab.prompts import TemplateSet
from spark_lab.records import Item, Question, Rollout


def reflection_trials(
    entries: Sequence[JudgeEntry], templates: TemplateSet, judge_set: str
) -> list[Trial]:
    """verify_first on wrong and right solutions alike, so the prompt gives nothing away; and
    told_wrong, which does, on the wrong ones."""
    trials = []
    for entry in entries:
        for form, solution in (
            ("verify_first", entry.wrong),
            ("verify_first", entry.right),
            ("told_wrong", entry.wrong),
        ):
            if solution is None:
                continue
            item = reflection_item(form, MATERIAL, entry.question, solution, templates)
            trials.append(Trial(item, judge_set))
    return trials


def reflection_item(
    form: str, material: str, question: Question, solution: Rollout, templates: TemplateSet
) -> Item:
    """A second look at a solution, of which `material` is shown: "answer" or "working"."""
    prompt = prompts.fill(
        templates.reflect[form, material][0],
        question=question.text,
        solution=solution.shown(material),
    )
    correct = solution.verdict.correct
    return Item("reflect", form, material, prompt, question.answer, question.index, 0, correct)


def reflection_metrics(rows: Sequence[Row]) -> dict[str, float | None]:
    """Of the rows of one judge set. A second answer that can't be parsed is a wrong one."""
    rewards: dict[tuple[str, bool], list[float]] = {}
    for row in rows:
        if row["objective"] == "reflect":
            rewards.setdefault((row["form"], row["source_correct"]), []).append(row["reward"])
    broken = [1.0 - reward for reward in rewards.get(("verify_first", True), [])]
    return {
        "reflect/fix_rate": metrics.mean(rewards.get(("verify_first", False), [])),
        "reflect/break_rate": metrics.mean(broken),
        "reflect/told_wrong_fix_rate": metrics.mean(rewards.get(("told_wrong", False), [])),
    }
