"""A window's completions once they are graded, and what they say of each objective."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from spark_lab.records import Prompt, Verdict, cut_thinking
from spark_lab.training.schedule import Source


@dataclass(frozen=True, slots=True)
class Sample:
    """One graded completion, as every rank gets to know it. Lengths are in tokens.

    `hidden` is what a verifier with all answers says, of a question without a label: measured, and
    never trained on.
    """

    text: str
    verdict: Verdict
    prompt_length: int
    length: int
    truncated: bool
    hidden: bool | None = None

    @property
    def right(self) -> bool:
        """The truth, whatever the learner was told."""
        if self.hidden is not None:
            return self.hidden
        return self.verdict.correct != self.verdict.flipped


@dataclass(frozen=True, slots=True)
class GradedGroup:
    """The samples of one source in one window. `label` is what a correct one answers.

    `verified`: the verifier said what they are worth, not the label of a judgement or the policy.
    `extra`: sampled for judging only (see `training.schedule`). `given`: not sampled at all (see
    `training.supervised`).
    """

    source: Source
    window: int
    prompt: Prompt
    label: str | None
    verified: bool
    samples: tuple[Sample, ...]
    extra: bool
    given: bool

    @property
    def objective(self) -> str:
        return "solve" if isinstance(self.source, int) else self.source.objective

    @property
    def rewards(self) -> list[float]:
        return [sample.verdict.reward for sample in self.samples]


def objective_metrics(name: str, groups: Sequence[GradedGroup]) -> dict[str, float]:
    """Reward statistics over samples; `zero_std_fraction` over groups (no gradient in those);
    `thinking_cut_fraction` where any sample thinks: those that end before their thinking block does.

    Of given completions there are only their number, without copies, and their length.
    """
    samples = [sample for group in groups for sample in group.samples]
    values = {
        "count": len(groups) if groups[0].given else len(samples),
        "length": statistics.fmean(sample.length for sample in samples),
    }
    if not groups[0].given:
        values |= _reward_metrics(groups)
    return {f"train/{name}/{key}": value for key, value in values.items()}


def _reward_metrics(groups: Sequence[GradedGroup]) -> dict[str, float]:
    samples = [sample for group in groups for sample in group.samples]
    rewards = [sample.verdict.reward for sample in samples]
    flat = [len(set(group.rewards)) == 1 for group in groups]
    found = {
        "reward_mean": statistics.fmean(rewards),
        "reward_std": statistics.pstdev(rewards),
        "zero_std_fraction": statistics.fmean(flat),
        "parse_failure_rate": statistics.fmean(not sample.verdict.parsed for sample in samples),
        "truncated_fraction": statistics.fmean(sample.truncated for sample in samples),
    }
    if any("think>" in sample.text for sample in samples):
        cut = [cut_thinking(sample.text) for sample in samples]
        found["thinking_cut_fraction"] = statistics.fmean(cut)
    return found
