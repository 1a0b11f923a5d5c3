"""Forward and backward of the policy loss: SPARK with shared prompts beside TRL's own scoring.

One random Qwen2, both trainers' `_get_per_token_logps_and_entropies` on the same rows in turns, in
one process. The bound is the ratio of positions, G (P + C) / (P + G C).
`python tests/benchmarks/bench_shared_prompts.py [rounds, at least 2]`.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
import trl
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForCausalLM, Qwen2Config
from trl import GRPOTrainer

from spark_lab.build import build_trainer
from spark_lab.config import compose
from spark_lab.training.trainer import SparkGRPOTrainer

GROUP = 8
# Tokens of prompt and completion, groups, rounds: the longest would take the time of all others.
SHAPES = [(100, 30, 2, 5), (200, 64, 2, 5), (400, 32, 2, 4), (1000, 200, 1, 3)]


@dataclass(frozen=True)
class Measured:
    """Seconds of one pass (median, and the quarter-to-quarter spread) for P/C tokens."""

    prompt: int
    completion: int
    groups: int
    trl: float
    spark: float
    trl_spread: float
    spark_spread: float
    bound: float
    difference: float
    gradient_difference: float

    @property
    def ratio(self) -> float:
        return self.trl / self.spark


def trainer(folder: Path) -> SparkGRPOTrainer:
    """A trainer around a random model of some ten million weights."""
    settings = ["objective=none", "trainer.shared_prompts=cache", "tracking=off"]
    built = build_trainer(compose(settings), folder)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=1024,
        hidden_size=384,
        intermediate_size=1024,
        num_hidden_layers=6,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=2048,
    )
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").train()
    trl.trainer.utils.add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    built.model = model
    return built


def rows(prompt: int, completion: int, groups: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`groups` prompts x GROUP ragged completions: ids and mask (rows, prompt + completion)."""
    generator = torch.Generator().manual_seed(1)
    prompts = torch.randint(0, 1024, (groups, prompt), generator=generator)
    count = groups * GROUP
    completions = torch.randint(0, 1024, (count, completion), generator=generator)
    lengths = torch.randint(completion // 2, completion + 1, (count, 1), generator=generator)
    mask = torch.ones(count, prompt + completion, dtype=torch.long)
    mask[:, prompt:] = torch.arange(completion) < lengths
    return torch.cat([prompts.repeat_interleave(GROUP, 0), completions], dim=1), mask


def one_pass(method, ours: SparkGRPOTrainer, ids, mask, length: int):
    """Seconds, log-probabilities and gradient of -mean(advantage x ratio)."""
    ours.model.zero_grad()
    advantages = torch.linspace(-1, 1, len(ids))[:, None]
    began = time.perf_counter()
    logps, _, _ = method(ours, ours.model, ids, mask, length, compute_entropy=True)
    keep = mask[:, -length:]
    loss = -(torch.exp(logps - logps.detach()) * advantages * keep).sum() / keep.sum()
    loss.backward()
    seconds = time.perf_counter() - began
    gradient = torch.cat([weight.grad.flatten() for weight in ours.model.parameters()])
    return seconds, logps.detach(), gradient


def measure(
    ours: SparkGRPOTrainer, prompt: int, completion: int, groups: int, rounds: int
) -> Measured:
    ids, mask = rows(prompt, completion, groups)
    ways = {"trl": GRPOTrainer, "spark": SparkGRPOTrainer}
    times: dict[str, list[float]] = {name: [] for name in ways}
    found = {}
    for index in range(rounds + 1):
        for name, owner in ways.items():
            method = owner._get_per_token_logps_and_entropies
            seconds, *found[name] = one_pass(method, ours, ids, mask, completion)
            # The first round allocates.
            if index:
                times[name].append(seconds)
    (left, left_gradient), (right, right_gradient) = found["trl"], found["spark"]
    return Measured(
        prompt,
        completion,
        groups,
        *(statistics.median(seconds) for seconds in times.values()),
        *(spread(seconds) for seconds in times.values()),
        GROUP * (prompt + completion) / (prompt + GROUP * completion),
        float((left - right).abs().max()),
        float((left_gradient - right_gradient).norm() / left_gradient.norm()),
    )


def spread(seconds: list[float]) -> float:
    low, _, high = statistics.quantiles(seconds, n=4)
    return high - low


def show(found: list[Measured], parameters: int) -> None:
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s)"
    versions = (
        f"torch {torch.__version__}, transformers {transformers.__version__}, trl {trl.__version__}"
    )
    table = Table(
        title=f"Forward and backward of groups of {GROUP} rows, "
        f"{parameters / 1e6:.1f} M parameters\n{machine}; {versions}"
    )
    for name in (
        "P/C",
        "groups",
        "TRL, s",
        "SPARK, s",
        "ratio",
        "bound",
        "of bound",
        "log-probs",
        "gradient",
    ):
        table.add_column(name, justify="right")
    for row in found:
        table.add_row(
            f"{row.prompt}/{row.completion}",
            str(row.groups),
            f"{row.trl:.3f} ± {row.trl_spread / 2:.3f}",
            f"{row.spark:.3f} ± {row.spark_spread / 2:.3f}",
            f"{row.ratio:.2f}",
            f"{row.bound:.2f}",
            f"{100 * row.ratio / row.bound:.0f} %",
            f"{row.difference:.0e}",
            f"{row.gradient_difference:.0e}",
        )
    console = Console(width=110)
    console.print(table)
    console.print(
        "Medians ± half the middle half's width; log-probs: largest difference; gradient: relative."
    )


def main() -> None:
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else None
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    with tempfile.TemporaryDirectory() as folder:
        ours = trainer(Path(folder))
    found = [
        measure(ours, prompt, completion, groups, wanted or rounds)
        for prompt, completion, groups, rounds in SHAPES
    ]
    parameters = sum(weight.numel() for weight in ours.model.parameters())
    show(found, parameters)
    Path(".bench").mkdir(exist_ok=True)
    report = {
        "parameters": parameters,
        "group": GROUP,
        "threads": torch.get_num_threads(),
        "versions": {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "trl": trl.__version__,
        },
        "shapes": [asdict(row) | {"ratio": row.ratio} for row in found],
    }
    Path(".bench/shared_prompts.json").write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
