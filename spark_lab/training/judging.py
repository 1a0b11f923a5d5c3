"""Where no verifier can grade, the policy is asked for its verdict, on the path of its rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from accelerate.utils import gather_object

from spark_lab.records import Prompt
from spark_lab.training.graded import Sample

if TYPE_CHECKING:
    from spark_lab.training.trainer import SparkGRPOTrainer


def judged(
    trainer: SparkGRPOTrainer, local: Sequence[Sample], places: Sequence[tuple[int, int]]
) -> list[Sample]:
    """This rank's samples, with the policy's own rewards where there were none.

    `places`: their (group, number in it). All ranks judge together.
    """
    prompts = trainer.loop.ask(gather_object(list(local)))
    slow = trainer.slow_judge
    with slow.in_place(trainer.model) if slow is not None else nullcontext():
        completions = _complete(trainer, prompts, at_once=len(local))
    rewards = trainer.loop.judge(completions)
    return [
        replace(sample, verdict=replace(sample.verdict, reward=rewards[group][place]))
        if group in rewards
        else sample
        for sample, (group, place) in zip(local, places, strict=True)
    ]


def _complete(trainer: SparkGRPOTrainer, prompts: list[Prompt], *, at_once: int) -> list[str]:
    """A sampled completion of each prompt; ranks share the work, `at_once` rows at a time.

    All ranks sample equally often, as a sharded model needs them: a rest is filled with repeats.
    """
    if not prompts:
        return []
    ranks, rank = trainer.accelerator.num_processes, trainer.accelerator.process_index
    each = -(-len(prompts) // ranks)
    padded = prompts + prompts[-1:] * (each * ranks - len(prompts))
    own = padded[rank * each : (rank + 1) * each]
    samples: list[tuple[str, int, int]] = []
    for start in range(0, each, at_once):
        rows = trainer.encoder(own[start : start + at_once])
        ids, _ = trainer.sample(rows, num_generations=1)
        texts = trainer.processing_class.batch_decode(ids, skip_special_tokens=True)
        texts = [trainer.encoder.chat.opening + text for text in texts]
        samples += zip(texts, [len(row.ids) for row in rows], map(len, ids), strict=True)
    samples = gather_object(samples)
    trainer.meter.add_samples(trainer.cost, [lengths for _, *lengths in samples])
    return [text for text, *_ in samples[: len(prompts)]]
