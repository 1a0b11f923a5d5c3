"""The command line as a user waits for it, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from tempfile import TemporaryDirectory

from speed.measure import Row

ROUNDS = 5
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
        _run(_RUN, 0, folder)
        return [
            _row(name, words, code, folder, rounds or ROUNDS)
            for name, (words, code) in CASES.items()
        ]


def _row(name: str, words: list[str], code: int, folder: str, rounds: int) -> Row:
    found = [_run(words, code, folder) for _ in range(rounds)]
    cpu = sorted(seconds for _, seconds in found)[rounds // 2]
    wall = tuple(seconds for seconds, _ in found)
    return Row("commands", name, "s", (), wall, notes={"CPU s": f"{cpu:.2f}"})


def _run(words: list[str], code: int, folder: str) -> tuple[float, float]:
    """Wall and CPU seconds of one `spark-lab`, in a folder that is not the checkout."""
    line = [sys.executable, "-c", "from spark_lab.cli import main; main()", *words]
    before, began = os.times(), time.perf_counter()
    done = subprocess.run(line, cwd=folder, check=False, capture_output=True, text=True)
    seconds, after = time.perf_counter() - began, os.times()
    if done.returncode != code:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr}")
    cpu = after.children_user + after.children_system
    return seconds, cpu - before.children_user - before.children_system
