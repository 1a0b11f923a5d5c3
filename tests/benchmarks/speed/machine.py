"""What the figures were measured on, and how fast it multiplies matrices."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

from speed.measure import CLOCK, ON_GPU, timed

ROOT = Path(__file__).parents[3]


def describe() -> dict[str, str]:
    """Machine and versions, for the head of the table and for the JSON file."""
    packages = {name: version(name) for name in ("torch", "transformers", "trl")}
    device = torch.cuda.get_device_name() if ON_GPU else _processor()
    return {
        "device": device,
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "load": f"{os.getloadavg()[0]:.1f}",
        "clock": CLOCK,
        "python": platform.python_version(),
        **packages,
        "commit": commit(),
    }


def commit() -> str:
    """The checkout's commit, with a + where files differ from it."""
    words = ["git", "describe", "--always", "--exclude=*", "--dirty=+"]
    found = subprocess.run(words, cwd=ROOT, check=False, capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def matmul_rate(dtype: torch.dtype) -> float:
    """FLOP/s of one large product of square matrices: the best of seven."""
    device, size = ("cuda", 8192) if ON_GPU else ("cpu", 1024)
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    left @ right
    return 2 * size**3 / min(timed(lambda: left @ right) for _ in range(7))
