"""The verifier of the training, which may know some answers only, and may err.

Evaluation never goes through here: it has the true verifier and all answers.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace

from spark_lab.errors import Problem, UserError
from spark_lab.records import Question, Verdict
from spark_lab.schema import Config, RewardConfig


class Labels:
    """Which questions have a verifiable answer, and which verdicts are turned round.

    The labelled questions of a smaller share are among those of a larger one with the same seed.
    Whether a verdict is wrong follows from seed, window, group and place in the group alone: not
    from ranks, from the order of calls or from any random state.
    """

    def __init__(self, config: RewardConfig, questions: int, *, seed: int):
        self._config = config
        self._seed = seed
        self.questions = questions
        order = list(range(questions))
        random.Random(f"labelled {seed}").shuffle(order)
        self._known = frozenset(order[: round(config.labelled * questions)])
        self.noisy = config.false_positive > 0 or config.false_negative > 0
        self.complete = len(self._known) == questions

    @property
    def known(self) -> list[int]:
        """The indices of the labelled questions, in order."""
        return sorted(self._known)

    def hide(self, questions: Sequence[Question]) -> list[Question]:
        """The questions as the learner may see them: those without a label have no answer."""
        return [
            question if place in self._known else replace(question, answer=None)
            for place, question in enumerate(questions)
        ]

    def seen(self, verdict: Verdict, window: int, group: int, place: int) -> Verdict:
        """The verdict as this verifier gives it.

        A wrong answer is called right with probability `false_positive`, a right one wrong with
        `false_negative`. What has no readable answer can't be mistaken for a right one.
        """
        config = self._config
        rate = config.false_negative if verdict.correct else config.false_positive
        if rate == 0 or not verdict.parsed or self._draw(window, group, place) >= rate:
            return verdict
        return replace(verdict, reward=1.0 - verdict.reward, flipped=True)

    def _draw(self, *where: int) -> float:
        key = ":".join(map(str, (self._seed, *where))).encode()
        return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest()) / 2**64


def check_enough(labels: Labels, config: Config, *, recycles: bool) -> None:
    """What is known before anything is loaded but of a generator that makes fewer questions than it
    was asked for. Raises UserError where they, or those with a label, are too few."""
    known, size = len(labels.known), config.trainer.prompts_per_window
    if labels.questions < size:
        got, where = f"{labels.questions} training questions", "task"
        expected = f"a window's {size} questions"
        fix = "another generator or settings with more variety, or fewer trainer.prompts_per_window"
        raise UserError(Problem(where, got, expected, fix))
    if config.reward.self_judge is None and known < size:
        expected = f"a window's {size} questions, as unlabelled ones are left out"
        fix = "a larger reward.labelled, fewer trainer.prompts_per_window, or reward=self_judge"
    elif known == 0 and (recycles or config.reward.self_judge.anchor > 0):
        expected = "some, as no others are recycled and none can be an anchor"
        fix = "a larger reward.labelled"
    else:
        return
    got = f"{known} labelled questions of {labels.questions}"
    raise UserError(Problem("reward.labelled", got, expected, fix))
