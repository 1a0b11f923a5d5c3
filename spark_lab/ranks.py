"""One run over several processes, as torchrun or `accelerate launch` starts them.

Rank 0 alone opens the run folder and writes; the others follow what it decided.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TypeVar

from spark_lab.errors import Problem, UserError

T = TypeVar("T")
_BAD_INPUT = 2


def count() -> int:
    """Processes that share this run. Read from the launcher's environment, before torch is there."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


def check(rows: int, updates: int, micro_batch: int | None) -> list[Problem]:
    """What keeps windows of `rows` rows, cut into `updates` updates, from being shared evenly."""
    share, ranks = updates * (micro_batch or 1), count()
    if rows % (ranks * share) == 0:
        return []
    return [
        Problem(
            "trainer.prompts_per_window",
            f"windows of {rows} rows in {updates} updates for {ranks} processes",
            "prompts_per_window x group_size that is a multiple of processes x updates_per_window "
            "x micro_batch_size",
            "another trainer.prompts_per_window, or another number of processes",
        )
    ]


def check_sharding(*, slow_judge: bool) -> list[Problem]:
    """What can't go with weights that accelerate's configuration cuts into parts."""
    by_deepspeed = _is_on("ACCELERATE_USE_DEEPSPEED")
    problems = []
    if by_deepspeed and find_spec("deepspeed") is None:
        fix = "pip install 'spark-lab[deepspeed]', or the file of `spark-lab accelerate fsdp2`"
        got = "a configuration for DeepSpeed, which is not installed"
        problems.append(Problem("accelerate launch", got, "an installed DeepSpeed", fix))
    if slow_judge and (by_deepspeed or _is_on("ACCELERATE_USE_FSDP")):
        where = "reward.self_judge.judge"
        got = "older weights as the judge, while every process has a part of the weights"
        fix = f"{where}=current, or `spark-lab accelerate ddp`"
        problems.append(Problem(where, got, "a judge of the current weights", fix))
    return problems


def _is_on(name: str) -> bool:
    """Of what accelerate sets in the environment."""
    return os.environ.get(name, "false").lower() == "true"


@contextmanager
def together() -> Iterator[None]:
    """Connect the processes, and let go of each other only when all that they shared is freed.

    gloo's threads take Python's lock to free what they sent: a process group that outlived the
    interpreter, as one that a trainer holds, would abort the process there.
    """
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available())
    try:
        yield
    finally:
        gc.collect()
        state.destroy_process_group()


def of_main(value: float) -> float:
    """Rank 0's value on every rank: each has a clock of its own, but they must stop together."""
    if count() == 1:
        return value
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


def decided_by_main(decide: Callable[[], T]) -> T:
    """What rank 0 says, on every rank. Its UserError ends the others quietly, as it is printed once."""
    from accelerate.utils import broadcast_object_list

    answer: list[T | None] = [None]
    refused: UserError | None = None
    if is_main():
        try:
            answer = [decide()]
        except UserError as error:
            refused = error
    answer = broadcast_object_list([*answer, refused is not None])
    if refused is not None:
        raise refused
    if answer[1]:
        sys.exit(_BAD_INPUT)
    return answer[0]
