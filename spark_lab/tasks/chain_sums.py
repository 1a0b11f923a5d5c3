"""Sums of a few single digits, "7+1+5+9": endless, exactly verifiable, and hard for a tiny model."""

from __future__ import annotations

import random

from spark_lab.errors import Problem, UserError
from spark_lab.records import Question
from spark_lab.schema import ChainSumsConfig
from spark_lab.tasks.task import Task

DIGITS = 9
FEWEST_TERMS = 2


def load(config: ChainSumsConfig, verifier: str) -> Task:
    """Distinct questions drawn with the task's own seed; the held-out ones come first, so that
    another `train_size` leaves them unchanged. The number of terms is drawn evenly; once most of
    the short sums are used up, longer ones take their place."""
    problems = check(config, verifier)
    if problems:
        raise UserError(*problems)
    train, held_out = draw(config)
    return Task(train, held_out, verifier)


def draw(config: ChainSumsConfig) -> tuple[list[Question], list[Question]]:
    """Training and held-out questions of settings that passed `check`."""
    rng = random.Random(config.seed)
    texts: dict[str, None] = {}
    while len(texts) < config.eval_size + config.train_size:
        terms = rng.randint(config.min_terms, config.max_terms)
        texts.setdefault("+".join(str(rng.randint(1, DIGITS)) for _ in range(terms)))
    drawn = list(texts)
    held_out, train = drawn[: config.eval_size], drawn[config.eval_size :]
    return _questions(train), _questions(held_out)


def _questions(texts: list[str]) -> list[Question]:
    return [
        Question(index, text, str(sum(map(int, text.split("+")))))
        for index, text in enumerate(texts)
    ]


def check(
    config: ChainSumsConfig, verifier: str, section: str = "task.chain_sums"
) -> list[Problem]:
    problems = [
        Problem(f"{section}.{name}", str(value), f"at least {least}", f"give {least} or more")
        for name, value, least in (
            ("train_size", config.train_size, 1),
            ("eval_size", config.eval_size, 1),
            ("seed", config.seed, 0),
        )
        if value < least
    ]
    if not FEWEST_TERMS <= config.min_terms <= config.max_terms:
        got = f"min_terms={config.min_terms}, max_terms={config.max_terms}"
        fix = f"{section}.min_terms=3 {section}.max_terms=5"
        expected = f"{FEWEST_TERMS} <= min_terms <= max_terms"
        return [*problems, Problem(section, got, expected, fix)]
    # Drawing distinct questions gets slow when most of them have been drawn.
    available = sum(DIGITS**terms for terms in range(config.min_terms, config.max_terms + 1))
    wanted = config.train_size + config.eval_size
    if wanted > available // 2:
        problems.append(
            Problem(
                section,
                f"{wanted} distinct questions of {config.min_terms} to {config.max_terms} terms",
                f"at most half of the {available} that there are",
                f"{section}.max_terms={config.max_terms + 1}, or smaller sizes",
            )
        )
    return problems
