"""What grows with the buffer, the group and the data set: SPARK's own time, without any model call.

A cycle is a question and a judge window: plan them, recycle their graded completions, take the
metrics. The completions are made up; all else is what a run does.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from functools import partial

from spark_lab.training.loop import Sample, SparkLoop
from speed.measure import Row, now, timed
from speed.pair import configure, spark

ROUNDS, WARM_UP, CYCLES = 9, 2, 10
ITEMS = (100, 1_000, 10_000, 100_000)
GROUPS = (1, 2, 4, 8, 16)
ORDERS = ("newest", "hardest")
QUESTIONS = (100, 1_000, 10_000, 100_000)
# Six terms make half a million different questions.
MANY = ["task.chain_sums.max_terms=6", "task.chain_sums.eval_size=4"]


def rows(rounds: int | None = None, **_) -> list[Row]:
    rounds = rounds or ROUNDS
    return [*_buffer(rounds), *_groups(rounds), *_questions(rounds)]


def _buffer(rounds: int) -> Iterator[Row]:
    """A buffer that is full, so that every new item drives out an old one."""
    for items, order in (
        *((count, "oldest") for count in ITEMS),
        *((ITEMS[-1], o) for o in ORDERS),
    ):
        capacity = items // 3
        loop = spark(configure(f"recycle.capacity={capacity}", f"recycle.order={order}")).loop
        _fill(loop, capacity)
        name = f"{items:,} buffered items, {order} first"
        yield _row(name, loop, rounds)
        seconds = tuple(_saving(loop) for _ in range(rounds))
        yield Row("growth", f"{name}: a checkpoint's state", "s", (), seconds)


def _groups(rounds: int) -> Iterator[Row]:
    for size in GROUPS:
        loop = spark(configure(f"trainer.group_size={max(size, 2)}")).loop
        # GRPO compares at least two samples; the loop itself takes one.
        loop._group_size = size
        yield _row(f"{size} samples a group", loop, rounds)


def _questions(rounds: int) -> Iterator[Row]:
    for count in QUESTIONS:
        config = configure(*MANY, f"task.chain_sums.train_size={count}")
        began = now()
        loop = spark(config).loop
        built = now() - began
        yield _row(f"{count:,} questions", loop, rounds)
        yield Row("growth", f"{count:,} questions: build a run", "s", (), (built,))


def _fill(loop: SparkLoop, capacity: int) -> None:
    """Copies of the items of some windows until each objective has `capacity` of them."""
    rng = random.Random(0)
    for _ in range(3):
        _cycle(loop, rng)
    state = loop.state_dict()
    buffer = state["buffer"]
    for name, queue in buffer["queues"].items():
        items = itertools.cycle([item for _, item in queue])
        numbers = range(buffer["serial"], buffer["serial"] + capacity)
        buffer["queues"][name] = [[number, next(items)] for number in numbers]
        buffer["serial"] += capacity
    loop.load_state_dict(state)


def _saving(loop: SparkLoop) -> float:
    return timed(lambda: json.dumps(loop.state_dict()))


def _row(name: str, loop: SparkLoop, rounds: int) -> Row:
    """Seconds of one cycle, each the mean of CYCLES."""
    rng, seconds = random.Random(0), []
    for index in range(rounds + WARM_UP):
        spent = sum(_cycle(loop, rng) for _ in range(CYCLES)) / CYCLES
        seconds += [spent] if index >= WARM_UP else []
    return Row("growth", name, "s", (), tuple(seconds))


def _cycle(loop: SparkLoop, rng: random.Random) -> float:
    spent = 0.0
    for _ in range(2):
        began = now()
        prompts = loop.plan()
        spent += now() - began
        samples = [
            _sample(loop, group, rng)
            for group in range(len(prompts))
            for _ in range(loop._group_size)
        ]
        spent += timed(partial(loop.absorb, samples))
    return spent + timed(loop.drain)


def _sample(loop: SparkLoop, group: int, rng: random.Random) -> Sample:
    """A completion that is right half the time."""
    label = loop._label(loop._plan.sources[group])
    answer = label if rng.random() < 0.5 else rng.choice(("0", "No", "A"))
    text = f"7+1=8; 8+5=13 \\boxed{{{answer}}}"
    return Sample(text, loop.grade(group, text), 20, 25, False)
