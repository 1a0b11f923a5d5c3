"""Is this solution correct? (SPARK section 3.2, pointwise judgement.)"""

from __future__ import annotations

import random

from spark_lab import answers, prompts
from spark_lab.records import Item, Question, Rollout, Verdict
from spark_lab.schema import PointwiseConfig


class Pointwise:
    """One rollout is shown; the label is what the verifier said of it.

    The form (Yes/No or A/B, A always meaning correct) and the template are drawn for each item.
    """

    name = "pointwise"
    asks_the_verifier = False

    def __init__(self, config: PointwiseConfig):
        self.config = config
        templates = prompts.load(config.templates).pointwise
        self._templates = {form: templates[form][: config.template_count] for form in templates}

    def compose(
        self,
        question: Question,
        rollout: Rollout,
        *,
        rng: random.Random,
        window: int,
        material: str,
    ) -> Item:
        form = rng.choice(self.config.forms)
        yes, no = prompts.LABELS[form]
        prompt = prompts.fill(
            rng.choice(self._templates[form]),
            question=question.text,
            solution=rollout.shown(material),
            yes=yes,
            no=no,
        )
        correct = rollout.verdict.correct
        label = yes if correct else no
        return Item(self.name, form, material, prompt, label, question.index, window, correct)

    def grade(self, item: Item, text: str) -> Verdict:
        return answers.grade_verdict(text, prompts.LABELS[item.form], item.label)
