"""One judge or reflection prompt of an evaluation, and the row that its completion becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spark_lab import answers
from spark_lab.evaluation.generation import Completion
from spark_lab.prompts import LABELS
from spark_lab.records import Item, Picture, Prompt, Question, Rollout, Verdict

Row = dict[str, Any]

MATERIAL = "answer"
"""Judges and reflections are evaluated on the final answer alone, as in SPARK's test-time scaling."""


@dataclass(frozen=True, slots=True)
class Trial:
    """`set`: "fixed", "live" or "test_time". `swapped`: whether the wrong solution of a pair is shown first."""

    item: Item
    set: str
    swapped: bool | None = None


def prompt_of(item: Item, questions: Mapping[int, Question]) -> Prompt:
    """The item's text after the images of its question; `questions` are by their index."""
    return Prompt(item.prompt, questions[item.question].images)


def pictured(images: Sequence[Picture]) -> Row:
    """A row's column of images, which those without any lack."""
    return {"images": list(images)} if images else {}


def grade(item: Item, completion: Completion, verifier: str) -> Verdict:
    """Whether a judge said the label, or a reflection ended with the question's answer."""
    if item.objective == "reflect":
        return answers.grade_answer(verifier, completion.text, item.label)
    return answers.grade_verdict(completion.text, LABELS[item.form], item.label)


def rollout_of(row: Row) -> Rollout:
    """The completion and the verdict of a row."""
    return Rollout(row["completion"], Verdict(row["reward"], row["answer"]))


def decoded_tokens(
    prompts: Sequence[Prompt], completions: Sequence[Completion], temperature: float
) -> int:
    """Tokens that were really generated: equal greedy prompts are decoded once."""
    if temperature == 0:
        completions = list(dict(zip(prompts, completions, strict=True)).values())
    return sum(completion.tokens for completion in completions)


def solve_row(
    prompt: Prompt,
    question: int,
    label: str,
    sample: int | None,
    completion: Completion,
    verdict: Verdict,
) -> Row:
    """`sample` 0 is the answer, 1 ... k are drawn for pass@k, -1 is greedy beside a sampled answer.

    None is drawn for test-time scaling alone.
    """
    return {
        "set": "heldout",
        "objective": "solve",
        "form": None,
        "material": None,
        "question": question,
        "prompt": prompt.text,
        **pictured(prompt.images),
        "label": label,
        "sample": sample,
        **_reply(completion, verdict),
        **_NO_SOURCE,
        "swapped": None,
    }


def trial_row(
    trial: Trial, completion: Completion, verdict: Verdict, images: Sequence[Picture] = ()
) -> Row:
    """`images`: those of the item's question."""
    item = trial.item
    return {
        "set": trial.set,
        "objective": item.objective,
        "form": item.form,
        "material": item.material,
        "question": item.question,
        "prompt": item.prompt,
        **pictured(images),
        "label": item.label,
        "sample": None,
        **_reply(completion, verdict),
        **_NO_SOURCE,
        "source_correct": item.source_correct,
        "swapped": trial.swapped,
    }


_NO_SOURCE = {"source_correct": None, "source_window": None, "p_yes": None}


def _reply(completion: Completion, verdict: Verdict) -> Row:
    return {
        "completion": completion.text,
        "answer": verdict.answer,
        "reward": verdict.reward,
        "correct": verdict.correct,
        "parsed": verdict.parsed,
        "tokens": completion.tokens,
        "truncated": completion.truncated,
    }
