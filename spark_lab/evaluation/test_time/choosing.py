"""Choosing one of N answers to a question, by votes, by the judge's trust, or by comparisons.

Answers are known by the place, among the N, of the first one that they equal; None can't be read.
Of what is equally good, the answer that was drawn first is chosen, which favours no label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from spark_lab import answers

Places = Sequence[int | None]


def equal_answers(texts: Sequence[str | None], verifier: str) -> list[int | None]:
    """The place of the first answer that the verifier says is the same, for each answer."""
    places: list[int | None] = []
    first: dict[str, int] = {}
    for place, text in enumerate(texts):
        if text is None:
            places.append(None)
            continue
        if text not in first:
            same = (own for other, own in first.items() if answers.alike(verifier, text, other))
            first[text] = next(same, place)
        places.append(first[text])
    return places


def vote(places: Places, weights: Sequence[float] | None = None) -> int | None:
    """The answer with the greatest sum of weights; with most votes where all weights are equal.

    Wang et al., "Self-consistency", 2022 (arXiv 2203.11171); weighed by a verifier's trust as in
    Li et al. 2022 (arXiv 2206.02336).
    """
    totals: dict[int, tuple[float, int, int]] = {}
    for rank, place in enumerate(places):
        if place is not None:
            total, votes, order = totals.get(place, (0.0, 0, -rank))
            weight = 1.0 if weights is None else weights[rank]
            totals[place] = (total + weight, votes + 1, order)
    return max(totals, key=totals.__getitem__, default=None)


def most_trusted(places: Places, weights: Sequence[float]) -> int | None:
    """Best of N: the answer with the greatest single weight (Cobbe et al. 2021, 2110.14168)."""
    readable = [rank for rank, place in enumerate(places) if place is not None]
    return places[max(readable, key=lambda rank: (weights[rank], -rank))] if readable else None


class Bracket:
    """A knockout between the distinct answers, in the order in which they were drawn."""

    def __init__(self, places: Places):
        self._votes = Counter(place for place in places if place is not None)
        self._left = list(self._votes)

    @property
    def winner(self) -> int | None:
        """The only answer that is left; the first one while there are several."""
        return self._left[0] if self._left else None

    def matches(self) -> list[tuple[int, int]]:
        """The pairs of this round; the last of an odd number waits for the next."""
        return list(zip(self._left[::2], self._left[1::2], strict=False))

    def advance(self, wins: Sequence[tuple[int, int]]) -> None:
        """`wins` of either answer of each match, over both orders. A draw goes to more votes."""
        waiting = self._left[2 * len(wins) :]
        self._left = [
            first if (won, self._votes[first]) >= (lost, self._votes[second]) else second
            for (first, second), (won, lost) in zip(self.matches(), wins, strict=True)
        ] + waiting
