"""A judge that learns later than the policy: a running mean of its weights, or an old copy.

A judge that moves with every update of the policy that it rewards can drift with it unseen; one that
follows slowly is a steadier mark (compare the slow teachers of arXiv 2508.00410).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from spark_lab.schema import SelfJudgeConfig

_FILE = "slow_judge.safetensors"


class SlowJudge(TrainerCallback):
    """Weights beside the trained ones; as a callback it follows every optimizer step.

    ema: mean <- ema_decay * mean + (1 - ema_decay) * weights. snapshot: a copy every `refresh`
    updates. Only weights that are trained are kept (of LoRA, the adapters), the mean in float32, as
    small steps would be lost in bfloat16.
    """

    def __init__(self, config: SelfJudgeConfig):
        self._config = config
        self._weights: dict[str, torch.Tensor] = {}

    def begin(self, model: nn.Module) -> None:
        """Start from the weights as they are."""
        self._weights = {
            name: weight.detach().to(torch.float32, copy=True) for name, weight in _trained(model)
        }

    @torch.no_grad()
    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        model: nn.Module,
        **_: Any,
    ) -> None:
        if self._config.judge == "snapshot":
            if state.global_step % self._config.refresh == 0:
                self.begin(model)
            return
        for name, weight in _trained(model):
            self._weights[name].lerp_(weight.float(), 1.0 - self._config.ema_decay)

    @contextmanager
    def in_place(self, model: nn.Module) -> Iterator[None]:
        """Within this the model has the judge's weights."""
        trained = [(weight, weight.data, name) for name, weight in _trained(model)]
        for weight, data, name in trained:
            weight.data = self._weights[name].to(data.dtype)
        try:
            yield
        finally:
            for weight, data, _ in trained:
                weight.data = data

    def save(self, folder: Path) -> None:
        weights = {name: weight.cpu().contiguous() for name, weight in self._weights.items()}
        save_file(weights, folder / _FILE)

    def load(self, folder: Path) -> None:
        stored = load_file(folder / _FILE)
        for name, weight in self._weights.items():
            weight.copy_(stored[name])


def _trained(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
