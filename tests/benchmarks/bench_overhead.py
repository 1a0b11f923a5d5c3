"""What SPARK's own code costs beside TRL: time and peak memory of the same windows, side by side.

Both trainers see the same prompts with the same random state, so they sample the same completions
of the same lengths, in turns within one process. Memory is the peak of one process each. `python tests/benchmarks/bench_overhead.py [windows]`.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import trl
from datasets import Dataset
from rich.console import Console
from rich.table import Table
from trl import GRPOConfig, GRPOTrainer

from spark_lab.build import build_trainer
from spark_lab.config import compose
from spark_lab.models.chat import messages
from spark_lab.models.load import load_model
from spark_lab.training.trainer import SparkGRPOTrainer

OVERRIDES = ["trainer.save_every=0", "eval.every=0", "tracking=off"]
WARM_UP = 4


def spark(folder: Path) -> SparkGRPOTrainer:
    return build_trainer(compose(OVERRIDES), folder)


def plain(ours: SparkGRPOTrainer, folder: Path) -> GRPOTrainer:
    """TRL with the same arguments, and the same grading as its reward function."""
    fields = "per_device_train_batch_size steps_per_generation gradient_accumulation_steps"
    fields += " num_generations max_completion_length temperature use_cpu bf16 beta loss_type seed"
    shared = {name: getattr(ours.args, name) for name in fields.split()}
    args = GRPOConfig(
        str(folder),
        report_to="none",
        disable_tqdm=True,
        gradient_checkpointing=False,
        remove_unused_columns=False,
        **shared,
    )

    def verifier(completions, group, **_):
        return [
            ours.loop.grade(index, turns[0]["content"]).reward
            for turns, index in zip(completions, group, strict=True)
        ]

    model, tokenizer = load_model(compose(OVERRIDES).model)
    rows = Dataset.from_dict({"prompt": [""] * len(ours.train_dataset)})
    return GRPOTrainer(model, verifier, args=args, train_dataset=rows, processing_class=tokenizer)


def window(trainer: GRPOTrainer, rows: list[dict], seed: int) -> dict[str, float]:
    """Seconds of sampling, scoring and grading one window, and of its loss and gradient."""
    torch.manual_seed(seed)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    trainer._step = 0
    began = time.perf_counter()
    inputs = trainer._prepare_inputs(rows)
    sampled = time.perf_counter()
    trainer.compute_loss(trainer.model, inputs).backward()
    trained = time.perf_counter()
    trainer.model.zero_grad()
    trainer._metrics["train"].clear()
    return {"sample and score": sampled - began, "loss and gradient": trained - sampled}


class OwnTime:
    """Times the calls of the given methods of an object: what SPARK adds to a window."""

    def __init__(self, owner: object, *names: str):
        self.seconds = dict.fromkeys(names, 0.0)
        for name in names:
            setattr(owner, name, self._timed(name, getattr(owner, name)))

    def _timed(self, name, method):
        def timed(*args):
            began = time.perf_counter()
            try:
                return method(*args)
            finally:
                self.seconds[name] += time.perf_counter() - began

        return timed


def compare(windows: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        ours = spark(Path(folder))
        theirs = plain(ours, Path(folder) / "plain")
    rows = [{"prompt": "", "group": 0}] * ours.args.generation_batch_size
    own = None
    times: dict[str, list[dict[str, float]]] = {"spark": [], "trl": []}
    for index in range(WARM_UP + windows):
        if index == WARM_UP:
            own = OwnTime(ours.loop, "plan", "absorb")
            own_trainer = OwnTime(ours, "_weigh", "_absorb")
            times = {"spark": [], "trl": []}
        times["spark"].append(window(ours, rows, index))
        same = [
            {"prompt": messages(ours.loop._prompt(source), None), "group": group}
            for group, source in enumerate(ours.loop._plan)
            for _ in range(ours.num_generations)
        ]
        times["trl"].append(window(theirs, same, index))
        ours.loop.drain()
    added = own.seconds["plan"] + sum(own_trainer.seconds.values())
    total = sum(sum(row.values()) for row in times["spark"])
    return {
        "windows": windows,
        "rows per window": len(rows),
        "times": {
            name: {part: statistics.median(row[part] for row in found) for part in found[0]}
            for name, found in times.items()
        },
        "own ms per window": 1000 * added / windows,
        "own parts ms": {
            "plan": 1000 * own.seconds["plan"] / windows,
            "weigh": 1000 * own_trainer.seconds["_weigh"] / windows,
            "gather, recycle, meter": 1000 * own_trainer.seconds["_absorb"] / windows,
        },
        "own share": added / total,
    }


def peak(which: str, windows: int) -> float:
    """MiB of a process that runs one of the two alone."""
    with tempfile.TemporaryDirectory() as folder:
        ours = spark(Path(folder))
        trainer = ours if which == "spark" else plain(ours, Path(folder) / "plain")
        rows = [{"prompt": "", "group": 0}] * ours.args.generation_batch_size
        for index in range(windows):
            if which == "trl":
                prompts = ours.loop.plan()
                rows = [
                    {"prompt": messages(prompt, None), "group": group}
                    for group, prompt in enumerate(prompts)
                    for _ in range(ours.num_generations)
                ]
            window(trainer, rows, index)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_peak(which: str, windows: int) -> float:
    command = [sys.executable, __file__, "--peak", which, str(windows)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(found.stdout.splitlines()[-1])


def show(found: dict) -> None:
    machine = f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    table = Table(
        title=f"SPARK beside TRL {trl.__version__}: the same windows of {found['rows per window']} "
        f"rows, medians of {found['windows']}\n{machine}"
    )
    for name in ("", "TRL", "SPARK", "ratio"):
        table.add_column(name, justify="left" if not name else "right")
    times = found["times"]
    for part in times["trl"]:
        left, right = (1000 * times[name][part] for name in ("trl", "spark"))
        table.add_row(f"{part}, ms", f"{left:.1f}", f"{right:.1f}", f"{right / left:.3f}")
    left, right = (1000 * sum(times[name].values()) for name in ("trl", "spark"))
    table.add_row("window, ms", f"{left:.1f}", f"{right:.1f}", f"{right / left:.3f}")
    left, right = found["peak MiB"]["trl"], found["peak MiB"]["spark"]
    table.add_row("peak memory, MiB", f"{left:.0f}", f"{right:.0f}", f"{right / left:.3f}")
    console = Console()
    console.print(table)
    parts = ", ".join(f"{name} {ms:.2f}" for name, ms in found["own parts ms"].items())
    console.print(
        f"SPARK's own code: {found['own ms per window']:.2f} ms a window "
        f"= {100 * found['own share']:.2f} % ({parts} ms)"
    )


def main() -> None:
    if "--peak" in sys.argv:
        print(peak(sys.argv[2], int(sys.argv[3])))
        return
    windows = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    found = compare(windows)
    found["peak MiB"] = {name: measure_peak(name, 12) for name in ("trl", "spark")}
    show(found)
    Path(".bench").mkdir(exist_ok=True)
    Path(".bench/overhead.json").write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
