r"""What a public benchmark is: where its rows are, what they hold, how an answer is graded.

A row in the benchmark's own schema becomes one question or several (`adapt`), each of which has a true
answer and a verifier of `spark_lab.answers`: the last complete \boxed{...} of a completion counts, and
an answer that can't be read is wrong. A row that can't be used is an error, never a smaller benchmark.

The prompts are those of two published evaluations, in our words. Reasoning: the question, steps, a box
(Qwen2.5-Math, Yang et al. 2024, arXiv 2409.12122, without its examples). Visual: reasoning first, then
the answer again in a box (SPARK's released evaluation script).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spark_lab.records import Question
from spark_lab.tasks.reading import Row

# By whether the answer is the letter of an option.
REASONING = {
    False: "{question}\nReason step by step, and put your final answer in \\boxed{}.",
    True: "{question}\nReason step by step, and put the letter of the right option in \\boxed{}.",
}
VISUAL = {
    False: "{question}\nReason first, then answer the question. Repeat the final answer in \\boxed{}.",
    True: "{question}\nReason first, then answer the question. Repeat the letter of the right option"
    " in \\boxed{}.",
}


class Unusable(Exception):
    """(got, expected) of a row that `adapt` can make nothing of."""


def text_of(row: Row, name: str) -> str:
    """A text that `adapt` adds something to. Raises Unusable where it is anything else."""
    value = row[name]
    if not isinstance(value, str) or not value.strip():
        raise Unusable(f"{name}={value!r}"[:120], "a text")
    return value


@dataclass(frozen=True)
class Entry:
    """A question, what verifies its answers, the place of its row, and what it belongs to.

    `unit` names the questions that are scored together: the variants of one seed question, the steps
    of one problem; `part` says which of them this is. `category` is a column of its own in reports.
    """

    question: Question
    verifier: str
    place: str
    category: str = ""
    unit: str = ""
    part: str = ""


@dataclass(frozen=True)
class Benchmark:
    """`title` is its column in tables, `size` how many of its rows are asked where it is whole, None:
    unknown.

    `columns` says which column holds a row's question, answer, category ... ("a|b": the first of both
    that is there). `adapt` turns these into questions; without it a row is one question as it stands.
    `samples` is the k of avg@k where none is asked for; 0: one greedy answer alone, as in the paper.
    `headline` is the figure that tables show, and `extra` makes further ones from what was right.
    `judging`: it is the model's judgement that is measured, by a protocol of its own.
    """

    name: str
    title: str
    hub: str
    splits: tuple[str, ...]
    size: int | None
    cites: str
    columns: Mapping[str, str]
    subset: str | None = None
    adapt: Callable[[Row], Sequence[Row]] | None = None
    answer_form: str = "plain"
    verifier: str = "math"
    prompts: Mapping[bool, str] = field(default_factory=lambda: REASONING)
    samples: int = 0
    headline: str = "accuracy"
    extra: Callable[[Sequence[Entry], Sequence[bool], Sequence[str | None]], dict] | None = None
    judging: bool = False
    note: str = ""

    @property
    def visual(self) -> bool:
        return "image" in self.columns


@dataclass(frozen=True)
class Loaded:
    """A benchmark with its items, and which of these a model was trained on (None: unknown)."""

    benchmark: Benchmark
    items: list[Any]
    trained: frozenset[int] | None
