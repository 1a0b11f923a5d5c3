"""Which questions and items make a window, in which order."""

from __future__ import annotations

import json

import pytest
from synthetic_groups import buffer, item, recycle_config, schedule_config
from trl.trainer.utils import RepeatSampler

from spark_lab.errors import UserError
from spark_lab.recycling.buffer import RecycleBuffer
from spark_lab.training.schedule import Schedule
from spark_lab.training.stream import PromptStream

SHARES = {"reflect": 1.0}


def filled(count: int, **settings) -> RecycleBuffer:
    waiting = buffer("reflect", capacity=10_000, **settings)
    waiting.push((item("reflect", -1) for _ in range(count)), 0)
    return waiting


def schedule(kind: str, size: int, *, active=True, source="on_policy", **settings) -> Schedule:
    recycle = recycle_config(source=source, frozen_windows=2)
    return Schedule(schedule_config(kind, **settings), recycle, size, active=active)


def plans(plan: Schedule, waiting: RecycleBuffer, count: int, *, size=4, gain=0) -> list[str]:
    """What the windows hold: q question, i item, x a question of an extra window. `gain` items
    come in after each extra window."""
    streams, words = [PromptStream(range(100), size, seed) for seed in (0, 1)], []
    for window in range(count):
        one = plan.plan(*streams, waiting, SHARES)
        assert len(one.sources) == size
        question = "x" if one.extra else "q"
        words.append("".join(question if isinstance(s, int) else "i" for s in one.sources))
        waiting.push((item("reflect", window) for _ in range(one.extra * gain)), window + 1)
    return words


def test_the_stream_asks_in_the_order_of_trl_over_several_epochs():
    sampler = RepeatSampler(range(23), mini_repeat_count=1, batch_size=4, seed=7)
    expected = [index for _ in range(4) for index in sampler]
    stream = PromptStream(range(23), 4, seed=7)
    assert [index for _ in range(20) for index in stream.take(4)] == expected[:80]


@pytest.mark.parametrize("asked", [0, 3, 20, 47])
def test_a_restored_stream_goes_on_where_it_was(asked):
    stream = PromptStream(range(23), 4, seed=7)
    stream.take(asked)
    restored = PromptStream(range(23), 4, seed=7)
    restored.take(9)
    restored.load_state_dict(json.loads(json.dumps(stream.state_dict())))
    assert restored.take(60) == stream.take(60)


def test_joint_alternates_windows_and_fills_up_with_questions():
    joint = schedule("joint", 4)
    assert plans(joint, filled(6), 6) == ["qqqq", "iiii", "qqqq", "qiqi", "qqqq", "qqqq"]
    assert joint.windows_per_update == 2


def test_alternate_judges_only_with_a_whole_window_of_items():
    alternate = schedule("alternate", 4)
    assert plans(alternate, filled(6), 5) == ["qqqq", "iiii", "qqqq", "qqqq", "qqqq"]
    assert alternate.windows_per_update == 1


@pytest.mark.parametrize(("fraction", "items"), [(0.25, 2), (0.5, 4), (0.75, 6)])
def test_mixed_spreads_its_share_of_items_over_the_window(fraction, items):
    (plan,) = plans(schedule("mixed", 8, fraction=fraction), filled(100), 1, size=8)
    assert plan.count("i") == items
    assert abs(plan[:4].count("i") - plan[4:].count("i")) <= 1


@pytest.mark.parametrize("every", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", ["joint", "alternate", "mixed"])
def test_a_judge_window_comes_after_so_many_solve_windows(kind, every):
    words = plans(schedule(kind, 4, judge_every=every), filled(1000), 60)
    judged = [i for i, plan in enumerate(words) if "i" in plan]
    period = every if kind == "mixed" else every + 1
    assert judged == list(range(period - 1, 60, period))
    if kind == "joint":  # an update is two windows: one of them solves
        assert all("qqqq" in words[i : i + 2] for i in range(0, 60, 2))


@pytest.mark.parametrize("kind", ["joint", "alternate", "mixed"])
def test_a_judge_window_waits_until_enough_items_are_there(kind):
    plan, waiting = schedule(kind, 4, judge_items=3), filled(2)
    assert plans(plan, waiting, 5) == ["qqqq"] * 5
    waiting.push([item("reflect", 5)], 6)
    (words,) = plans(plan, waiting, 1)
    assert words.count("i") == (2 if kind == "mixed" else 3)


@pytest.mark.parametrize("kind", ["joint", "alternate", "mixed"])
def test_frozen_windows_come_before_everything_else(kind):
    frozen = filled(0, source="frozen")
    words = plans(schedule(kind, 4, source="frozen"), frozen, 40, gain=3)
    assert words[:2] == ["xxxx", "xxxx"]
    assert not any("x" in plan for plan in words[2:])
    assert sum("i" in plan for plan in words) >= 19 and len(frozen) == 6


def test_judging_alone_never_asks_a_question_again_even_with_few_items():
    plan = schedule("judge_only", 4, source="frozen")
    words = plans(plan, filled(0, source="frozen", take="shares"), 8, gain=1)
    assert words == ["xxxx", "xxxx", *["iiii"] * 6]
    with pytest.raises(UserError, match=r"recycle\.frozen_windows"):
        plans(schedule("judge_only", 4, source="frozen"), filled(0), 3)


def test_a_fresh_window_comes_before_each_judge_window_that_lacks_items():
    joint, alternate, mixed = (
        plans(schedule(kind, 4, source="fresh"), filled(0), 8, gain=4)
        for kind in ("joint", "alternate", "mixed")
    )
    assert joint == ["qqqq", "xxxx", "iiii", "qqqq", "xxxx", "iiii", "qqqq", "xxxx"]
    assert alternate == joint
    # Four items of an extra window last for two mixed windows.
    assert mixed == ["xxxx", "qiqi", "qiqi", "xxxx", "qiqi", "qiqi", "xxxx", "qiqi"]


def test_an_extra_window_that_gives_nothing_is_not_repeated_at_once():
    assert plans(schedule("joint", 4, source="fresh"), filled(0), 6) == [
        *("qqqq", "xxxx", "qqqq"),
        *("qqqq", "xxxx", "qqqq"),
    ]


def test_the_same_questions_are_trained_on_whatever_the_schedule():
    def solved(plan: Schedule, waiting: RecycleBuffer) -> list[int]:
        streams = [PromptStream(range(100), 4, seed) for seed in (0, 1)]
        made = [plan.plan(*streams, waiting, SHARES) for _ in range(40)]
        return [s for one in made if not one.extra for s in one.sources if isinstance(s, int)]

    expected = solved(schedule("joint", 4, active=False), filled(0))
    for kind in ("joint", "alternate", "mixed"):
        for source in ("on_policy", "frozen", "fresh"):
            for every in (1, 3):
                found = solved(schedule(kind, 4, source=source, judge_every=every), filled(30))
                assert found == expected[: len(found)]
    assert schedule("joint", 4, active=False).windows_per_update == 1


@pytest.mark.parametrize("source", ["on_policy", "frozen", "fresh"])
@pytest.mark.parametrize("kind", ["joint", "alternate", "mixed"])
def test_a_restored_schedule_knows_whose_turn_it_is(kind, source):
    for done in range(6):
        plan, restored = (schedule(kind, 4, source=source, judge_every=2) for _ in range(2))
        plans(plan, filled(5), done)
        restored.load_state_dict(json.loads(json.dumps(plan.state_dict())))
        assert plans(restored, filled(5), 9) == plans(plan, filled(5), 9)
