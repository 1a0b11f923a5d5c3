"""Putting judge and reflection prompts to a model, and keeping what it said and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spark_lab.evaluation.generation import Completer, Completion
from spark_lab.evaluation.judge import POINTWISE_FORM
from spark_lab.evaluation.trial import Row, Trial, decoded_tokens, grade, prompt_of, trial_row
from spark_lab.prompts import LABELS
from spark_lab.records import Item, Picture, Question, Verdict


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model wrote to an item. `verdict.answer` is what it said, None if unreadable.

    `p_yes`: its probability of a right solution, None where it gave no verdict, or wasn't asked.
    """

    item: Item
    completion: Completion
    verdict: Verdict
    p_yes: float | None = None

    @property
    def accepts(self) -> bool:
        """Whether a solution is called right: anything but a readable yes is no, as in SPARK."""
        return self.verdict.answer == LABELS[POINTWISE_FORM][0]


class Asker:
    """Each call draws with a seed of its own. `questions` are those that items name by their index.
    `rows` are the rollouts, `tokens` their price."""

    def __init__(
        self,
        completer: Completer,
        questions: Sequence[Question],
        verifier: str,
        *,
        temperature: float,
        seed: int,
    ):
        self._completer = completer
        self._questions = {question.index: question for question in questions}
        self._verifier = verifier
        self._temperature = temperature
        self._seed = seed
        self.rows: list[Row] = []
        self.tokens = 0

    def ask(self, items: Sequence[Item], *, weigh: bool = False) -> list[Reply]:
        """`weigh`: also read the probability of the verdicts, which takes a forward pass."""
        if not items:
            return []
        prompts = [prompt_of(item, self._questions) for item in items]
        found = self._completer.complete(prompts, temperature=self._temperature, seed=self._seed)
        self._seed += 1
        completions = [completion for completion, *_ in found]
        verdicts = [grade(*pair, self._verifier) for pair in zip(items, completions, strict=True)]
        weights: list[float | None] = [None] * len(items)
        if weigh:
            weights = self._completer.verdict_probabilities(
                prompts, completions, LABELS[POINTWISE_FORM]
            )
        replies = [
            Reply(item, completion, verdict, p_yes if verdict.parsed else None)
            for item, completion, verdict, p_yes in zip(
                items, completions, verdicts, weights, strict=True
            )
        ]
        asked = zip(replies, prompts, strict=True)
        self.rows += [_row(reply, prompt.images) for reply, prompt in asked]
        self.tokens += decoded_tokens(prompts, completions, self._temperature)
        return replies


def _row(reply: Reply, images: Sequence[Picture]) -> Row:
    row = trial_row(Trial(reply.item, "test_time"), reply.completion, reply.verdict, images)
    return row | {"p_yes": reply.p_yes}
