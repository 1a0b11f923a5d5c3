"""The sums of `chain_sums` as pictures: the same questions and answers, to be read before solved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from spark_lab.drawing import QUESTION, DrawnSum
from spark_lab.errors import Problem, UserError
from spark_lab.records import Question
from spark_lab.schema import VisualSumsConfig
from spark_lab.tasks import chain_sums
from spark_lab.tasks.task import Task


def load(config: VisualSumsConfig, verifier: str) -> Task:
    """With the same sizes and seed, question for question those of `chain_sums`. The picture of a sum
    depends on the sum and the task's seed alone."""
    problems = check(config, verifier)
    if problems:
        raise UserError(*problems)
    train, held_out = chain_sums.draw(config)
    return Task(_drawn(train, config), _drawn(held_out, config), verifier)


def _drawn(sums: Sequence[Question], config: VisualSumsConfig) -> list[Question]:
    return [
        replace(
            question,
            text=QUESTION,
            images=(DrawnSum(question.text, str(config.seed), config.grain, config.dot),),
        )
        for question in sums
    ]


def check(config: VisualSumsConfig, verifier: str) -> list[Problem]:
    return chain_sums.check(config, verifier, section="task.visual_sums")
