"""Two processes share each window: replicated state stays equal, groups stay whole."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_spark import SMALL
from tiny_vlms import questions, saved, words_for

from spark_lab.runs import find_runs, read_status

HERE = Path(__file__).parent
SCHEDULES = {
    "joint, with extra windows": [
        "schedule=joint",
        "trainer.prompts_per_window=3",
        "recycle=fresh",
        "recycle.label_balance=prior",
        "recycle.order=hardest",
        "objective.reflect.share_schedule=competence",
        "objective.reflect.share_end=0",
    ],
    "mixed": [
        "schedule=mixed",
        "trainer.prompts_per_window=5",
        "trainer.updates_per_window=2",
        "trainer.num_iterations=2",
    ],
    "verdicts given": [
        "schedule=mixed",
        "trainer.prompts_per_window=5",
        "objective.pointwise.loss=sft",
        "objective.pairwise.loss=sft",
    ],
    "self-judge": [
        "trainer.prompts_per_window=3",
        "reward=self_judge",
        "reward.labelled=0.5",
        "reward.false_negative=0.3",
        "reward.self_judge.kind=pairwise",
        "reward.self_judge.judge=ema",
    ],
}


def torchrun(*words: str) -> subprocess.CompletedProcess:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    command += ["--master_addr=127.0.0.1", f"--master_port={port}"]
    return subprocess.run(
        [*command, *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])},
    )


@pytest.mark.slow
def test_ranks_agree_on_every_window(tmp_path: Path):
    """With images, a batch and even a rank's whole window may have none: no gradient of the tower."""
    file = questions(tmp_path, 12, text_every=2)
    pictured = words_for(saved("qwen2_5_vl", tmp_path / "model"), file)
    pictured += ["trainer.prompts_per_window=3", "trainer.micro_batch_size=3"]
    cases = SCHEDULES | {"some with images": pictured}
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    found = torchrun(str(HERE / "ranks.py"), str(tmp_path))
    assert found.returncode == 0, found.stderr[-3000:]
    for case in cases:
        for rank in (0, 1):
            assert found.stdout.count(f"window ok rank {rank}: {case}\n") >= 2, case
    assert found.stdout.count("window ok rank 1: some with images\n") >= 6


@pytest.mark.slow
def test_a_run_under_torchrun_is_one_run(tmp_path: Path):
    """One folder, and each row once: rank 0 writes, the others follow."""
    command = ["-m", "spark_lab.cli", f"root={tmp_path}", *SMALL, "tracking.console=plain"]
    command += ["trainer.save_every=2", "eval.every=2", "eval.samples=1"]
    whole = torchrun(*command, "budget.limit=4", "name=whole")
    assert whole.returncode == 0, whole.stderr[-3000:]
    (folder,) = find_runs(tmp_path)
    assert read_status(folder)["state"] == "done"
    assert json.loads((folder / "env.json").read_text())["ranks"] == 2
    assert [row["step"] for row in rows(folder / "metrics.jsonl")] == [1, 2, 3, 4]
    assert [row["step"] for row in rows(folder / "eval.jsonl")] == [0, 2, 4]
    again = torchrun(*command, "budget.limit=4", "name=whole")
    assert again.returncode == 0 and again.stdout.count("already done") == 1


@pytest.mark.slow
def test_windows_that_ranks_cannot_share_are_refused_once(tmp_path: Path):
    odd = ["trainer.prompts_per_window=3", "trainer.group_size=3", "schedule=alternate"]
    found = torchrun("-m", "spark_lab.cli", f"root={tmp_path}", *SMALL, *odd)
    assert found.returncode != 0
    assert found.stderr.count("windows of 9 rows in 1 updates for 2 processes") == 1
    assert "UserError" not in found.stderr and not list(tmp_path.rglob("config.yaml"))


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]
