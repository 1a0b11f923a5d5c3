"""The buffer: what waits, what leaves, in which order."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest
from synthetic_groups import ALL, EVEN, buffer, item

from spark_lab.recycling.buffer import RecycleBuffer


def windows(taken) -> list[int]:
    return [item.window for item in taken]


def test_fifo_takes_the_oldest_whatever_its_objective():
    waiting = buffer(take="fifo")
    order = ["reflect", "pointwise", "reflect", "pairwise"]
    waiting.push((item(name, i) for i, name in enumerate(order)), 4)
    assert [i.objective for i in waiting.take(4, EVEN)] == order


def test_shares_hold_to_within_one_and_shortage_goes_to_the_others():
    waiting = buffer(capacity=1000, take="shares")
    waiting.push((item(name, 0) for name in ALL for _ in range(200)), 1)
    taken = Counter()
    for _ in range(20):
        taken.update(i.objective for i in waiting.take(7, EVEN | {"pointwise": 2.0}))
        assert abs(taken["pointwise"] - 2 * taken["pairwise"]) <= 3
    waiting = buffer(capacity=1000, take="shares")
    waiting.push((item("reflect", 0) for _ in range(9)), 1)
    assert Counter(i.objective for i in waiting.take(8, EVEN)) == {"reflect": 8}
    assert len(waiting.take(8, EVEN)) == 1 and not waiting.take(8, EVEN)


def test_an_objective_with_share_zero_is_never_taken():
    waiting, shares = buffer(take="shares"), {"pointwise": 0.0, "pairwise": 0.0, "reflect": 1.0}
    waiting.push((item("pointwise", 0) for _ in range(4)), 1)
    assert waiting.ready(shares) == 0 and waiting.take(2, shares) == []
    waiting.push([item("reflect", 1)], 2)
    assert waiting.ready(shares) == 1
    assert [i.objective for i in waiting.take(2, shares)] == ["reflect"]


def test_the_oldest_items_fall_out_at_capacity():
    waiting = buffer(capacity=3)
    assert waiting.push((item("reflect", i) for i in range(5)), 5) == {"capacity": 2}
    assert windows(waiting.take(5, EVEN)) == [2, 3, 4]


@pytest.mark.parametrize(
    ("order", "expected"),
    [("oldest", [3, 4, 5, 6]), ("newest", [6, 5, 4, 3]), ("hardest", [4, 6, 3, 5])],
)
def test_the_order_says_which_items_go_first_and_never_which_fall_out(order, expected):
    waiting = buffer("reflect", order=order, take="shares", capacity=4)
    accuracies = [0.0, 0.0, 0.0, 0.5, 0.25, 0.5, 0.25]
    waiting.push((item("reflect", i, accuracy) for i, accuracy in enumerate(accuracies)), 7)
    assert windows(waiting.take(9, EVEN)) == expected


def test_items_past_the_age_limit_are_dropped_and_counted():
    waiting = buffer(max_age=3)
    for window in range(6):
        dropped = waiting.push([item("reflect", window)], window + 1)
        assert dropped["age"] == (window >= 3)
    # Before window 6, the items of windows 3 to 5 are at most 3 windows old.
    assert windows(waiting.take(9, EVEN)) == [3, 4, 5]


def test_lagged_items_wait_until_they_are_old_enough_whatever_the_capacity():
    waiting, ages = buffer(source="lagged", lag_windows=5, capacity=2), []
    for window in range(12):
        waiting.push([item("reflect", window)], window + 1)
        ages += [window + 1 - i.window for i in waiting.take(1, EVEN)]
    assert ages == [5] * 8
    assert waiting.young == 4 and len(waiting) == 0


def test_frozen_items_are_used_in_turn_for_ever():
    waiting = buffer("reflect", source="frozen", take="shares")
    waiting.push((item("reflect", i) for i in range(5)), 5)
    assert windows(waiting.take(8, EVEN)) == [0, 1, 2, 3, 4, 0, 1, 2]
    assert windows(waiting.take(2, EVEN)) == [3, 4]
    rounds = [window for _ in range(5) for window in windows(waiting.take(2, EVEN))]
    assert rounds == 2 * [0, 1, 2, 3, 4]


@pytest.mark.parametrize("order", ["oldest", "newest", "hardest"])
def test_a_restored_buffer_takes_the_same_items(order):
    rng, shares = random.Random(0), {"pointwise": 3.0, "pairwise": 1.0, "reflect": 2.0}
    settings = dict(source="lagged", take="shares", capacity=20, order=order, max_age=55)
    waiting, restored = buffer(**settings), buffer(**settings)
    waiting.push((item(rng.choice(ALL), i, rng.randrange(5) / 4) for i in range(60)), 60)
    waiting.take(11, shares)
    restored.load_state_dict(json.loads(json.dumps(waiting.state_dict())))
    for now in (61, 62):
        assert restored.push([], now) == waiting.push([], now)
        assert restored.take(12, shares) == waiting.take(12, shares) != []


def held(waiting: RecycleBuffer) -> int:
    return len(waiting) + waiting.young


@pytest.mark.parametrize("settings", [{}, {"order": "hardest", "take": "shares"}, {"max_age": 9}])
def test_nothing_is_lost_uncounted(settings):
    rng, waiting, pushed, gone = random.Random(1), buffer(capacity=7, **settings), 0, 0
    for window in range(200):
        new = [item(rng.choice(ALL), window, rng.random()) for _ in range(rng.randrange(5))]
        pushed += len(new)
        gone += sum(waiting.push(new, window + 1).values())
        gone += len(waiting.take(rng.randrange(5), EVEN))
        assert held(waiting) == pushed - gone
