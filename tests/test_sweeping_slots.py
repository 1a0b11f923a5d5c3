"""Each worker gets its own part of the machine, and gives it back however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spark_lab.sweeping import slots

ROOT = Path(__file__).parent.parent
HOLD = """
import os, sys
from pathlib import Path
from spark_lab.sweeping import slots
slots.pin(Path(sys.argv[1]), int(sys.argv[2]))
print(os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ["OMP_NUM_THREADS"], flush=True)
sys.stdin.read()
"""


def holder(folder: Path, workers: int, visible: str) -> subprocess.Popen:
    env = os.environ | {"CUDA_VISIBLE_DEVICES": visible, "PYTHONPATH": str(ROOT)}
    del env["OMP_NUM_THREADS"]
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(workers)],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen) -> list[str]:
    return process.stdout.readline().split()


def test_workers_share_gpus_and_threads_and_free_them_when_killed(tmp_path: Path) -> None:
    share = str(max(1, slots.cores() // 3))
    held = []
    for gpu in ("4", "6", "4"):
        held.append(holder(tmp_path, 3, "4,6"))
        assert said(held[-1]) == [gpu, share]
    held[1].send_signal(signal.SIGKILL)
    held[1].wait()
    again = holder(tmp_path, 3, "4,6")
    assert said(again) == ["6", share]
    for process in (held[0], held[2], again):
        process.communicate("")
        assert process.returncode == 0


def test_sweeps_side_by_side_take_other_gpus(tmp_path: Path) -> None:
    held = []
    for gpu in ("0", "1", "0"):
        held.append(holder(tmp_path, 1, "0,1"))
        assert said(held[-1])[0] == gpu
    for process in held:
        process.communicate("")


def test_without_a_gpu_none_is_named(tmp_path: Path) -> None:
    process = holder(tmp_path, 1, "")
    assert said(process) == [str(slots.cores())]
    process.communicate("")


def test_threads_are_shared_and_never_more_than_the_user_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slots, "cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert [slots.threads(workers) for workers in (1, 2, 3, 16)] == [8, 4, 2, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert [slots.threads(workers) for workers in (1, 4)] == [3, 2]
