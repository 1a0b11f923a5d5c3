"""The command line as a user waits for it, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import NamedTuple

from speed.measure import Row

ROUNDS = 5
_PEAK = "peak of a process in KiB: "
# The command itself, which says at its end how large it or a child of it has been.
_WATCHED = f"""
import atexit, resource, sys
who = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
peak = lambda: max(resource.getrusage(one).ru_maxrss for one in who)
atexit.register(lambda: print({_PEAK!r}, peak(), sep="", file=sys.stderr))
from spark_lab.cli import main; main()
"""
_RUN = ["budget=steps", "budget.limit=1", "task.chain_sums.eval_size=4", "tracking=off"]
_RUN += ["trainer.prompts_per_window=4", "eval.samples=1"]
# What is typed, the exit code that it must have.
CASES = {
    "spark-lab --help": (["--help"], 0),
    "spark-lab --cfg job": (["--cfg", "job"], 0),
    "a mistake in the input": (["trainer.lerning_rate=1"], 2),
    "dry_run=true": (["dry_run=true"], 0),
    "a finished run, skipped": (_RUN, 0),
}


def rows(rounds: int | None = None, **_) -> list[Row]:
    with TemporaryDirectory() as folder:
        spend(_RUN, 0, folder)
        return [
            _row(name, words, code, folder, rounds or ROUNDS)
            for name, (words, code) in CASES.items()
        ]


def _row(name: str, words: list[str], code: int, folder: str, rounds: int) -> Row:
    found = [spend(words, code, folder) for _ in range(rounds)]
    cpu = sorted(one.cpu for one in found)[rounds // 2]
    wall = tuple(one.wall for one in found)
    return Row("commands", name, "s", (), wall, notes={"CPU s": f"{cpu:.2f}"})


class Spent(NamedTuple):
    """Wall and CPU seconds of a command with its children, GiB of its largest process."""

    wall: float
    cpu: float
    peak: float


def spend(words: Sequence[str], code: int, folder: str) -> Spent:
    """What one `spark-lab` takes, in a folder that is not the checkout."""
    line = [sys.executable, "-c", _WATCHED, *words]
    before, began = os.times(), time.perf_counter()
    done = subprocess.run(line, cwd=folder, check=False, capture_output=True, text=True)
    wall, after = time.perf_counter() - began, os.times()
    if done.returncode != code:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr}")
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    return Spent(wall, cpu, int(done.stderr.rpartition(_PEAK)[2]) / 2**20)
