"""What each worker of a multirun gets of the machine: CPU threads, and one GPU where there are any."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import IO

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
# Of this process: an open lock keeps its slot taken; None where all were.
_held: list[IO[str] | None] = []


def pin(folder: Path, workers: int) -> None:
    """Give this process its share of the machine, for every run that it starts from now on.

    Set before torch is imported, which reads it once. A second call changes nothing.
    """
    if _held:
        return
    slot = _take(folder, workers)
    for name in _THREADS:
        os.environ[name] = str(threads(workers))
    found = devices()
    if found:
        os.environ["CUDA_VISIBLE_DEVICES"] = found[slot % len(found)]


def threads(workers: int) -> int:
    """Threads for each of `workers` processes at a time: their share of the cores, at least one.

    What the user sets in OMP_NUM_THREADS is a limit.
    """
    share = max(1, cores() // workers)
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(limit)) if limit.isdigit() and int(limit) > 0 else share


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def devices() -> tuple[str, ...]:
    """The GPUs to hand out: those of CUDA_VISIBLE_DEVICES, or all. Torch is not asked: it would
    settle on a device."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(name for name in visible.split(",") if name and name != "-1")
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    listed = subprocess.run([tool, "-L"], check=False, capture_output=True, text=True, timeout=30)
    lines = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return tuple(str(number) for number in range(len(lines)))


def _take(folder: Path, workers: int) -> int:
    """The number of a free slot. The kernel frees the slot of a process that died."""
    folder.mkdir(parents=True, exist_ok=True)
    # Sweeps side by side have slots of their own as long as there are GPUs.
    for slot in range(max(workers, len(devices()))):
        lock = (folder / str(slot)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        _held.append(lock)
        return slot
    _held.append(None)
    return 0
