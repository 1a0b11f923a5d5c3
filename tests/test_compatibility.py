"""Which settings of recycling, objectives and schedules go together, and what the others are told."""

from __future__ import annotations

import copy
import itertools

import pytest

from spark_lab import compatibility, limits
from spark_lab.config import compose
from spark_lab.schema import Config

REFLECT, POINTWISE = "objective.reflect", "objective.pointwise"
FIFO, FROZEN = {"recycle.take": "fifo"}, {"recycle.source": "frozen"}
FADING = {f"{REFLECT}.share_schedule": "linear", f"{REFLECT}.share_end": 0.0}
REFUSED = {
    f"{REFLECT}.share_end": {f"{REFLECT}.share_end": 0.5},
    f"{POINTWISE}.weight_end": {f"{POINTWISE}.weight_schedule": "cosine"},
    f"{REFLECT}.share_schedule": FADING | FIFO,
    f"{REFLECT}.share_schedule ": FADING
    | {"objective.pointwise": None, "objective.pairwise": None},
    f"{REFLECT}.share_schedule  ": FADING | {"budget.unit": "seconds"},
    f"{POINTWISE}.share_schedule": {
        f"{POINTWISE}.share": 0.0,
        f"{POINTWISE}.share_schedule": "competence",
        f"{POINTWISE}.share_end": 1.0,
    },
    f"{POINTWISE}.template_count": {f"{POINTWISE}.template_count": 2},
    f"{REFLECT}.chain": FROZEN | {f"{REFLECT}.chain": True},
    f"{REFLECT}.chain ": {"recycle.source": "fresh", f"{REFLECT}.chain": True},
    "recycle.max_age": FROZEN | {"recycle.max_age": 9},
    "recycle.max_age ": {"recycle.source": "lagged", "recycle.max_age": 39},
    "recycle.order": FIFO | {"recycle.order": "newest"},
    "recycle.order ": FROZEN | {"recycle.order": "hardest"},
    "recycle.capacity": {"schedule.judge_items": 60},
    "schedule.kind": {"schedule.kind": "judge_only"},
    "schedule.judge_every": FROZEN | {"schedule.kind": "judge_only", "schedule.judge_every": 5},
    "recycle.pairwise_share": {
        "recycle.pairwise_share": 1.0,
        "recycle.all_right": "drop",
        "recycle.all_wrong": "skip",
    },
}


@pytest.fixture(scope="module")
def default() -> Config:
    return compose([])


def changed(config: Config, changes: dict) -> Config:
    config = copy.deepcopy(config)
    for key, value in changes.items():
        *path, name = key.split(".")
        section = config
        for part in path:
            section = getattr(section, part)
        assert hasattr(section, name), key
        setattr(section, name, value)
    return config


def blamed(config: Config) -> list[str]:
    return [problem.where for problem in limits.check(config) or compatibility.check(config)]


@pytest.mark.parametrize("where", REFUSED)
def test_what_can_not_compose_is_refused_by_name(default, where):
    assert blamed(changed(default, REFUSED[where])) == [where.strip()]
    for key in REFUSED[where]:
        rest = {k: v for k, v in REFUSED[where].items() if k != key}
        if len(REFUSED[where]) == 2:
            assert where.strip() not in blamed(changed(default, rest)), "each of both is needed"


def test_everything_else_composes(default):
    axes = {
        "recycle.source": ["on_policy", "lagged", "frozen", "fresh"],
        "recycle.label_balance": ["none", "half", "prior"],
        "recycle.all_wrong": ["pointwise", "skip", "drop"],
        "schedule.kind": ["joint", "alternate", "mixed"],
        "schedule.judge_every": [1, 5],
        "schedule.judge_items": [None, 16],
        f"{POINTWISE}.material": ["answer", "both"],
        "objective.pairwise.wrong": ["any", "most_frequent"],
    }
    base = changed(default, FADING)
    for values in itertools.product(*axes.values()):
        assert blamed(changed(base, dict(zip(axes, values, strict=True)))) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("recycle.source", "onpolicy"),
        ("recycle.order", "random"),
        ("recycle.lag_windows", 1),
        ("recycle.frozen_windows", 0),
        ("recycle.max_age", 0),
        ("schedule.judge_every", 0),
        ("schedule.judge_items", 0),
        ("objective.pairwise.wrong", "hard"),
        ("objective.reflect.weight_schedule", "exponential"),
        ("objective.reflect.share_end", -1.0),
        ("objective.pointwise.template_count", 0),
    ],
)
def test_values_out_of_range_are_refused(default, key, value):
    assert blamed(changed(default, {key: value})) == [key]
