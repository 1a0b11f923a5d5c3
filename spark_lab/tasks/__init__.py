"""Questions with verifiable answers. A task is one small file and one line in the table below."""

from __future__ import annotations

from collections.abc import Callable

from spark_lab.errors import Problem, UserError
from spark_lab.schema import TaskConfig
from spark_lab.tasks import chain_sums, data, reasoning_gym, visual_sums
from spark_lab.tasks.task import Task

__all__ = ["TASKS", "Task", "build_task", "check_task", "pictured", "train_size"]

# The slot's name in the configuration, how to load it, and how to check it before anything else.
# Both are given the slot's section and task.verifier.
TASKS: dict[str, tuple[Callable[..., Task], Callable[..., list[Problem]]]] = {
    "chain_sums": (chain_sums.load, chain_sums.check),
    "visual_sums": (visual_sums.load, visual_sums.check),
    "data": (data.load, data.check),
    "reasoning_gym": (reasoning_gym.load, reasoning_gym.check),
}


def build_task(config: TaskConfig) -> Task:
    """The task of the one slot that is set. Raises UserError for bad settings or bad data."""
    slots = _slots(config)
    if len(slots) != 1:
        raise UserError(*check_task(config))
    load, _ = TASKS[slots[0]]
    return load(getattr(config, slots[0]), config.verifier)


def check_task(config: TaskConfig) -> list[Problem]:
    """What is wrong with the task's settings and files; imports nothing heavy."""
    slots = _slots(config)
    if len(slots) != 1:
        got = ", ".join(slots) or "none"
        return [Problem("task", got, "exactly one of " + ", ".join(TASKS), "task=chain_sums")]
    scored = "reasoning_gym"  # its questions and its scorers go with one another only
    if (config.verifier == scored) != (slots[0] == scored):
        own = scored if slots[0] == scored else "any but reasoning_gym"
        fix = f"leave task.verifier as task={slots[0]} has it"
        return [Problem("task.verifier", config.verifier, f"{own} for {slots[0]}", fix)]
    _, check = TASKS[slots[0]]
    return check(getattr(config, slots[0]), config.verifier)


def train_size(config: TaskConfig) -> int:
    """How many training questions a task that `check_task` passes has; of reasoning-gym, which makes
    them when they are asked, at most."""
    if config.data is not None:
        return len(build_task(config).train)
    return getattr(config, _slots(config)[0]).train_size


def pictured(config: TaskConfig) -> int:
    """How many questions of a task that `check_task` passes have images."""
    if config.visual_sums is not None:
        return config.visual_sums.train_size + config.visual_sums.eval_size
    if config.data is None or config.data.images_field is None:
        return 0
    task = build_task(config)
    return sum(bool(question.images) for question in (*task.train, *task.eval))


def _slots(config: TaskConfig) -> list[str]:
    return [name for name in TASKS if getattr(config, name) is not None]
