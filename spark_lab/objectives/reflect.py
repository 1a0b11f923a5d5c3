"""Look at a solution again and answer the question anew (SPARK section 3.2, self-reflection)."""

from __future__ import annotations

import random

from spark_lab import answers, prompts
from spark_lab.records import Item, Question, Rollout, Verdict
from spark_lab.schema import ReflectConfig


class Reflect:
    """One rollout is shown; reward 1 if the new boxed answer equals the ground truth.

    "told_wrong" says that the solution is wrong, "verify_first" asks to check it and to keep it if
    it is right. A right solution is therefore only ever shown in the verify_first form.
    """

    name = "reflect"
    asks_the_verifier = True

    def __init__(self, config: ReflectConfig, verifier: str):
        self.config = config
        templates = prompts.load(config.templates).reflect
        self._templates = {key: templates[key][: config.template_count] for key in templates}
        self._verifier = verifier

    def compose(
        self,
        question: Question,
        rollout: Rollout,
        *,
        rng: random.Random,
        window: int,
        material: str,
    ) -> Item:
        correct = rollout.verdict.correct
        form = "verify_first" if correct else self._draw_form(material, rng)
        prompt = prompts.fill(
            rng.choice(self._templates[form, material]),
            question=question.text,
            solution=rollout.shown(material),
        )
        return Item(
            self.name, form, material, prompt, question.answer, question.index, window, correct
        )

    def _draw_form(self, material: str, rng: random.Random) -> str:
        """A form in proportion to its number of templates (20 : 10 in the paper's code)."""
        counts = [len(self._templates[form, material]) for form in self.config.forms]
        return rng.choices(self.config.forms, weights=counts)[0]

    def grade(self, item: Item, text: str) -> Verdict:
        return answers.grade_answer(self._verifier, text, item.label)
