"""Forward and backward of the policy loss alone: every way of sharing prompts beside TRL's own.

One random model and both trainers' `_get_per_token_logps_and_entropies` on the same rows, which
end raggedly. Log-probabilities and gradients are compared on the way. "Recomputed" is activation
checkpointing, on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from trl import GRPOTrainer

from spark_lab.training.meter import ModelCost
from spark_lab.training.trainer import SparkGRPOTrainer
from speed.machine import matmul_rate
from speed.measure import Row, middle, now
from speed.pair import GROUP, SHAPES, bound, configure, judge_overrides, spark
from speed.scales import Scale

ROUNDS = (5, 5, 4, 3)


@dataclass(frozen=True, slots=True)
class Setting:
    """Ways of sharing that are measured in the same rounds, for some of SHAPES."""

    note: str
    overrides: list[str]
    ways: tuple[str, ...]
    shapes: tuple[int, ...]


SETTINGS = (
    Setting("", [], ("cache", "packed"), (0, 1, 2, 3)),
    Setting(", recomputed", ["trainer.activation_checkpointing=true"], ("packed",), (1, 2)),
)


def rows(scale: Scale, rounds: int | None = None, **_) -> list[Row]:
    found = []
    with TemporaryDirectory() as folder:
        path, rate = scale.save(Path(folder)), matmul_rate(scale.dtype)
        for setting in SETTINGS:
            for shape in setting.shapes:
                overrides = judge_overrides(scale, path, shape, *setting.overrides)
                found += _compare(setting, overrides, scale, shape, rounds or ROUNDS[shape], rate)
    return found


def _compare(
    setting: Setting, overrides: list[str], scale: Scale, shape: int, rounds: int, rate: float
) -> list[Row]:
    trainers = {
        way: spark(configure(*overrides, f"trainer.shared_prompts={way}")) for way in setting.ways
    }
    methods = {way: (SparkGRPOTrainer, trainer) for way, trainer in trainers.items()}
    methods["trl"] = (GRPOTrainer, next(iter(trainers.values())))
    batch = _batch(*SHAPES[shape], scale)
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    last: dict[str, Pass] = {}
    for index in range(rounds + 1):
        for name, (owner, trainer) in methods.items():
            last[name] = _pass(owner, trainer, batch)
            # The first round allocates.
            seconds[name] += [last[name].seconds] if index else []
    (prompt, completion), groups = SHAPES[shape], scale.groups[shape]
    tokens, found = groups * GROUP * (prompt + completion), []
    for way, trainer in trainers.items():
        typical = middle(seconds[way])[0]
        notes = {
            "tokens/s": f"{tokens / typical:,.0f}",
            "of matmul rate": f"{100 * groups * _flops(trainer, shape) / typical / rate:.0f} %",
            **_differences(last["trl"], last[way]),
        }
        both = tuple(seconds["trl"]), tuple(seconds[way])
        name = f"P/C {prompt}/{completion}, {way}{setting.note}"
        found.append(Row("scoring", name, "s", *both, bound(prompt, completion), notes))
    return found


def _differences(left: Pass, right: Pass) -> dict[str, str]:
    logps = float((left.logps - right.logps).abs().max())
    gradient = float((left.gradient - right.gradient).norm() / left.gradient.norm())
    return {"log-probs": f"{logps:.0e}", "gradient": f"{gradient:.0e}"}


@dataclass(frozen=True, slots=True)
class Pass:
    seconds: float
    logps: torch.Tensor
    gradient: torch.Tensor


def _batch(prompt: int, completion: int, scale: Scale) -> tuple[torch.Tensor, torch.Tensor, int]:
    """ids and mask (rows, prompt + completion) of ragged completions, and their longest length."""
    generator = torch.Generator().manual_seed(1)
    groups = scale.groups[SHAPES.index((prompt, completion))]
    prompts = torch.randint(4, scale.vocabulary, (groups, prompt), generator=generator)
    count = groups * GROUP
    completions = torch.randint(4, scale.vocabulary, (count, completion), generator=generator)
    lengths = torch.randint(completion // 2, completion + 1, (count, 1), generator=generator)
    mask = torch.ones(count, prompt + completion, dtype=torch.long)
    mask[:, prompt:] = torch.arange(completion) < lengths
    return torch.cat([prompts.repeat_interleave(GROUP, 0), completions], dim=1), mask, completion


def _pass(owner: type, trainer: SparkGRPOTrainer, batch) -> Pass:
    """The gradient of -mean(advantage x ratio) over the completions' tokens."""
    model, device = trainer.model.train(), trainer.accelerator.device
    ids, mask, length = batch[0].to(device), batch[1].to(device), batch[2]
    model.zero_grad()
    advantages = torch.linspace(-1, 1, len(ids), device=device)[:, None]
    began = now()
    method = owner._get_per_token_logps_and_entropies
    logps, _, _ = method(trainer, model, ids, mask, length, compute_entropy=True)
    keep = mask[:, -length:]
    loss = -(torch.exp(logps - logps.detach()) * advantages * keep).sum() / keep.sum()
    loss.backward()
    seconds = now() - began
    gradient = torch.cat([weight.grad.flatten() for weight in model.parameters()])
    return Pass(seconds, (logps * keep).detach().float(), gradient.float())


def _flops(trainer: SparkGRPOTrainer, shape: int) -> float:
    """Forward and backward of one group with its prompt once; only completions meet the head."""
    cost, (prompt, completion) = ModelCost.of(trainer.model), SHAPES[shape]
    head = trainer.model.get_output_embeddings().weight.numel()
    body = ModelCost(cost.parameters - head, cost.layers, cost.attention_width)
    completions = body.forward_flops(prompt, prompt + completion) + 2 * head * completion
    return 3 * (body.forward_flops(0, prompt) + GROUP * completions)
