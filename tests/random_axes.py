"""Combinations of all axes, drawn at random so that every value has its turns."""

from __future__ import annotations

import itertools
import random

from tiny_spark import small

from spark_lab.errors import UserError
from spark_lab.schema import Config

CHANGES = ["linear", "cosine", "competence"]
# Each axis with its values, more often where it is given twice. "" leaves the default.
AXES: dict[str, list[str]] = {
    "objective": ["[spark]", "[spark]", "[pointwise,reflect]", "[pairwise,reflect]", "[reflect]"],
    "recycle": ["on_policy", "lagged", "frozen", "fresh"],
    "reward": ["verifier", "verifier", "noisy", "partial", "self_judge"],
    "schedule": ["joint", "alternate", "mixed"],
    "schedule.judge_every": ["1", "2"],
    "schedule.judge_items": ["", "2"],
    "recycle.lag_windows": ["2", "3"],
    "recycle.frozen_windows": ["1", "2"],
    "recycle.all_right": ["pointwise", "skip", "drop"],
    "recycle.all_wrong": ["pointwise", "skip", "drop"],
    "recycle.label_balance": ["none", "half", "prior"],
    "recycle.take": ["shares", "shares", "fifo"],
    "recycle.order": ["oldest", "newest", "hardest"],
    "recycle.max_age": ["", "3", "8"],
    "recycle.judge_cap": ["2", "16"],
    "objective.pointwise.material": ["answer", "working", "both"],
    "objective.pointwise.weight": ["", "0.5"],
    "objective.pairwise.wrong": ["any", "most_frequent", "closest_length"],
    "objective.pointwise.loss": ["grpo", "grpo", "sft"],
    "objective.reflect.chain": ["false", "true"],
    "objective.reflect.keep_share": ["0", "0.5"],
    "trainer.num_iterations": ["1", "1", "2"],
    "trainer.beta": ["0", "0", "0.05"],
}
# Settings of one axis that need several keys.
BUNDLES: list[list[str]] = [
    [],
    *(
        [f"objective.reflect.share_schedule={kind}", "objective.reflect.share_end=0"]
        for kind in CHANGES
    ),
    *(
        [f"objective.reflect.weight_schedule={kind}", "objective.reflect.weight_end=3"]
        for kind in CHANGES
    ),
    ["recycle=frozen", "schedule=judge_only"],
    ["objective.reflect.templates=varied", "objective.reflect.template_count=3"],
]


def draw(rng: random.Random, count: int, *overrides: str) -> list[tuple[list[str], Config]]:
    """What was drawn, and its configuration at the tests' small size with `overrides`: `count`
    times, each axis being gone through in random order (a Latin hypercube).

    A value that is refused beside the others, by name, is left at its default.
    """
    columns = {axis: _turns(values, count, rng) for axis, values in AXES.items()}
    bundles = _turns(BUNDLES, count, rng)
    return [
        _composed({axis: column[i] for axis, column in columns.items()}, bundles[i], overrides)
        for i in range(count)
    ]


def _turns(values: list, count: int, rng: random.Random) -> list:
    return rng.sample(list(itertools.islice(itertools.cycle(values), count)), count)


def _composed(
    chosen: dict[str, str], bundle: list[str], overrides: tuple[str, ...]
) -> tuple[list[str], Config]:
    words = [f"{axis}={value}" for axis, value in chosen.items() if value] + bundle
    on = chosen["objective"].replace("spark", "pointwise,pairwise,reflect").strip("[]").split(",")
    words = [word for word in words if _objective(word) in (None, *on)]
    while True:
        try:
            return words, small(*words, *overrides)
        except UserError as error:
            refused = {problem.where.removesuffix("_schedule") for problem in error.problems}
            kept = [word for word in words if not word.startswith(tuple(refused))]
            assert len(kept) < len(words), error
            words = kept


def _objective(word: str) -> str | None:
    """The objective whose key an override sets."""
    path = word.partition("=")[0].split(".")
    return path[1] if len(path) > 2 and path[0] == "objective" else None
