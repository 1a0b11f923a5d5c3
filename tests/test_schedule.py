"""Which questions and items make a window, in which order."""

from __future__ import annotations

import json

import pytest
from trl.trainer.utils import RepeatSampler

from spark_lab.records import Item
from spark_lab.recycling.buffer import RecycleBuffer
from spark_lab.schema import ScheduleConfig
from spark_lab.training.schedule import Schedule
from spark_lab.training.stream import PromptStream


def filled(count: int) -> RecycleBuffer:
    buffer = RecycleBuffer(10_000, {"reflect": 1.0}, fifo=True)
    buffer.push(Item("reflect", "f", "answer", "p", "l", 0, i, None) for i in range(count))
    return buffer


def kinds(plan) -> str:
    return "".join("q" if isinstance(source, int) else "i" for source in plan)


def test_the_stream_asks_in_the_order_of_trl_over_several_epochs():
    sampler = RepeatSampler(range(23), mini_repeat_count=1, batch_size=4, seed=7)
    expected = [index for _ in range(4) for index in sampler]
    stream = PromptStream(23, 4, seed=7)
    assert [index for _ in range(20) for index in stream.take(4)] == expected[:80]


@pytest.mark.parametrize("asked", [0, 3, 20, 47])
def test_a_restored_stream_goes_on_where_it_was(asked):
    stream = PromptStream(23, 4, seed=7)
    stream.take(asked)
    restored = PromptStream(23, 4, seed=7)
    restored.take(9)
    restored.load_state_dict(json.loads(json.dumps(stream.state_dict())))
    assert restored.take(60) == stream.take(60)


def test_joint_alternates_windows_and_fills_up_with_questions():
    schedule = Schedule(ScheduleConfig("joint", 0.5), 4, active=True)
    stream, buffer = PromptStream(100, 4, 0), filled(6)
    plans = [kinds(schedule.plan(stream, buffer)) for _ in range(6)]
    assert plans == ["qqqq", "iiii", "qqqq", "qiqi", "qqqq", "qqqq"]
    assert schedule.windows_per_update == 2


def test_alternate_judges_only_with_a_whole_window_of_items():
    schedule = Schedule(ScheduleConfig("alternate", 0.5), 4, active=True)
    stream, buffer = PromptStream(100, 4, 0), filled(6)
    plans = [kinds(schedule.plan(stream, buffer)) for _ in range(5)]
    assert plans == ["qqqq", "iiii", "qqqq", "qqqq", "qqqq"]
    assert schedule.windows_per_update == 1


@pytest.mark.parametrize(("fraction", "items"), [(0.25, 2), (0.5, 4), (0.75, 6)])
def test_mixed_spreads_its_share_of_items_over_the_window(fraction, items):
    schedule = Schedule(ScheduleConfig("mixed", fraction), 8, active=True)
    plan = kinds(schedule.plan(PromptStream(100, 8, 0), filled(100)))
    assert plan.count("i") == items
    assert abs(plan[:4].count("i") - plan[4:].count("i")) <= 1


def test_without_objectives_every_window_solves_the_same_questions():
    plain = Schedule(ScheduleConfig("joint", 0.5), 4, active=False)
    spark = Schedule(ScheduleConfig("joint", 0.5), 4, active=True)
    plain_stream, spark_stream = PromptStream(100, 4, 0), PromptStream(100, 4, 0)
    empty, full = filled(0), filled(100)
    asked = [plain.plan(plain_stream, empty) for _ in range(6)]
    between = [spark.plan(spark_stream, full) for _ in range(12)][::2]
    assert asked == between
    assert plain.windows_per_update == 1


def test_a_restored_schedule_knows_whose_turn_it_is():
    schedule = Schedule(ScheduleConfig("joint", 0.5), 4, active=True)
    stream, buffer = PromptStream(100, 4, 0), filled(100)
    schedule.plan(stream, buffer)
    restored = Schedule(ScheduleConfig("joint", 0.5), 4, active=True)
    restored.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    assert kinds(restored.plan(stream, buffer)) == "iiii"
