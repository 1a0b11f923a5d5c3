"""How many rollouts, tokens and FLOPs a budget comes to at most, and how long GPUs take for them."""

from __future__ import annotations

from dataclasses import dataclass

from spark_lab.models.sizes import ModelSize
from spark_lab.schema import Config
from spark_lab.training.meter import ComputeMeter, ModelCost

# One H100 (SXM): dense bfloat16 operations and bytes of memory a second.
PEAK, BANDWIDTH = 989e12, 3.35e12
# Shares of these that are reached: by training and scoring, and by sampling.
TRAINING_SHARE, SAMPLING_SHARE = 0.4, 0.5


@dataclass(frozen=True, slots=True)
class Work:
    """Of a whole run. `flops` of training and scoring, and of sampling; the counts are a meter's."""

    windows: float
    rollouts: float
    tokens: float
    training_flops: float
    sampling_flops: float


def work(config: Config, cost: ModelCost, prompts: tuple[float, float]) -> Work:
    """At most: every completion is as long as it may be. `prompts`: tokens of a question's prompt and
    of a judge's, in equal numbers where there are judge windows.

    What a window costs is counted as a run counts it (`training.meter`).
    """
    trainer, slots = config.trainer, config.objective
    judged = any(slot is not None for slot in vars(slots).values())
    rows = trainer.prompts_per_window * trainer.group_size
    spent = ComputeMeter()
    sampled = ComputeMeter()
    lengths = [
        (round(length), trainer.max_completion_length)
        for length in (prompts if judged else prompts[:1])
    ]
    several = trainer.updates_per_window * trainer.num_iterations > 1
    scoring = several + (trainer.beta > 0)
    # One row of every kind stands for all.
    spent.add_window(
        cost,
        lengths,
        iterations=trainer.num_iterations,
        scoring_passes=scoring,
        recompute=trainer.activation_checkpointing,
    )
    sampled.add_samples(cost, lengths)
    windows = _windows(config, rows, spent, judged=judged)
    total = windows * rows / len(lengths)
    return Work(
        windows,
        windows * rows,
        windows * rows * trainer.max_completion_length,
        total * (spent.flops - sampled.flops),
        total * sampled.flops,
    )


def _windows(config: Config, rows: int, spent: ComputeMeter, *, judged: bool) -> float:
    """How many windows the budget pays for. In seconds it says nothing: none."""
    trainer, limit = config.trainer, config.budget.limit
    at_once = 2 if judged and config.schedule.kind == "joint" else 1
    per_row = {
        "rollouts": 1.0,
        "generated_tokens": trainer.max_completion_length,
        "flops": spent.flops / spent.rollouts,
    }
    if config.budget.unit == "steps":
        return limit * at_once / (trainer.updates_per_window * trainer.num_iterations)
    if config.budget.unit == "seconds":
        return 0.0
    return limit / (rows * per_row[config.budget.unit])


def model_cost(size: ModelSize) -> ModelCost:
    """What a run's meter would count."""
    used = size.parameters - size.vision - (0 if size.tied else size.embedding)
    return ModelCost(used, size.layers, size.heads * size.head_dim)


def training_hours(done: Work) -> float:
    """GPU-hours of training and scoring, on any number of GPUs."""
    return done.training_flops / (TRAINING_SHARE * PEAK) / 3600


def sampling_hours(
    config: Config, size: ModelSize, done: Work, prompt: float, *, gpus: int, compute_bytes: int
) -> float:
    """GPU-hours of sampling, which reads memory rather than computes: for every token all weights
    once, and the cache of all rows, half full on average."""
    trainer = config.trainer
    rows = trainer.prompts_per_window * trainer.group_size / gpus
    length = trainer.max_completion_length
    cache = 2 * compute_bytes * size.layers * size.kv_heads * size.head_dim
    read = compute_bytes * size.parameters + rows * cache * (prompt + length / 2)
    reading = done.windows * length * read / (SAMPLING_SHARE * BANDWIDTH)
    computing = done.sampling_flops / gpus / (TRAINING_SHARE * PEAK)
    return gpus * max(reading, computing) / 3600
