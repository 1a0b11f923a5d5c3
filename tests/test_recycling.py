"""The recycling rule, on synthetic groups with the real terse templates."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from synthetic_groups import group, mixed_groups, recycle_config, recycler, synthetic_window


@pytest.mark.parametrize(
    ("accuracy", "right", "wrong", "pairs", "reflections"),
    [
        (0.30, 4.5, 11.8, 15.7, 32.0),
        (0.50, 7.0, 7.2, 17.9, 32.0),
        (0.70, 12.6, 4.1, 15.4, 32.0),
        (0.85, 18.9, 2.5, 10.6, 29.1),
        (0.95, 26.7, 0.9, 4.4, 11.9),
    ],
)
def test_the_item_mix_is_that_of_the_authors_code(accuracy, right, wrong, pairs, reflections):
    rng, windows, mix = np.random.default_rng(0), 400, Counter()
    rule = recycler()
    for window in range(windows):
        for item in rule.recycle(synthetic_window(accuracy, rng), window).items:
            mix[item.objective, item.source_correct] += 1
    mean = {key: count / windows for key, count in mix.items()}
    assert mean["pointwise", True] == pytest.approx(right, abs=0.7)
    assert mean["pointwise", False] == pytest.approx(wrong, abs=0.7)
    assert mean["pairwise", None] == pytest.approx(pairs, abs=0.7)
    assert mean["reflect", False] == pytest.approx(reflections, abs=0.9)


def test_labels_follow_from_the_verifier_and_sides_are_even():
    rule, rng = recycler(), np.random.default_rng(1)
    items = [item for w in range(100) for item in rule.recycle(synthetic_window(0.5, rng), w).items]
    for item in items:
        if item.objective == "pointwise":
            right = item.label in ("Yes", "A")
            assert right == item.source_correct
            assert (": right" in item.prompt) == right
        if item.objective == "reflect":
            assert item.label == "right" and not item.source_correct
    sides = Counter(item.label for item in items if item.objective == "pairwise")
    assert abs(sides["A"] - sides["B"]) < 3 * sum(sides.values()) ** 0.5


def test_groups_all_right_or_all_wrong_follow_their_settings():
    all_right, all_wrong = group(0, [True] * 8), group(1, [False] * 8)
    made = recycler("pointwise").recycle([all_right, all_wrong], 0).items
    assert sorted(item.source_correct for item in made) == [False, True]
    skipping = recycle_config(all_right="skip", all_wrong="skip")
    assert not recycler("pointwise", recycle=skipping).recycle([all_right, all_wrong], 0).items


def test_the_coin_between_pointwise_and_pairwise_is_only_tossed_when_both_are_on():
    mixed = mixed_groups(20)
    assert {i.objective for i in recycler("pointwise").recycle(mixed, 0).items} == {"pointwise"}
    assert {i.objective for i in recycler("pairwise").recycle(mixed, 0).items} == {"pairwise"}


@pytest.mark.parametrize("accuracy", [0.2, 0.5, 0.9])
def test_label_balance_keeps_right_and_wrong_within_one(accuracy):
    rng, surplus, made = np.random.default_rng(2), 0, 0
    rule = recycler("pointwise", recycle=recycle_config(label_balance="half"))
    for window in range(50):
        for item in rule.recycle(synthetic_window(accuracy, rng, size=16), window).items:
            surplus += 1 if item.source_correct else -1
            made += 1
            assert abs(surplus) <= 1
    assert made > 100


def test_caps_hold_and_every_group_can_be_chosen():
    rule = recycler(recycle=recycle_config(judge_cap=3, reflect_cap=2))
    seen = set()
    for window in range(60):
        items = rule.recycle(mixed_groups(10), window).items
        counts = Counter("reflect" if i.objective == "reflect" else "judge" for i in items)
        assert counts == {"judge": 3, "reflect": 2}
        seen |= {item.question for item in items}
    assert seen == set(range(10))


def test_material_both_shows_the_working_in_the_first_half_of_the_window():
    items = recycler(material="both").recycle([group(i, [True, False]) for i in range(8)], 0).items
    assert len(items) == 16
    for item in items:
        assert item.material == ("working" if item.question < 4 else "answer")
        assert ("working" in item.prompt) == (item.question < 4)


def test_unparsed_answers_are_counted_and_never_shown():
    unparsed = [group(0, [False] * 8, parsed=False)]
    harvest = recycler().recycle(unparsed, 0)
    assert not harvest.items and harvest.dropped == {"unparsed": 2}
    assert recycler(material="working").recycle(unparsed, 0).items


def test_prompts_that_do_not_fit_are_counted_and_dropped():
    harvest = recycler(fits=lambda prompt: False).recycle([group(0, [True, False])], 0)
    assert not harvest.items and harvest.dropped == {"too_long": 2}


def test_right_solutions_are_reflected_on_only_to_keep_them():
    rule = recycler("reflect", keep_share=0.5, forms=("verify_first",))
    mixed = mixed_groups(400)
    items = recycler("reflect", keep_share=0.5).recycle(mixed, 0).items
    assert all(i.form == "verify_first" for i in items if i.source_correct)
    free = recycle_config(reflect_cap=400)
    kept = recycler("reflect", keep_share=0.5, recycle=free).recycle(mixed, 0).items
    assert 150 < sum(item.source_correct for item in kept) < 250
    assert all(i.form == "verify_first" for i in rule.recycle(mixed, 0).items)


def test_a_restored_recycler_goes_on_with_the_same_items():
    rng = np.random.default_rng(3)
    windows = [synthetic_window(0.6, rng, size=16) for _ in range(6)]
    balanced = recycle_config(label_balance="half")
    whole, first = recycler(recycle=balanced), recycler(recycle=balanced)
    expected = [whole.recycle(w, i).items for i, w in enumerate(windows)]
    for i in range(3):
        first.recycle(windows[i], i)
    second = recycler(seed=99, recycle=balanced)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert [second.recycle(windows[i], i).items for i in range(3, 6)] == expected[3:]
