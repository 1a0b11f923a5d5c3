"""The N sampled answers to a question that all strategies share, and what the judge says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from spark_lab import answers, prompts
from spark_lab.evaluation.generation import Completer
from spark_lab.evaluation.judge import pointwise_item
from spark_lab.evaluation.test_time.asking import Asker, Reply
from spark_lab.evaluation.test_time.choosing import Places, equal_answers
from spark_lab.evaluation.trial import Row, rollout_of, solve_row
from spark_lab.prompts import TemplateSet
from spark_lab.records import Group, Prompt, Question


@dataclass(frozen=True)
class Pool:
    """`tokens` [N] of the answers, `places` [N] as in `choosing`, `judged` by the answer's text."""

    group: Group
    tokens: list[int]
    places: Places
    judged: dict[str, Reply] = field(default_factory=dict)

    def blocks(self, size: int, most: int) -> Iterator[slice]:
        """Slices of `size` of the first `most` answers; what is left over is not used."""
        for start in range(0, most - most % size, size):
            yield slice(start, start + size)

    def weights(self, block: slice) -> list[float]:
        """How likely each answer is right, by the judge; 0 for what it could not be asked."""
        return [self._weight(rollout.verdict.answer) for rollout in self.group.rollouts[block]]

    def judging(self, block: slice) -> int:
        """Tokens of judging the block's answers, each text once."""
        texts = dict.fromkeys(one.verdict.answer for one in self.group.rollouts[block])
        return sum(self.judged[text].completion.tokens for text in texts if text is not None)

    def _weight(self, text: str | None) -> float:
        if text is None:
            return 0.0
        reply = self.judged[text]
        return float(reply.accepts) if reply.p_yes is None else reply.p_yes


def make_pools(questions: Sequence[Question], rows: Sequence[Row], verifier: str) -> list[Pool]:
    """One pool a question, of the solve rows of its samples."""
    drawn: dict[int, list[Row]] = {question.index: [] for question in questions}
    for row in rows:
        drawn[row["question"]].append(row)
    return [
        Pool(
            Group(question, tuple(map(rollout_of, drawn[question.index]))),
            [row["tokens"] for row in drawn[question.index]],
            equal_answers([row["answer"] for row in drawn[question.index]], verifier),
        )
        for question in questions
    ]


def judge_pools(pools: Sequence[Pool], most: int, asker: Asker, templates: TemplateSet) -> None:
    """Fill `judged`: every distinct one of the first `most` answers, with its probability."""
    due = [
        (pool, text, rollout)
        for pool in pools
        for text, rollout in {one.verdict.answer: one for one in pool.group.rollouts[:most]}.items()
        if text is not None
    ]
    items = [pointwise_item(pool.group.question, rollout, templates) for pool, _, rollout in due]
    for (pool, text, _), reply in zip(due, asker.ask(items, weigh=True), strict=True):
        pool.judged[text] = reply


def draw(
    questions: Sequence[Question],
    template: str,
    verifier: str,
    completer: Completer,
    *,
    samples: int,
    temperature: float,
    seed: int,
) -> list[Row]:
    """Further samples to each question as rows of the set "test_time"."""
    asked = [
        Prompt(prompts.fill(template, question=question.text), question.images)
        for question in questions
    ]
    found = completer.complete(asked, samples=samples, temperature=temperature, seed=seed)
    return [
        solve_row(prompt, question.index, question.answer, None, completion, verdict)
        | {"set": "test_time"}
        for question, prompt, completions in zip(questions, asked, found, strict=True)
        for completion in completions
        for verdict in (answers.grade_answer(verifier, completion.text, question.answer),)
    ]
