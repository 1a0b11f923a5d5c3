"""Sampling by vLLM: what reaches TRL, and what is refused. Nothing here needs vLLM."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from test_compatibility import changed
from tiny_spark import small
from trl import GRPOConfig

from spark_lab import limits, trl_fields, vllm
from spark_lab.build import server_is_up
from spark_lab.errors import UserError
from spark_lab.schema import Config, TrainerConfig
from spark_lab.training.arguments import grpo_config

ON = {"trainer.vllm": "colocate"}
REFUSED = {
    "trainer.vllm_server": {"trainer.vllm": "server", "trainer.vllm_server": "localhost:8000"},
    "trainer.vllm_tensor_parallel": {"trainer.vllm_tensor_parallel": 2},
    "trainer.vllm_memory": {"trainer.vllm_memory": 1.0},
    "trainer.vllm": {"trainer.vllm": "serve"},
    "objective.pairwise.loss": {"objective.pairwise.loss": "sft"},
    "reward.self_judge.judge": {"reward.self_judge.judge": "ema"},
    "trainer.loss_type": {"trainer.loss_type": "vespo"},
}
COMPOSES = [
    {},
    {"trainer.vllm": "server"},
    {"schedule.kind": "mixed", "recycle.source": "fresh"},
    {
        "trainer.loss_type": "vespo",
        "trainer.grpo": {"vllm_importance_sampling_mode": "token_mask"},
    },
]


@pytest.fixture(scope="module")
def config() -> Config:
    return small("reward=self_judge")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "is_installed", lambda: True)


def arguments(config: TrainerConfig, folder: Path) -> GRPOConfig:
    return grpo_config(
        config, output=folder, seed=0, windows_per_update=1, ranks=1, on_cpu=True, bf16=False
    )


def blamed(config: Config) -> list[str]:
    return [problem.where for problem in limits.check(config) or vllm.check(config)]


def test_every_key_reaches_trl(config: Config, tmp_path: Path) -> None:
    off = config.trainer
    plain = arguments(off, tmp_path)
    assert not plain.use_vllm
    colocate = replace(off, vllm="colocate", vllm_server="http://elsewhere:1")
    assert arguments(colocate, tmp_path).use_vllm
    fields = {
        "vllm_memory": ("vllm_gpu_memory_utilization", 0.7),
        "vllm_tensor_parallel": ("vllm_tensor_parallel_size", 4),
        "vllm_sleep": ("vllm_enable_sleep_mode", True),
    }
    for key, (field, value) in fields.items():
        found = arguments(replace(colocate, **{key: value}), tmp_path)
        assert getattr(found, field) == value != getattr(arguments(colocate, tmp_path), field)
        assert found.vllm_mode == "colocate" and found.vllm_server_base_url is None
    server = arguments(replace(colocate, vllm="server"), tmp_path)
    assert (server.vllm_mode, server.vllm_server_base_url) == ("server", "http://elsewhere:1")


def test_its_fields_have_keys_of_their_own() -> None:
    for name in ("use_vllm", "vllm_mode", "vllm_server_base_url", "vllm_enable_sleep_mode"):
        [problem] = trl_fields.check({name: True})
        assert "trainer.vllm" in problem.fix
    assert trl_fields.check({"vllm_max_model_length": 4096}) == []


def test_an_absent_vllm_is_told_with_what_brings_it(refused) -> None:
    said = refused("trainer.vllm=server")
    assert said.startswith("1 problem") and "pip install 'spark-lab[vllm]'" in said


@pytest.mark.parametrize("where", REFUSED)
def test_what_can_not_go_with_it_is_refused(config: Config, installed: None, where: str) -> None:
    assert blamed(changed(config, ON | REFUSED[where])) == [where]
    if where.startswith(("objective", "reward")):
        assert blamed(changed(config, REFUSED[where])) == []


@pytest.mark.parametrize("changes", COMPOSES)
def test_the_rest_composes(config: Config, installed: None, changes: dict) -> None:
    assert blamed(changed(config, ON | changes)) == []


def test_processes_are_counted(
    config: Config, installed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert blamed(changed(config, ON | {"trainer.vllm_tensor_parallel": 2})) == []
    [problem] = vllm.check(changed(config, ON | {"trainer.vllm_tensor_parallel": 3}))
    assert problem.got == "3 for 4 process(es)"


def test_a_server_that_does_not_answer_is_the_users_to_start(config: Config) -> None:
    with pytest.raises(UserError, match="no answer from http"), server_is_up(config.trainer):
        raise ConnectionError("after 240 seconds")
