"""Each axis of recycling changes what it says: labels, filters, order, pairs, chains, templates."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict

import numpy as np
import pytest
from synthetic_groups import (
    group,
    mixed_groups,
    recycle_config,
    recycler,
    rollout,
    synthetic_window,
)

from spark_lab.records import Group, Question
from spark_lab.recycling.pairs import choose_wrong

RIGHT, WRONG = [True] * 8, [False] * 8


def labels(kind: str, accuracy: float, windows=60, size=16, seed=0) -> tuple[list[bool], float]:
    """The labels of all pointwise items, and the share of right rollouts that they came from."""
    rng, made, seen = np.random.default_rng(seed), [], []
    rule = recycler("pointwise", recycle=recycle_config(label_balance=kind))
    for window in range(windows):
        groups = synthetic_window(accuracy, rng, size)
        seen += [one.accuracy for one in groups]
        made += [item.source_correct for item in rule.recycle(groups, window).items]
    return made, float(np.mean(seen))


@pytest.mark.parametrize("accuracy", [0.2, 0.5, 0.9])
def test_prior_gives_labels_in_proportion_to_the_rollouts(accuracy):
    made, prior = labels("prior", accuracy)
    assert len(made) > 200
    band = 3 * (prior * (1 - prior) / len(made)) ** 0.5
    assert np.mean(made) == pytest.approx(prior, abs=band)
    # Without it the rule is far off: even in mixed groups, all or nothing in the others.
    if accuracy == 0.9:
        assert abs(np.mean(labels("none", accuracy)[0]) - prior) > band


def test_prior_goes_on_when_a_window_has_one_label_only():
    rule = recycler("pointwise", recycle=recycle_config(label_balance="prior"))
    for window, outcome in enumerate([RIGHT, WRONG, [True, False] * 4, WRONG, RIGHT]):
        items = rule.recycle([group(i, outcome) for i in range(6)], window).items
        assert len(items) == 6, window


def test_what_balance_leaves_out_is_counted():
    rule = recycler("pointwise", recycle=recycle_config(label_balance="half"))
    harvest = rule.recycle([group(i, RIGHT) for i in range(5)], 0)
    assert len(harvest.items) == 1 and harvest.dropped == {"balance": 4}


@pytest.mark.parametrize("name", ["all_right", "all_wrong"])
def test_dropped_groups_give_neither_judgements_nor_reflections(name):
    outcome = RIGHT if name == "all_right" else WRONG
    groups = [group(i, outcome) for i in range(5)] + mixed_groups(5)
    made = {}
    for kind in ("pointwise", "skip", "drop"):
        rule = recycler(
            "pointwise", "reflect", keep_share=1.0, recycle=recycle_config(**{name: kind})
        )
        harvest = rule.recycle(groups, 0)
        made[kind] = Counter(item.objective for item in harvest.items)
        assert harvest.dropped["filter"] == (0 if kind == "pointwise" else 5)
    assert made == {
        "pointwise": {"pointwise": 10, "reflect": 10},
        "skip": {"pointwise": 5, "reflect": 10},
        "drop": {"pointwise": 5, "reflect": 5},
    }


def test_hardest_visits_the_groups_with_the_fewest_right_rollouts():
    groups = [group(i, [j < i for j in range(8)]) for i in range(9)]
    random.Random(0).shuffle(groups)
    hardest = recycle_config(order="hardest", take="shares", judge_cap=3, reflect_cap=2)
    items = recycler(recycle=hardest).recycle(groups, 0).items
    judged = {item.question for item in items if item.objective != "reflect"}
    assert judged == {0, 1, 2}
    assert {item.question for item in items if item.objective == "reflect"} == {0, 1}
    assert all(item.accuracy == item.question / 8 for item in items)


WRONGS = [rollout("long " * i, f"{answer}", False) for i, answer in enumerate([7, 8, 8, 9, 8])]
TRUE = rollout("long long long", "6", True)


def chosen(kind: str, material="working") -> Counter:
    rng = random.Random(0)
    return Counter(
        WRONGS.index(choose_wrong(kind, WRONGS, TRUE, material, rng)) for _ in range(300)
    )


def test_the_wrong_solution_of_a_pair_is_any_the_commonest_or_the_closest():
    assert set(chosen("any")) == {0, 1, 2, 3, 4}
    assert set(chosen("most_frequent")) == {1, 2, 4}  # answer 8, three times
    assert set(chosen("closest_length")) == {3}  # three words, as the right one has
    # Of the answers alone, all have one digit.
    assert set(chosen("closest_length", "answer")) == {0, 1, 2, 3, 4}
    assert all(count > 30 for count in chosen("most_frequent").values())


def test_pairs_show_the_chosen_wrong_solution():
    shown = defaultdict(set)
    for kind in ("any", "most_frequent", "closest_length"):
        rule = recycler("pairwise", wrong=kind, material="working")
        for window in range(60):
            asked = Group(Question(0, "1+5", "6"), (TRUE, *WRONGS[1:]))
            (item,) = rule.recycle([asked], window).items
            shown[kind].add(item.prompt.count("long"))
    assert shown["any"] == {3 + 1, 3 + 2, 3 + 3, 3 + 4}
    assert shown["most_frequent"] == {3 + 1, 3 + 2, 3 + 4}
    assert shown["closest_length"] == {3 + 3}


def test_reflections_are_recycled_into_reflections_only_and_say_so():
    rule = recycler(chain=True, recycle=recycle_config(reflect_cap=6))
    first = rule.recycle(mixed_groups(10), 0).items
    again = rule.recycle(mixed_groups(10), 1, chained=True).items
    assert {item.objective for item in again} == {"reflect"} and len(again) == 6
    assert all(item.chained for item in again) and not any(item.chained for item in first)
    assert rule.chains and not recycler(chain=False).chains and not recycler("pointwise").chains


def test_only_the_source_says_which_windows_are_recycled():
    for source, extra in (
        ("on_policy", False),
        ("lagged", False),
        ("frozen", True),
        ("fresh", True),
    ):
        rule = recycler(recycle=recycle_config(source=source))
        assert rule.takes(extra=extra) and not rule.takes(extra=not extra)


@pytest.mark.parametrize("count", [1, 2])
def test_the_number_of_templates_is_the_first_so_many(count):
    rule = recycler(templates="varied", template_count=count, recycle=recycle_config(judge_cap=999))
    every = recycler(templates="varied", recycle=recycle_config(judge_cap=999))
    groups = mixed_groups(400)

    def shapes(one) -> dict[str, set[str]]:
        found = defaultdict(set)
        for item in one.recycle(groups, 0).items:
            # The question and the answers are taken out: what is left is the template.
            words = [
                w for w in item.prompt.split() if "+" not in w and w[:5] not in ("wrong", "right")
            ]
            found[item.form].add(" ".join(words))
        return found

    few, all_of_them = shapes(rule), shapes(every)
    assert {form: len(texts) for form, texts in few.items()} == dict.fromkeys(few, count)
    assert {form: len(texts) for form, texts in all_of_them.items()} == dict.fromkeys(few, 4)
    assert all(few[form] < all_of_them[form] for form in few)


def test_a_restored_recycler_goes_on_under_every_balance():
    rng = np.random.default_rng(3)
    windows = [synthetic_window(0.6, rng, size=16) for _ in range(4)]
    for kind in ("none", "half", "prior"):
        config = recycle_config(label_balance=kind, order="hardest", take="shares")
        whole, first = (recycler(recycle=config, chain=True) for _ in range(2))
        expected = [whole.recycle(w, i).items for i, w in enumerate(windows)]
        for i in range(2):
            first.recycle(windows[i], i)
        second = recycler(seed=99, recycle=config, chain=True)
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        assert [second.recycle(windows[i], i).items for i in (2, 3)] == expected[2:]
