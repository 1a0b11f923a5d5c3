"""A whole SPARK step of the tiny world: windows, update and recycling, in every schedule."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from speed.measure import Row, now
from speed.pair import Pair
from speed.solve import part_rows

ROUNDS, WARM_UP = 12, 2
# Overrides, windows and updates of one cycle: a question and a judge window, or a mixed one.
CYCLES = {
    "joint": (["schedule=joint"], 2, 1),
    "alternate": (["schedule=alternate"], 2, 2),
    "mixed": (["schedule=mixed"], 1, 1),
    "mixed, micro-batches of 32": (["schedule=mixed", "trainer.micro_batch_size=32"], 1, 1),
    "joint, off": (["schedule=joint", "trainer.shared_prompts=off"], 2, 1),
}


def rows(rounds: int | None = None, **_) -> list[Row]:
    """TRL gets the same prompts, judge prompts included, in windows of the same size."""
    found = []
    for name, (overrides, windows, updates) in CYCLES.items():
        pair, steps, own = Pair(*overrides), [], []
        for index in range(WARM_UP + (rounds or ROUNDS)):
            with _own_seconds(pair.ours) as spent:
                steps.append(pair.step(index * windows, windows=windows, updates=updates))
            own.append(spent[0])
        steps, own = steps[WARM_UP:], own[WARM_UP:]
        found += part_rows("step", name, steps)
        # What SPARK adds to sampling and learning is planning, weighing and recycling.
        total = sum(step["spark"].total for step in steps)
        share = {"share of the step": f"{100 * sum(own) / total:.2f} %"}
        found.append(Row("step", f"{name}: SPARK's own code", "s", (), tuple(own), notes=share))
    return found


@contextmanager
def _own_seconds(trainer) -> Iterator[list[float]]:
    """Sums the seconds of what the trainer does beyond TRL's window."""
    spent = [0.0]

    def clocked(method):
        def call(*args):
            began = now()
            try:
                return method(*args)
            finally:
                spent[0] += now() - began

        return call

    whole = [(trainer.loop, "plan"), (trainer, "_weigh"), (trainer, "_absorb")]
    methods = [(owner, name, getattr(owner, name)) for owner, name in whole]
    for owner, name, method in methods:
        setattr(owner, name, clocked(method))
    try:
        yield spent
    finally:
        for owner, name, method in methods:
            setattr(owner, name, method)
