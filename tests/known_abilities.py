"""A scripted model whose every ability is a known probability, and what follows from them exactly."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from spark_lab.evaluation.generation import Completion
from spark_lab.prompts import TemplateSet
from spark_lab.records import Question
from spark_lab.tasks import Task

WRONG = ("91", "92")
UNREADABLE = "?"
TOKENS = {"solve": 10, "judge": 4, "pair": 7, "fix": 9, "refix": 13}
P_YES = {True: 0.9, False: 0.2}
TEMPLATES = TemplateSet(
    name="test",
    solve="solve|{question}",
    pointwise={"yes_no": ("judge|{question}|{solution}|{yes}|{no}",), "a_b": ("other",)},
    pairwise=("pair|{question}|{solution_a}|{solution_b}|{a}|{b}",),
    reflect={
        ("told_wrong", "answer"): ("fix|{question}|{solution}",),
        ("told_wrong", "working"): ("refix|{question}|{solution}",),
        ("verify_first", "answer"): ("check|{question}|{solution}",),
        ("verify_first", "working"): ("other",),
    },
)


@dataclass(frozen=True)
class Abilities:
    """Probabilities. `solves` and `fixes` give (right, wrong, unreadable); the rest is one number.

    `accepts`: that a right or a wrong answer is called right. `prefers`: that the right one of a
    pair is chosen, in either order. `fixes` is by what is reflected on.
    """

    solves: tuple[float, float, float] = (0.45, 0.45, 0.1)
    accepts: dict[bool, float] = field(default_factory=lambda: {True: 0.8, False: 0.3})
    prefers: float = 0.7
    fixes: dict[str, tuple[float, float, float]] = field(
        default_factory=lambda: {
            "right": (0.6, 0.3, 0.1),
            "wrong": (0.5, 0.4, 0.1),
            "unreadable": (0.2, 0.7, 0.1),
        }
    )


def task_of(count: int) -> Task:
    held_out = [Question(index, f"q{index}", "right") for index in range(count)]
    return Task(train=[], eval=held_out, verifier="exact")


class KnownModel:
    """Completes prompts at random by its abilities; equal arguments give equal completions."""

    def __init__(self, abilities: Abilities):
        self._able = abilities

    def complete(self, prompts, *, samples=1, temperature=0.0, seed=0):
        return [
            [self._one(prompt.text, Random(f"{seed} {prompt.text} {n}")) for n in range(samples)]
            for prompt in prompts
        ]

    def verdict_probabilities(self, prompts, completions, labels):
        return [P_YES["Yes" in completion.text] for completion in completions]

    def _one(self, prompt: str, rng: Random) -> Completion:
        kind, _, *shown = prompt.split("|")
        said = {
            "solve": lambda: _answer(self._able.solves, rng),
            "judge": lambda: "Yes" if rng.random() < self._able.accepts[_right(shown[0])] else "No",
            "pair": lambda: self._choice(shown[0], shown[1], rng),
            "fix": lambda: _answer(self._able.fixes[_state(shown[0])], rng),
            "refix": lambda: _answer(self._able.fixes["unreadable"], rng),
            "check": lambda: UNREADABLE,
        }[kind]()
        text = said if said == UNREADABLE else f"\\boxed{{{said}}}"
        return Completion(text, TOKENS.get(kind, 1), False)

    def _choice(self, first: str, second: str, rng: Random) -> str:
        if not (_right(first) or _right(second)):
            return rng.choice("AB")
        chosen = rng.random() < self._able.prefers
        return "A" if chosen == _right(first) else "B"


def _right(answer: str) -> bool:
    return answer == "right"


def _state(answer: str) -> str:
    return "right" if _right(answer) else "wrong"


def _answer(odds: tuple[float, float, float], rng: Random) -> str:
    kind = rng.choices(("right", "wrong", UNREADABLE), odds)[0]
    return rng.choice(WRONG) if kind == "wrong" else kind


def reflecting(able: Abilities, rounds: int) -> tuple[float, float]:
    """(accuracy, tokens) after so many rounds: a Markov chain over the state of the open answer."""
    states = ("right", "wrong", "unreadable")
    open_ = dict(zip(states, able.solves, strict=True))
    accepted_right, tokens = 0.0, float(TOKENS["solve"])
    for _ in range(rounds):
        tokens += TOKENS["judge"] * (open_["right"] + open_["wrong"])
        accepted_right += open_["right"] * able.accepts[True]
        rejected = {
            "right": open_["right"] * (1 - able.accepts[True]),
            "wrong": open_["wrong"] * (1 - able.accepts[False]),
            "unreadable": open_["unreadable"],
        }
        tokens += TOKENS["fix"] * (rejected["right"] + rejected["wrong"])
        tokens += TOKENS["refix"] * rejected["unreadable"]
        open_ = {
            state: sum(rejected[source] * able.fixes[source][place] for source in states)
            for place, state in enumerate(states)
        }
    return accepted_right + open_["right"], tokens


def draws(able: Abilities, k: int) -> Iterator[tuple[float, list[str]]]:
    """Every sequence of k answers with its probability."""
    right, wrong, unreadable = able.solves
    odds = {"right": right, UNREADABLE: unreadable} | dict.fromkeys(WRONG, wrong / len(WRONG))
    for answers in itertools.product(odds, repeat=k):
        probability = 1.0
        for answer in answers:
            probability *= odds[answer]
        yield probability, list(answers)


def choosing(able: Abilities, k: int, strategy: str) -> tuple[float, float]:
    """(accuracy, tokens) of a choice among k samples, summed over all that can happen."""
    accuracy = tokens = 0.0
    for probability, answers in draws(able, k):
        right, spent = OUTCOMES[strategy](able, [one for one in answers if one != UNREADABLE])
        accuracy += probability * right
        tokens += probability * (k * TOKENS["solve"] + spent)
    return accuracy, tokens


def _vote(able: Abilities, answers: list[str]) -> tuple[float, float]:
    return _first_of_greatest(answers, {one: answers.count(one) for one in answers}), 0.0


def _oracle(able: Abilities, answers: list[str]) -> tuple[float, float]:
    return float("right" in answers), 0.0


def _weighted(able: Abilities, answers: list[str]) -> tuple[float, float]:
    return _judged(able, answers, lambda trust, count: (trust * count, count))


def _best(able: Abilities, answers: list[str]) -> tuple[float, float]:
    return _judged(able, answers, lambda trust, count: trust)


def _judged(able: Abilities, answers: list[str], score) -> tuple[float, float]:
    """Over both verdicts on every distinct answer."""
    distinct = list(dict.fromkeys(answers))
    accuracy = 0.0
    for verdicts in itertools.product((True, False), repeat=len(distinct)):
        probability, scores = 1.0, {}
        for answer, accepted in zip(distinct, verdicts, strict=True):
            p = able.accepts[_right(answer)]
            probability *= p if accepted else 1 - p
            scores[answer] = score(P_YES[accepted], answers.count(answer))
        accuracy += probability * _first_of_greatest(answers, scores)
    return accuracy, float(TOKENS["judge"] * len(distinct))


def _first_of_greatest(answers: list[str], scores: dict) -> float:
    if not answers:
        return 0.0
    greatest = max(scores.values())
    return float(next(one for one in answers if scores[one] == greatest) == "right")


def _tournament(able: Abilities, answers: list[str]) -> tuple[float, float]:
    distinct = list(dict.fromkeys(answers))
    if not distinct:
        return 0.0, 0.0
    matches = len(distinct) - 1  # a knockout takes out one a match
    return _knockout(able, distinct, answers), float(2 * TOKENS["pair"] * matches)


def _knockout(able: Abilities, left: list[str], answers: list[str]) -> float:
    """Probability that the right answer wins: first against second, third against fourth ..."""
    if len(left) == 1:
        return float(_right(left[0]))
    pairs = list(zip(left[::2], left[1::2], strict=False))
    waiting = left[2 * len(pairs) :]
    total = 0.0
    for winners in itertools.product(*pairs):
        probability = 1.0
        for pair, winner in zip(pairs, winners, strict=True):
            probability *= _beats(able, pair, winner, answers)
        total += probability * _knockout(able, [*winners, *waiting], answers)
    return total


def _beats(able: Abilities, pair: tuple[str, str], winner: str, answers: list[str]) -> float:
    """Both orders, or one of them and the votes (the earlier one where these are equal)."""
    first, second = pair
    p = 0.5
    if _right(first) or _right(second):
        p = able.prefers if _right(winner) else 1 - able.prefers
    favoured = first if answers.count(first) >= answers.count(second) else second
    return p * p + 2 * p * (1 - p) * (winner == favoured)


OUTCOMES = {
    "vote": _vote,
    "oracle": _oracle,
    "weighted": _weighted,
    "best": _best,
    "tournament": _tournament,
}
