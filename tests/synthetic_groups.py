"""Configurations, groups and items made up for the tests of recycling, on the terse templates."""

from __future__ import annotations

import numpy as np

from spark_lab.objectives import build_objectives
from spark_lab.records import Group, Item, Question, Rollout, Verdict
from spark_lab.recycling.buffer import RecycleBuffer
from spark_lab.recycling.recycler import Recycler
from spark_lab.schema import (
    JudgingConfig,
    ObjectiveConfig,
    PairwiseConfig,
    PointwiseConfig,
    RecycleConfig,
    ReflectConfig,
    ScheduleConfig,
)

ALL = ("pointwise", "pairwise", "reflect")
EVEN = dict.fromkeys(ALL, 1.0)
SLOTS = {"pointwise": PointwiseConfig, "pairwise": PairwiseConfig, "reflect": ReflectConfig}


def recycle_config(**changes) -> RecycleConfig:
    reference = dict(
        source="on_policy",
        lag_windows=2,
        frozen_windows=1,
        pairwise_share=0.7,
        all_right="pointwise",
        all_wrong="pointwise",
        label_balance="none",
        judge_cap=32,
        reflect_cap=32,
        capacity=64,
        take="fifo",
        order="oldest",
        max_age=None,
        max_prompt_tokens=None,
    )
    return RecycleConfig(**(reference | changes))


def schedule_config(kind: str, **changes) -> ScheduleConfig:
    reference = dict(kind=kind, fraction=0.5, judge_every=1, judge_items=None)
    return ScheduleConfig(**(reference | changes))


def slot(name: str, **changes) -> JudgingConfig:
    common = dict(
        loss="grpo",
        share=1.0,
        share_schedule="constant",
        share_end=None,
        weight=1.0,
        weight_schedule="constant",
        weight_end=None,
        templates="terse",
        template_count=None,
        material="answer",
    )
    own = {
        "pointwise": dict(forms=["yes_no", "a_b"]),
        "pairwise": dict(wrong="any"),
        "reflect": dict(forms=["told_wrong", "verify_first"], keep_share=0.0, chain=False),
    }
    return SLOTS[name](**(common | own[name] | changes))


def recycler(*names: str, seed=0, fits=lambda prompt: True, recycle=None, **changes) -> Recycler:
    """A recycler for these objectives (default: all). `changes` are set where a slot has the key."""
    config = ObjectiveConfig()
    for name in names or ALL:
        keys = SLOTS[name].__dataclass_fields__
        setattr(config, name, slot(name, **{k: v for k, v in changes.items() if k in keys}))
    objectives = build_objectives(config, "exact")
    return Recycler(recycle or recycle_config(), objectives, seed=seed, fits=fits)


def buffer(*names: str, **changes) -> RecycleBuffer:
    return RecycleBuffer(names or ALL, recycle_config(**changes))


def rollout(text: str, answer: str | None, correct: bool) -> Rollout:
    return Rollout(text, Verdict(float(correct), answer))


def group(index: int, correct: list[bool], parsed: bool = True) -> Group:
    rollouts = [
        rollout(f"working {index} {i}", ("right" if c else f"wrong{i}") if parsed else None, c)
        for i, c in enumerate(correct)
    ]
    return Group(Question(index, f"1+{index}", "right"), tuple(rollouts))


def mixed_groups(count: int) -> list[Group]:
    return [group(i, [True, False] * 4) for i in range(count)]


def synthetic_window(accuracy: float, rng: np.random.Generator, size=64) -> list[Group]:
    """Groups of 8 whose question difficulty is Beta distributed around the mean accuracy."""
    difficulty = rng.beta(2.5 * accuracy, 2.5 * (1 - accuracy), size)
    return [group(i, list(rng.random(8) < p)) for i, p in enumerate(difficulty)]


def item(objective: str, window: int, accuracy: float = 0.0) -> Item:
    return Item(objective, "f", "answer", f"p{window}", "l", 0, window, None, accuracy)
