"""Shares and loss weights that change with the budget or with the model's own accuracy."""

from __future__ import annotations

import json

import pytest
from synthetic_groups import slot

from spark_lab.training.mix import MEMORY, Mix


def mix(spent: list[float], **changes) -> Mix:
    """Reflection changes as told; single judgements stay as they are. `spent` can be changed."""
    objectives = {"pointwise": slot("pointwise"), "reflect": slot("reflect", **changes)}
    return Mix(objectives, lambda: spent[0])


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("linear", [2.0, 1.5, 1.0, 0.0]), ("cosine", [2.0, 1.70711, 1.0, 0.0])],
)
def test_shares_and_weights_go_from_start_to_end_with_the_budget(schedule, expected):
    spent = [0.0]
    changes = dict(share=2.0, share_schedule=schedule, share_end=0.0)
    changes |= dict(weight=0.0, weight_schedule=schedule, weight_end=4.0)
    changing = mix(spent, **changes)
    for fraction, value in zip([0.0, 0.25, 0.5, 1.0], expected, strict=True):
        spent[0] = fraction
        assert changing.shares() == pytest.approx({"pointwise": 1.0, "reflect": value}, abs=1e-5)
        assert changing.weight("reflect") == pytest.approx(4.0 - 2 * value, abs=1e-5)
        assert changing.weight("pointwise") == 1.0
    assert set(changing.metrics()) == {"train/reflect/share", "train/reflect/weight"}


def test_competence_gives_more_to_what_is_judged_worst():
    changing = mix([0.5], share_schedule="competence", share_end=0.0)
    assert changing.shares() == {"pointwise": 1.0, "reflect": 1.0}
    shares = []
    for accuracy in (0.25, 0.5, 0.9):
        for _ in range(20 * MEMORY):
            changing.learn("reflect", [accuracy] * 4)
        shares.append(changing.shares()["reflect"])
    assert shares == pytest.approx([0.75, 0.5, 0.1], abs=1e-3)
    assert changing.shares()["pointwise"] == 1.0


def test_accuracy_is_the_mean_at_first_and_forgets_later():
    changing = mix([0.0], weight_schedule="competence", weight_end=0.0)
    for rewards in ([1.0, 0.0], [1.0, 1.0], [0.0, 0.0]):
        changing.learn("reflect", rewards)
    assert changing.weight("reflect") == pytest.approx(0.5)
    for _ in range(10 * MEMORY):
        changing.learn("reflect", [1.0])
    assert changing.weight("reflect") < 1e-3


def test_constant_values_ignore_budget_and_accuracy_and_are_not_logged():
    spent = [0.7]
    constant = mix(spent, share=3.0, weight=0.5)
    constant.learn("reflect", [1.0])
    assert constant.shares()["reflect"] == 3.0 and constant.weight("reflect") == 0.5
    assert constant.metrics() == {}


def test_a_restored_mix_knows_the_accuracies():
    first, second = (mix([0.1], share_schedule="competence", share_end=0.0) for _ in range(2))
    for i in range(9):
        first.learn("reflect", [i % 2, 1.0])
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for one in (first, second):
        one.learn("reflect", [0.0])
    assert first.shares() == second.shares() != {"pointwise": 1.0, "reflect": 1.0}
