"""Which of two solutions is correct? (SPARK section 3.2, pairwise judgement.)"""

from __future__ import annotations

import random

from spark_lab import answers, prompts
from spark_lab.records import Item, Question, Rollout, Verdict
from spark_lab.schema import PairwiseConfig


class Pairwise:
    """A right and a wrong rollout of one group are shown; a fair coin decides which comes first."""

    name = "pairwise"
    asks_the_verifier = False
    form = "pair"

    def __init__(self, config: PairwiseConfig):
        self.config = config
        self._templates = prompts.load(config.templates).pairwise[: config.template_count]

    def compose(
        self,
        question: Question,
        right: Rollout,
        wrong: Rollout,
        *,
        rng: random.Random,
        window: int,
        material: str,
    ) -> Item:
        a, b = prompts.LABELS[self.form]
        right_first = rng.random() < 0.5
        first, second = (right, wrong) if right_first else (wrong, right)
        prompt = prompts.fill(
            rng.choice(self._templates),
            question=question.text,
            solution_a=first.shown(material),
            solution_b=second.shown(material),
            a=a,
            b=b,
        )
        label = a if right_first else b
        return Item(self.name, self.form, material, prompt, label, question.index, window, None)

    def grade(self, item: Item, text: str) -> Verdict:
        return answers.grade_verdict(text, prompts.LABELS[self.form], item.label)
