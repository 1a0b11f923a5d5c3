"""Small real runs of the shipped model for the tests: a composed config, its trainer, its metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spark_lab.build import build_trainer
from spark_lab.config import compose
from spark_lab.schema import Config
from spark_lab.training.callbacks import Recorder
from spark_lab.training.meter import Budget
from spark_lab.training.trainer import SparkGRPOTrainer

SMALL = [
    "task.chain_sums.train_size=44",
    "task.chain_sums.eval_size=4",
    "trainer.prompts_per_window=4",
    "trainer.group_size=4",
    "trainer.max_completion_length=24",
    "trainer.save_every=0",
    "recycle.capacity=12",
    "budget=steps",
    "tracking=off",
]
TIMINGS = {"time", "compute/seconds"}


def small(*overrides: str) -> Config:
    return compose([*SMALL, *overrides])


class Notebook:
    """Observes a training: keeps the rows without their timings, and the rollouts."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.rollout_rows: list[dict[str, Any]] = []

    def step(self, row: dict[str, Any]) -> None:
        self.rows.append({key: value for key, value in row.items() if key not in TIMINGS})

    def rollouts(self, step: int, rows: list[dict[str, Any]]) -> None:
        self.rollout_rows += rows

    def checkpoint(self, path: Path, step: int) -> None:
        pass


def trainer_of(
    config: Config, folder: Path, *, ranks: int = 1, evaluate=lambda step: None
) -> tuple[SparkGRPOTrainer, Notebook]:
    trainer, notebook = build_trainer(config, folder, ranks=ranks), Notebook()
    trainer.add_callback(
        Recorder(
            trainer.loop,
            trainer.meter,
            Budget.of(config.budget),
            notebook,
            evaluate,
            eval_every=config.eval.every,
            rollouts_every=1,
        )
    )
    return trainer, notebook
