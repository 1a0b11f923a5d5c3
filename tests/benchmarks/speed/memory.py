"""Peak memory of whole steps (windows, gradients, updates), each trainer in a process of its own.

What is counted: weights, gradients, Adam's state and activations. What the imports take is not, but
for the column of whole processes.
`python -m speed.memory WHO CASE SCALE ROUNDS` is such a process: it prints MiB as JSON.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers import Trainer

from spark_lab.schema import Config
from speed.measure import ON_GPU, Peak, Row
from speed.pair import (
    SHAPES,
    clock_rows,
    configure,
    judge_overrides,
    judging,
    listening,
    plain,
    rows_of,
    spark,
    update,
    window,
)
from speed.scales import SCALES, Scale
from speed.step import CYCLES

ROUNDS = 3
SOLVE = {
    f"solve window, {way}": (["objective=none", f"trainer.shared_prompts={way}"], 1, 1)
    for way in ("auto", "off")
}
# Overrides, windows and updates of a step of the tiny world.
TINY = SOLVE | {f"{name} step": cycle for name, cycle in CYCLES.items()}
NAMES = [f"P/C {prompt}/{completion}" for prompt, completion in SHAPES]
# The shape of a judge window and its overrides; recomputed: with activation checkpointing.
JUDGE = {name: (shape, []) for shape, name in enumerate(NAMES)} | {
    f"{NAMES[shape]}, recomputed": (shape, ["trainer.activation_checkpointing=true"])
    for shape in (1, 2)
}


def rows(scale: Scale, rounds: int | None = None, **_) -> list[Row]:
    found = []
    for case in (*TINY, *JUDGE):
        both = [_in_a_process(who, case, scale, rounds or ROUNDS) for who in ("trl", "spark")]
        whole = [base + statistics.median(peaks) for base, peaks in both]
        notes = {} if ON_GPU else {"whole processes": f"{whole[0]:,.0f} : {whole[1]:,.0f}"}
        trl, spark = (tuple(peaks) for _, peaks in both)
        found.append(Row("memory", case, "MiB", trl, spark, notes=notes))
    return found


def _in_a_process(who: str, case: str, scale: Scale, rounds: int) -> tuple[float, list[float]]:
    command = [sys.executable, "-W", "ignore", "-m", "speed.memory"]
    command += [who, case, scale.name, str(rounds)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def peaks(who: str, case: str, scale: Scale, rounds: int) -> tuple[float, list[float]]:
    """MiB of the imports, and above them at the highest point of each step after the first one."""
    peak, found = Peak(), []
    with TemporaryDirectory() as folder:
        config, windows, updates = _setting(case, scale, Path(folder))
        trainer = spark(config)
        if case in JUDGE:
            judging(trainer, scale, JUDGE[case][0])
        inputs = [clock_rows(trainer)] * windows * (1 + rounds)
        if who == "trl":
            trainer, inputs = _trl(trainer, config, inputs)
        for index in range(1 + rounds):
            peak.restart()
            for seed in range(index * windows, (index + 1) * windows):
                window(trainer, inputs[seed], seed)
                if windows * (index + 1) - seed <= updates:
                    update(trainer)
            found.append(peak.read())
    return peak.base, found[1:]


def _setting(case: str, scale: Scale, folder: Path) -> tuple[Config, int, int]:
    if case in JUDGE:
        shape, overrides = JUDGE[case]
        path = scale.save(folder)
        return configure(*judge_overrides(scale, path, shape, *overrides)), 1, 1
    overrides, windows, updates = TINY[case]
    return configure(*overrides), windows, updates


def _trl(ours: Trainer, config: Config, ticks: list[list[dict]]) -> tuple[Trainer, list]:
    """TRL's trainer alone, and its input: the prompts that SPARK's windows had."""
    theirs = plain(ours, config)
    with listening(ours.loop) as heard:
        for seed, tick in enumerate(ticks):
            window(ours, tick, seed)
    # Its callbacks hold the model, too: what can be given back is the weights' memory.
    for weight in ours.model.parameters():
        weight.data, weight.grad = weight.new_empty(0), None
    size, system = config.trainer.group_size, config.model.system_prompt
    return theirs, [rows_of(prompts, system, size) for prompts in heard]


if __name__ == "__main__":
    _, who, case, scale, rounds = sys.argv
    print(json.dumps(peaks(who, case, SCALES[scale], int(rounds))))
