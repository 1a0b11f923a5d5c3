"""Sampling by vLLM, through TRL: what it needs, and what can't go with it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from urllib.parse import urlsplit

from spark_lab import ranks
from spark_lab.errors import Problem
from spark_lab.schema import Config

_WHERE = "trainer.vllm"
# What TRL lets the vespo loss be corrected by.
_BY_TOKEN = ("token_truncate", "token_mask")


def is_installed() -> bool:
    return find_spec("vllm") is not None


def check(config: Config) -> list[Problem]:
    """Every reason why the rollouts can't be sampled by vLLM as configured; none where it is off."""
    if config.trainer.vllm == "off":
        return []
    return [*_absent(config), *_place(config), *_clashes(config)]


def _absent(config: Config) -> Iterator[Problem]:
    if not is_installed():
        got = f"{config.trainer.vllm}, while vLLM is not installed"
        fix = f"pip install 'spark-lab[vllm]', or {_WHERE}=off"
        yield Problem(_WHERE, got, "an installed vLLM", fix)


def _place(config: Config) -> Iterator[Problem]:
    trainer = config.trainer
    if trainer.vllm == "server":
        address = urlsplit(trainer.vllm_server)
        if address.scheme not in ("http", "https") or not address.hostname:
            where, fix = "trainer.vllm_server", "trainer.vllm_server=http://HOST:8000"
            yield Problem(where, repr(trainer.vllm_server), "an address with http://", fix)
    elif ranks.count() % trainer.vllm_tensor_parallel:
        yield Problem(
            "trainer.vllm_tensor_parallel",
            f"{trainer.vllm_tensor_parallel} for {ranks.count()} process(es)",
            "a divisor of the number of processes: each has one GPU",
            "trainer.vllm_tensor_parallel=1, or torchrun with more processes",
        )


def _clashes(config: Config) -> Iterator[Problem]:
    for name, slot in vars(config.objective).items():
        if slot is not None and slot.loss == "sft":
            where = f"objective.{name}.loss"
            expected = "transformers' generation, as vLLM samples whole groups only"
            yield Problem(where, f"sft with {_WHERE}", expected, f"{where}=grpo, or {_WHERE}=off")
    judge = config.reward.self_judge
    if judge is not None and judge.judge != "current":
        where = "reward.self_judge.judge"
        got = f"{judge.judge} with {_WHERE}={config.trainer.vllm}"
        expected = "the current weights, as vLLM holds no others"
        yield Problem(where, got, expected, f"{where}=current, or {_WHERE}=off")
    fields = config.trainer.grpo
    corrects = fields.get("vllm_importance_sampling_correction", True)
    mode = fields.get("vllm_importance_sampling_mode")
    if config.trainer.loss_type == "vespo" and corrects and mode not in _BY_TOKEN:
        yield Problem(
            "trainer.loss_type",
            f"vespo with {_WHERE}={config.trainer.vllm}",
            f"a correction by token: {' or '.join(_BY_TOKEN)}",
            f"'+trainer.grpo.vllm_importance_sampling_mode={_BY_TOKEN[0]}'",
        )
