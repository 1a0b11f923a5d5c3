"""Two processes share each window: replicated state stays equal, groups stay whole."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SCHEDULES = {
    "joint": ["schedule=joint", "trainer.prompts_per_window=3"],
    "mixed": [
        "schedule=mixed",
        "trainer.prompts_per_window=5",
        "trainer.updates_per_window=2",
        "trainer.num_iterations=2",
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULES)
def test_ranks_agree_on_every_window(tmp_path: Path, name: str):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    command += ["--master_addr=127.0.0.1", f"--master_port={port}", str(HERE / "ranks.py")]
    found = subprocess.run(
        [*command, str(tmp_path), *SCHEDULES[name]],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])},
    )
    assert found.returncode == 0, found.stderr[-3000:]
    for rank in (0, 1):
        assert found.stdout.count(f"window ok rank {rank}") >= 2
