"""A SPARK trainer and TRL's, alike in everything, and the windows that both go through in turns."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from spark_lab.build import build_trainer
from spark_lab.config import compose
from spark_lab.models.chat import messages
from spark_lab.models.load import load_model
from spark_lab.records import Item, Prompt
from spark_lab.schema import Config
from spark_lab.training.schedule import Window
from spark_lab.training.trainer import SparkGRPOTrainer
from speed.measure import now
from speed.scales import Scale, prompt

GROUP = 8
# Tokens of prompt and completion of a judge window.
SHAPES = ((100, 30), (200, 64), (400, 32), (1000, 200))
# With this rate weights stay as they are, so that every window is sampled from the same ones.
BASE = ["trainer.save_every=0", "eval.every=0", "tracking=off", "trainer.learning_rate=1e-30"]
_SHARED = (
    "per_device_train_batch_size steps_per_generation gradient_accumulation_steps num_generations "
    "num_iterations max_completion_length temperature top_p use_cpu bf16 beta loss_type seed "
    "learning_rate weight_decay adam_beta1 adam_beta2 max_grad_norm gradient_checkpointing "
    "report_to disable_tqdm remove_unused_columns"
)


def bound(prompt: int, completion: int, group: int = GROUP) -> float:
    """How many times fewer positions there are with each prompt once: G (P + C) / (P + G C)."""
    return group * (prompt + completion) / (prompt + group * completion)


def configure(*overrides: str) -> Config:
    return compose([*BASE, *overrides])


def spark(config: Config) -> SparkGRPOTrainer:
    with TemporaryDirectory() as folder:
        return _ready(build_trainer(config, Path(folder)))


def _ready(trainer: GRPOTrainer) -> GRPOTrainer:
    """What train() does to the model before its first step."""
    if trainer.args.gradient_checkpointing:
        trainer.model.activation_checkpointing_enable()
    return trainer


def plain(ours: SparkGRPOTrainer, config: Config) -> GRPOTrainer:
    """TRL with the same arguments and the same weights; SPARK's loop grades what it writes."""
    loop = ours.loop

    def verifier(completions, group, **_):
        return [
            loop.grade(index, turns[0]["content"]).reward
            for turns, index in zip(completions, group, strict=True)
        ]

    model, tokenizer = load_model(config.model)
    ticks = Dataset.from_dict({"prompt": [""] * len(ours.train_dataset)})
    with TemporaryDirectory() as folder:
        shared = {name: getattr(ours.args, name) for name in _SHARED.split()}
        args = GRPOConfig(folder, **shared)
        trainer = GRPOTrainer(
            model, verifier, args=args, train_dataset=ticks, processing_class=tokenizer
        )
    return _ready(trainer)


def rows_of(prompts: list[Prompt], system: str | None, group: int) -> list[dict]:
    """TRL's input for a window of groups with these prompts."""
    return [
        {"prompt": messages(prompt.text, system), "group": index}
        for index, prompt in enumerate(prompts)
        for _ in range(group)
    ]


def clock_rows(ours: SparkGRPOTrainer) -> list[dict]:
    """SPARK's input for a window: its loop plans what is in it."""
    return [{"prompt": ""}] * ours.args.generation_batch_size


@dataclass(frozen=True, slots=True)
class Parts:
    """Seconds of a step: sampling (with grading and recycling), loss and gradient, the update."""

    sample: float = 0.0
    train: float = 0.0
    update: float = 0.0

    def __add__(self, other: Parts) -> Parts:
        return Parts(
            self.sample + other.sample, self.train + other.train, self.update + other.update
        )

    @property
    def total(self) -> float:
        return self.sample + self.train + self.update


def window(trainer: GRPOTrainer, rows: list[dict], seed: int) -> Parts:
    """Sample, grade and score `rows`; add the gradient of their loss."""
    torch.manual_seed(seed)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    trainer._step, sample, train = 0, 0.0, 0.0
    for _ in range(trainer.args.steps_per_generation):
        began = now()
        inputs = trainer._prepare_inputs(rows)
        sampled = now()
        trainer.compute_loss(trainer.model, inputs).backward()
        sample, train = sample + sampled - began, train + now() - sampled
        trainer._step += 1
    trainer._buffered_inputs = None
    trainer._metrics["train"].clear()
    return Parts(sample, train)


def update(trainer: GRPOTrainer) -> Parts:
    began = now()
    if trainer.optimizer is None:
        trainer.create_optimizer()
    torch.nn.utils.clip_grad_norm_(trainer.model.parameters(), trainer.args.max_grad_norm)
    trainer.optimizer.step()
    trainer.optimizer.zero_grad()
    return Parts(update=now() - began)


class Pair:
    """The two trainers; TRL gets the prompts that SPARK's loop planned."""

    def __init__(self, *overrides: str):
        self._config = configure(*overrides)
        self.ours = spark(self._config)
        self.theirs = plain(self.ours, self._config)

    def step(self, seed: int, *, windows: int = 1, updates: int = 0) -> dict[str, Parts]:
        """Seconds of so many windows and updates (the last of them after the last window)."""
        seconds = {"trl": Parts(), "spark": Parts()}
        system, group = self._config.model.system_prompt, self._config.trainer.group_size
        for index in range(windows):
            with listening(self.ours.loop) as heard:
                seconds["spark"] += window(self.ours, clock_rows(self.ours), seed + index)
            same = rows_of(heard[0], system, group)
            seconds["trl"] += window(self.theirs, same, seed + index)
            if windows - index <= updates:
                seconds["spark"] += update(self.ours)
                seconds["trl"] += update(self.theirs)
        self.ours.model.zero_grad()
        self.theirs.model.zero_grad()
        self.ours.loop.drain()
        return seconds


@contextmanager
def listening(loop) -> Iterator[list[list[Prompt]]]:
    """The prompts of every window that the loop plans meanwhile."""
    plan, heard = loop.plan, []

    def recorded() -> list[Prompt]:
        heard.append(plan())
        return heard[-1]

    loop.plan = recorded
    try:
        yield heard
    finally:
        loop.plan = plan


class JudgeWindows:
    """A schedule of nothing but pointwise items, whose prompts have an exact number of tokens."""

    def __init__(self, groups: int, tokens: int):
        self._groups = groups
        self._tokens = tokens
        self._rng = random.Random(0)

    def plan(self, *_) -> Window:
        items = [
            Item(
                objective="pointwise",
                form="yes_no",
                material="working",
                prompt=prompt(self._tokens, self._rng),
                label=self._rng.choice(("Yes", "No")),
                question=0,
                window=0,
                source_correct=True,
            )
            for _ in range(self._groups)
        ]
        return Window(items)


def judge_overrides(scale: Scale, folder: Path, shape: int, *overrides: str) -> list[str]:
    """The configuration of a judge window of SHAPES[shape]; `folder` holds the scale's model."""
    return [
        "model=local",
        f"model.path={folder}",
        "model.templates=terse",
        "objective=pointwise",
        "schedule=alternate",
        "recycle.capacity=16",
        f"trainer.prompts_per_window={scale.groups[shape]}",
        f"trainer.group_size={GROUP}",
        f"trainer.max_completion_length={SHAPES[shape][1]}",
        *overrides,
    ]


def judging(trainer: SparkGRPOTrainer, scale: Scale, shape: int) -> None:
    """From now on the trainer's windows are judge windows of SHAPES[shape]."""
    trainer.loop._schedule = JudgeWindows(scale.groups[shape], SHAPES[shape][0])
