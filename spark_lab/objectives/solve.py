"""Solve the question itself: the policy's own objective."""

from __future__ import annotations

from spark_lab import answers, prompts
from spark_lab.records import Prompt, Question, Verdict


class Solve:
    """Reward 1 if the boxed answer equals the ground truth, else 0 (SPARK section 3.1)."""

    name = "solve"

    def __init__(self, templates: str, verifier: str):
        self._template = prompts.load(templates).solve
        self._verifier = verifier

    def prompt(self, question: Question) -> Prompt:
        return Prompt(prompts.fill(self._template, question=question.text), question.images)

    def grade(self, question: Question, text: str) -> Verdict:
        """Without a known answer the reward is 0 until somebody else gives one."""
        if question.answer is None:
            return Verdict(0.0, answers.extract_boxed(text))
        return answers.grade_answer(self._verifier, text, question.answer)
