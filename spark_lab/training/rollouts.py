"""A window's completions as rows of rollouts/train-*.jsonl.gz, the same columns as evaluations'."""

from __future__ import annotations

from typing import Any

from spark_lab.training.graded import GradedGroup


def rollout_rows(group: GradedGroup, index: int, step: int) -> list[dict[str, Any]]:
    """One row for each sample of the group; `group` numbers the groups of the step.

    Of a question `correct` is the truth and `reward` what the learner was told. Of recycled items
    `label` and `source_correct` are what the training's verifier said of the solution, whose errors
    (reward.false_positive, false_negative) they keep, and `correct` is held against that.
    """
    source = group.source
    if isinstance(source, int):
        origin = {"objective": "solve", "form": None, "material": None, "question": source}
        origin |= {"source_correct": None, "source_window": None}
    else:
        origin = {
            "objective": source.objective,
            "form": source.form,
            "material": source.material,
            "question": source.question,
            "source_correct": source.source_correct,
            "source_window": source.window,
        }
    images = {"images": list(group.prompt.images)} if group.prompt.images else {}
    return [
        {
            "step": step,
            "phase": "extra" if group.extra else "train",
            "set": None,
            "window": group.window,
            "group": index,
            **origin,
            "prompt": group.prompt.text,
            **images,
            "label": group.label,
            "completion": sample.text,
            "answer": sample.verdict.answer,
            "reward": sample.verdict.reward,
            "correct": sample.right,
            "parsed": sample.verdict.parsed,
            "tokens": sample.length,
            "truncated": sample.truncated,
        }
        for sample in group.samples
    ]
