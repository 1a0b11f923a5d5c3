"""A run that is killed at any moment and started again equals one that was left alone."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tiny_spark import SMALL, TIMINGS

from spark_lab.config import compose
from spark_lab.runner import run

SCHEDULES = {
    "joint": ["schedule=joint"],
    "alternate": [
        "schedule=alternate",
        "trainer.updates_per_window=2",
        "trainer.num_iterations=2",
    ],
    "mixed": ["schedule=mixed", "trainer.updates_per_window=2", "trainer.micro_batch_size=4"],
}
RUN = [
    *SMALL,
    "tracking.console=plain",
    "tracking.rollouts_every=4",
    "trainer.save_every=5",
    "eval.every=6",
    "eval.samples=2",
    "budget.limit=18",
]


def start(root: Path, overrides: list[str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "spark_lab.cli", f"root={root}", *RUN, *overrides],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def folder_of(root: Path) -> Path:
    (config,) = root.glob("*/*/*/config.yaml")
    return config.parent


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def rows(path: Path) -> list[dict]:
    return [
        {key: value for key, value in json.loads(line).items() if key not in TIMINGS}
        for line in lines(path)
    ]


def kill_after(process: subprocess.Popen, root: Path, steps: int) -> None:
    """SIGKILL the whole process group as soon as `steps` steps are on disk."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        logs = list(root.glob("*/*/*/metrics.jsonl"))
        if logs and len(lines(logs[0])) >= steps:
            break
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_killed_run_ends_as_if_it_had_not_been(tmp_path: Path, name: str):
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    kill_after(start(torn, SCHEDULES[name]), torn, steps=8)
    resumed = start(torn, SCHEDULES[name])
    uninterrupted = [f"root={whole}", *RUN, *SCHEDULES[name]]
    run(compose(uninterrupted), uninterrupted)
    said, _ = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, said
    assert "resumed at step 5" in said
    expected, found = folder_of(whole), folder_of(torn)
    for log in ("metrics.jsonl", "eval.jsonl"):
        assert len(rows(expected / log)) == {"metrics.jsonl": 18, "eval.jsonl": 4}[log]
        assert rows(found / log) == rows(expected / log)
    rollouts = sorted(path.name for path in (expected / "rollouts").iterdir())
    assert sorted(path.name for path in (found / "rollouts").iterdir()) == rollouts
    for file in rollouts:
        assert (found / "rollouts" / file).read_bytes() == (
            expected / "rollouts" / file
        ).read_bytes()
    last = "checkpoints/checkpoint-18/model.safetensors"
    left, right = load_file(expected / last), load_file(found / last)
    assert left.keys() == right.keys()
    assert all(left[key].equal(right[key]) for key in left)
    assert json.loads((found / "status.json").read_text())["state"] == "done"
    again = start(torn, SCHEDULES[name])
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert again.wait(60) == 0
    assert "already done" in again.stdout.read()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5
