"""Clocks, peaks of memory, and the rows that every section gives."""

from __future__ import annotations

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

MIB = 2**20
ON_GPU = torch.cuda.is_available()
# On a CPU the process's own seconds, so that a machine that does other things as well gives the
# same figures; a GPU works beside the process, which has to wait for it.
CLOCK = "wall seconds" if ON_GPU else "CPU seconds"


def now() -> float:
    """Seconds on that clock, once all that was asked of a GPU is done."""
    if ON_GPU:
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def timed(call: Callable[[], object]) -> float:
    began = now()
    call()
    return now() - began


@dataclass(frozen=True, slots=True)
class Row:
    """One quantity, measured in alternation: `trl[i]` and `spark[i]` belong to the same round.

    `trl` is empty where TRL has no counterpart. `bound` is the most that the ratio TRL : SPARK can
    be. `notes` are further columns by name.
    """

    section: str
    name: str
    unit: str
    trl: tuple[float, ...]
    spark: tuple[float, ...]
    bound: float | None = None
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def ratios(self) -> list[float]:
        """How many times less SPARK takes, round by round."""
        return [left / right for left, right in zip(self.trl, self.spark, strict=bool(self.trl))]


def middle(values: Sequence[float]) -> tuple[float, float]:
    """The median, and half the width of the middle half (0 for a single value)."""
    if len(values) < 2:
        return values[0], 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return statistics.median(values), (high - low) / 2


class Peak:
    """The most memory a stretch of work held at once, in MiB.

    On a GPU: what tensors took, as torch counts it. On a CPU: what the process had resident, by the
    kernel's high-water mark, which `restart` sets back; freed memory that the allocator still keeps
    is handed back to the system before. `base` is what was resident at the start: the imports.
    """

    def __init__(self) -> None:
        self.restart()
        self.base = 0.0 if ON_GPU else _status("VmRSS")

    def restart(self) -> None:
        gc.collect()
        if ON_GPU:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            return
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")

    def read(self) -> float:
        """The highest point since `restart`, above the base."""
        if ON_GPU:
            return torch.cuda.max_memory_allocated() / MIB
        return _status("VmHWM") - self.base


def _status(key: str) -> float:
    """MiB of a line such as "VmRSS:  1234 kB" of this process's status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) / 1024
    raise LookupError(key)
