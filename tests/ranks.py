"""Run by torchrun in test_ranks.py: trainings whose every window is checked on all ranks.

`ranks.py FOLDER` runs one for each entry of FOLDER/cases.json, a name with its overrides.
"""

from __future__ import annotations

import gc
import hashlib
import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from accelerate.utils import gather_object
from tiny_spark import small, trainer_of

from spark_lab.config import compose
from spark_lab.training.trainer import SparkGRPOTrainer


class CheckedTrainer(SparkGRPOTrainer):
    """Asserts after each window that ranks agree and that groups are whole."""

    case: str

    def _absorb(self, window):
        super()._absorb(window)
        state = json.dumps(self.loop.state_dict(), sort_keys=True).encode()
        states = gather_object([hashlib.sha256(state).hexdigest()])
        assert len(states) == 2 and len(set(states)) == 1
        advantages = torch.tensor(gather_object(window["advantages"].tolist()))
        groups = advantages.view(-1, self.num_generations)
        sampled = [self.loop.given(group) is None for group in range(len(groups))]
        assert groups[sampled].sum(1).abs().max() < 1e-4
        assert all(len(set(given.tolist())) == 1 for given in groups[[not one for one in sampled]])
        rows = len(window["advantages"])
        assert rows % self.num_generations != 0, "a group must be split over the ranks"
        # In one piece: the ranks share their output.
        rank = self.accelerator.process_index
        print(f"window ok rank {rank}: {self.case}\n", end="", flush=True)


def train(case: str, folder: Path, overrides: list[str]) -> None:
    always = ["objective=spark", "budget.limit=6", *overrides]
    own_task = any(word.startswith("task=") for word in overrides)
    config = compose(always) if own_task else small(*always)
    trainer, notebook = trainer_of(config, folder, ranks=2)
    trainer.__class__, trainer.case = CheckedTrainer, case
    trainer.train()
    if trainer.accelerator.is_main_process:
        judged = [row for row in notebook.rows if any("train/p" in key for key in row)]
        assert judged, f"{case} must have had judge windows"


root = Path(sys.argv[1])
for number, (case, words) in enumerate(json.loads((root / "cases.json").read_text()).items()):
    train(case, root / str(number), words)
# gloo's threads take Python's lock to free what they sent. A process group that outlives the
# interpreter, as one that a trainer holds, would abort the process there.
gc.collect()
dist.destroy_process_group()
