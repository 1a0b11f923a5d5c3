"""Whole judge windows: sampling, grading, scoring, loss and gradient, of long prompts.

The random model can't end a completion, so all of them have the full length on both sides: no round
depends on what was sampled, and nothing is gained by rows that end early.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from speed.measure import Row, middle
from speed.pair import GROUP, SHAPES, Pair, bound, judge_overrides, judging
from speed.scales import Scale
from speed.solve import part_rows

ROUNDS = (5, 5, 4, 3)


def rows(scale: Scale, rounds: int | None = None, **_) -> list[Row]:
    found = []
    with TemporaryDirectory() as folder:
        path = scale.save(Path(folder))
        for shape, (prompt, completion) in enumerate(SHAPES):
            pair = Pair(*judge_overrides(scale, path, shape))
            judging(pair.ours, scale, shape)
            steps = [pair.step(index) for index in range(1 + (rounds or ROUNDS[shape]))][1:]
            whole, *parts = part_rows("judge", f"P/C {prompt}/{completion}", steps)
            generated = scale.groups[shape] * GROUP * completion
            note = {"new tokens/s": f"{generated / middle(whole.spark)[0]:,.0f}"}
            limit = bound(prompt, completion)
            found.append(Row("judge", whole.name, "s", whole.trl, whole.spark, limit, note))
            found += parts
    return found
