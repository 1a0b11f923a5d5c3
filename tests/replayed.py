"""A training on given rollouts: recorded by one process, trained on again by any number of them.

`torchrun replayed.py FOLDER NAME OVERRIDES...` writes FOLDER/NAME.json (the steps' metrics and the
way of scoring) and FOLDER/NAME.safetensors (the weights after them); start.safetensors before.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from tiny_spark import small, trainer_of

from spark_lab.training.trainer import SparkGRPOTrainer

ROLLOUTS = "rollouts.json"


class RecordingTrainer(SparkGRPOTrainer):
    """Keeps every window's completions."""

    windows: list[list[list[int]]]

    def _generate_single_turn(self, *args, **kwargs):
        completions, logps = super()._generate_single_turn(*args, **kwargs)
        self.windows.append(completions)
        return completions, logps


class ReplayingTrainer(SparkGRPOTrainer):
    """Takes its rank's share of the recorded windows for what it samples."""

    windows: list[list[list[int]]]

    def _generate_single_turn(self, prompt_ids, *_args, **_kwargs):
        first = self.accelerator.process_index * len(prompt_ids)
        return self.windows.pop(0)[first : first + len(prompt_ids)], None


def train(folder: Path, name: str, *overrides: str) -> None:
    rollouts, ranks = folder / ROLLOUTS, int(os.environ.get("WORLD_SIZE", "1"))
    trainer, notebook = trainer_of(small(*overrides), folder / name, ranks=ranks)
    replay = rollouts.exists()
    trainer.__class__ = ReplayingTrainer if replay else RecordingTrainer
    trainer.windows = json.loads(rollouts.read_text()) if replay else []
    if not replay:
        save(trainer, trainer.model.state_dict(), folder / "start.safetensors")
    trainer.train()
    trained = trainer.accelerator.get_state_dict(trainer.model)
    if not trainer.accelerator.is_main_process:
        return
    if not replay:
        rollouts.write_text(json.dumps(trainer.windows))
    found = {"scoring": trainer.scoring, "rows": notebook.rows}
    (folder / f"{name}.json").write_text(json.dumps(found))
    save(trainer, trained, folder / f"{name}.safetensors")


def save(trainer: SparkGRPOTrainer, state: dict[str, torch.Tensor], path: Path) -> None:
    """Tied weights once."""
    names = dict(trainer.accelerator.unwrap_model(trainer.model).named_parameters())
    save_file({name: state[name].contiguous() for name in names}, path)


if __name__ == "__main__":
    train(Path(sys.argv[1]), *sys.argv[2:])
    gc.collect()
    dist.destroy_process_group()
