"""The imperfect arithmetic that the shipped model is taught, so that there is something to learn."""

from __future__ import annotations

import random

LARGEST_VALUE = 99
SLIPS = (-2, -1, 1, 2)
MISREMEMBERED = 0.3
KNOWN_RIGHT = 0.85
MISREMEMBERED_RIGHT, MISREMEMBERED_USUAL = 0.3, 0.5


class Arithmetic:
    """Sums of a value and a digit, some of which are misremembered.

    Of all pairs (value, digit) 30 %, drawn by `seed`, have a usual result that is off by 1 or 2: it
    comes up half of the time, the right one 30 %, any slip the rest. The other pairs come out right
    85 % of the time. So the likeliest working is wrong about as often as a sampled one (evenly
    careless sums would make every greedy answer right), and judging alone does not save the model:
    who works the sum out again tends to repeat the mistake.
    """

    def __init__(self, seed: int):
        rng = random.Random(seed)
        pairs = [(value, digit) for value in range(1, LARGEST_VALUE) for digit in range(1, 10)]
        self._usual = {pair: rng.choice(SLIPS) for pair in pairs if rng.random() < MISREMEMBERED}

    def add(self, value: int, digit: int, rng: random.Random) -> int:
        """A result of `value` + `digit`, at least 1."""
        usual = self._usual.get((value, digit))
        luck = rng.random()
        if usual is None:
            slip = 0 if luck < KNOWN_RIGHT else rng.choice(SLIPS)
        elif luck < MISREMEMBERED_RIGHT:
            slip = 0
        elif luck < MISREMEMBERED_RIGHT + MISREMEMBERED_USUAL:
            slip = usual
        else:
            slip = rng.choice(SLIPS)
        return max(1, value + digit + slip)
