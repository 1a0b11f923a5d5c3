"""The tiny world's solve window, with prompts shared and without."""

from __future__ import annotations

from speed.measure import Row
from speed.pair import Pair, Parts

ROUNDS, WARM_UP = 20, 2


def rows(rounds: int | None = None, **_) -> list[Row]:
    """`auto` is what users get; `off` takes TRL's own path, so it shows what SPARK adds."""
    found = []
    for way in ("auto", "off"):
        pair = Pair("objective=none", f"trainer.shared_prompts={way}")
        steps = [pair.step(index) for index in range(WARM_UP + (rounds or ROUNDS))][WARM_UP:]
        found += part_rows("solve", f"solve window, {way}", steps)
    return found


def part_rows(section: str, name: str, steps: list[dict[str, Parts]]) -> list[Row]:
    """The whole step, then its parts."""
    parts = {"": "total", ": sample and grade": "sample", ": loss and gradient": "train"}
    return [
        Row(
            section,
            name + label,
            "s",
            *(tuple(getattr(step[who], part) for step in steps) for who in ("trl", "spark")),
        )
        for label, part in parts.items()
    ]
