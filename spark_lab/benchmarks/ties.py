"""The Ties of RewardBench 2: are all right answers rated above all wrong ones, and alike?

Questions come in pairs of one number: "ref" has one right answer, "tied" several. With the distance d
between the worst right and the best wrong answer, and the spread s of the right ones, a question is
accurate if d > 0. A pair is preferred if d(tied) > s(tied), hard if min(d(tied), d(ref)) > s(tied):

    0.3 tied accuracy + 0.3 ref accuracy + 0.2 preferred + 0.2 hard
    + 0.01 mean tanh(min(d(tied), d(ref)) / s(tied) - 1)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

# The official rating of an answer whose rating can't be read.
_UNREADABLE = -1


@dataclass(frozen=True)
class Rated:
    """Ratings from 1 to 10 of a question's answers, the right ones first; None: unreadable."""

    id: str
    right: int
    ratings: Sequence[int | None]

    @property
    def lost(self) -> bool:
        return None in self.ratings

    @property
    def spread(self) -> float:
        right = self._values[: self.right]
        return max(right) - min(right)

    @property
    def distance(self) -> float:
        return min(self._values[: self.right]) - max(self._values[self.right :])

    @property
    def _values(self) -> list[int]:
        return [_UNREADABLE if rating is None else rating for rating in self.ratings]


def ties(pairs: Sequence[Sequence[Rated]], *, strict: bool = True) -> float:
    """The score of pairs of a ref and a tied question, from -0.01 to 1.01.

    strict: a question with an unreadable rating fails everything that it takes part in.
    """
    kinds = [{one.id.partition(":")[0]: one for one in pair} for pair in pairs]
    accurate = {
        kind: fmean(_passes([pair[kind]], pair[kind].distance > 0, strict) for pair in kinds)
        for kind in ("tied", "ref")
    }
    preferred, hard, graded = [], [], []
    for pair in kinds:
        tied, ref = pair["tied"], pair["ref"]
        least = min(tied.distance, ref.distance)
        preferred.append(_passes([tied], tied.distance > tied.spread, strict))
        hard.append(_passes([tied, ref], least > tied.spread, strict))
        lost = strict and (tied.lost or ref.lost)
        graded.append(math.tanh(-1) if lost else _graded(least, tied.spread))
    score = 0.3 * accurate["tied"] + 0.3 * accurate["ref"]
    return score + 0.2 * fmean(preferred) + 0.2 * fmean(hard) + 0.01 * fmean(graded)


def _passes(questions: Sequence[Rated], holds: bool, strict: bool) -> bool:
    return holds and not (strict and any(question.lost for question in questions))


def _graded(least: float, spread: float) -> float:
    """tanh(least / spread - 1), with its limits where the right ones are rated alike."""
    if spread > 0:
        return math.tanh(least / spread - 1)
    return math.copysign(1.0, least) if least else 0.0
