"""One run over two processes by the files that are shipped for accelerate: DDP with LoRA, and FSDP2."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env
from replayed import train
from safetensors.torch import load_file
from test_ranks import HERE, rows, torchrun
from test_ranks_scoring import SETTINGS, weights
from test_sweeping import untimed
from tiny_spark import SMALL

from spark_lab import ranks, runs
from spark_lab.accelerate.command import FOLDER
from spark_lab.runs.checkpoints import path_of

CLI = str(HERE.parent / "spark_lab/cli.py")
RUN = [
    *SMALL,
    "trainer.save_every=2",
    "trainer.keep_checkpoints=2",
    "eval.every=2",
    "eval.samples=1",
    "eval.test_time=off",
]


def environment(name: str) -> dict[str, str]:
    """What `accelerate launch` sets for a shipped file."""
    words = ["--config_file", str(FOLDER / f"{name}.yaml"), "--main_process_port=0", "script.py"]
    args, file, _ = _validate_launch_command(launch_command_parser().parse_args(words))
    if args.use_deepspeed:
        args.deepspeed_fields_from_accelerate_config = ",".join(file.deepspeed_config)
        _, found = prepare_deepspeed_cmd_env(args)
    else:
        found = prepare_multi_gpu_env(args)
    return {key: found[key] for key in found if key.startswith(("ACCELERATE_", "FSDP_"))}


@pytest.fixture
def fsdp2(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = environment("fsdp2")
    assert chosen["ACCELERATE_USE_FSDP"] == "true" and chosen["FSDP_VERSION"] == "2"
    for key, value in chosen.items():
        monkeypatch.setenv(key, value)


def sharded(script: str, *words: str) -> None:
    done = torchrun(str(HERE / "sharded.py"), script, *words)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_fsdp2_trains_as_one_process(tmp_path: Path, fsdp2: None) -> None:
    """The same rollouts give the same losses and weights, up to the order of sums."""
    fsdp = {key: os.environ.pop(key) for key in list(os.environ) if key.startswith("ACCELERATE_")}
    train(tmp_path, "one", *SETTINGS, "trainer.shared_prompts=off")
    os.environ.update(fsdp)
    sharded(str(HERE / "replayed.py"), str(tmp_path), "two", *SETTINGS)
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert two["scoring"] == "shared prompts: packed"
    assert len(one["rows"]) == len(two["rows"]) == 4
    for expected, found in zip(one["rows"], two["rows"], strict=True):
        for key in ("loss", "grad_norm", "kl", "entropy"):
            assert found[key] == pytest.approx(expected[key], rel=1e-4, abs=1e-5), key
    start, one, two = (weights(tmp_path / f"{n}.safetensors") for n in ("start", "one", "two"))
    assert (two - one).norm() <= 1e-2 * (one - start).norm()


@pytest.mark.slow
def test_a_sharded_run_goes_on_from_its_checkpoint(tmp_path: Path, fsdp2: None) -> None:
    """Bit for bit; and its checkpoint holds the whole model, for `spark-lab eval`."""
    sharded(CLI, f"root={tmp_path}", *RUN, "budget.limit=4")
    [folder] = runs.find_runs(tmp_path)
    assert runs.read_status(folder)["state"] == "done"
    assert [row["step"] for row in rows(folder / "eval.jsonl")] == [0, 2, 4]
    assert runs.complete_checkpoints(folder) == [2, 4]
    before, whole = untimed(folder), load_file(path_of(folder, 4) / "model.safetensors")
    torn = load_file(path_of(folder, 2) / "model.safetensors")
    assert any(not torch.equal(torn[name], whole[name]) for name in whole)
    shutil.rmtree(path_of(folder, 4))
    runs.write_status(folder, state="running")
    sharded(CLI, f"root={tmp_path}", *RUN, "budget.limit=4")
    assert untimed(folder) == before
    again = load_file(path_of(folder, 4) / "model.safetensors")
    assert again.keys() == whole.keys()
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_what_can_not_be_sharded_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ranks.check_sharding(slow_judge=True) == []
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert ranks.check_sharding(slow_judge=False) == []
    [problem] = ranks.check_sharding(slow_judge=True)
    assert problem.where == "reward.self_judge.judge"


def test_deepspeed_is_asked_for_where_it_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment("zero3")["ACCELERATE_USE_DEEPSPEED"] == "true"
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setattr(ranks, "find_spec", lambda name: None)
    [problem] = ranks.check_sharding(slow_judge=False)
    assert "pip install 'spark-lab[deepspeed]'" in problem.fix


@pytest.mark.slow
def test_accelerate_launches_adapters_on_two_processes(tmp_path: Path) -> None:
    """The whole command; every process trains the adapters, rank 0 alone writes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes=2"]
    words += ["--config_file", str(FOLDER / "ddp.yaml"), f"--main_process_port={port}"]
    words += ["-m", "spark_lab.cli", f"root={tmp_path}", *RUN, "model/lora=default"]
    env = os.environ | {"PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(
        [*words, "budget.limit=2"], capture_output=True, text=True, env=env, timeout=500
    )
    assert done.returncode == 0, done.stderr[-3000:]
    [folder] = runs.find_runs(tmp_path)
    assert json.loads((folder / "env.json").read_text())["ranks"] == 2
    assert [row["step"] for row in rows(folder / "metrics.jsonl")] == [1, 2]
    adapters = load_file(path_of(folder, 2) / "adapter_model.safetensors")
    grown = [weight for name, weight in adapters.items() if "lora_B" in name]
    assert grown and all(weight.abs().max() > 0 for weight in grown), "they begin at 0"
