"""How far what the learner was told is from the truth. Measured, and never trained on."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence

from spark_lab.rewards import Labels
from spark_lab.rewards.collapse import Tally
from spark_lab.training.graded import GradedGroup, Sample


def reward_metrics(
    graded: Sequence[GradedGroup], labels: Labels, tally: Tally | None
) -> dict[str, float]:
    """`reward/*` of these groups; nothing where the verifier always tells the truth.

    flip_rate: turned verdicts among the verifier's, readable answers only; also among those on wrong
    answers (false_positive_rate) and on right ones. labelled_fraction: of the questions' groups.
    Of the self-judged rollouts: self_reward and true_accuracy are means; hacking_gap is what the
    first exceeds the second by (of a tournament, whose mean is one half by its rules, it says
    nothing); self_accuracy is the share of (right, wrong) pairs inside groups that the rewards put
    in order, a tie counting half: it is order inside groups that GRPO learns from. Of the judge:
    how many verdicts (judgements; equal solutions share theirs), unreadable ones, and those for the
    first label (judge_yes_rate of one solution, judge_first_rate of two).
    """
    metrics: dict[str, float] = {}
    if labels.noisy:
        metrics |= _noise(graded)
    if not labels.complete:
        hidden = [
            group.samples[0].hidden is not None for group in graded if isinstance(group.source, int)
        ]
        if hidden:
            metrics["labelled_fraction"] = 1.0 - statistics.fmean(hidden)
    if tally is not None:
        judged = [group.samples for group in graded if group.samples[0].hidden is not None]
        metrics |= _self_reward(judged, gap=tally.kind == "pointwise") | _verdicts(tally)
    return {f"reward/{name}": value for name, value in metrics.items()}


def _noise(graded: Sequence[GradedGroup]) -> dict[str, float]:
    verdicts = [
        (sample.right, sample.verdict.flipped)
        for group in graded
        for sample in group.samples
        if group.verified and sample.verdict.parsed
    ]
    chosen = {
        "flip_rate": [flipped for _, flipped in verdicts],
        "false_positive_rate": [flipped for right, flipped in verdicts if not right],
        "false_negative_rate": [flipped for right, flipped in verdicts if right],
    }
    return {name: statistics.fmean(flips) for name, flips in chosen.items() if flips}


def _self_reward(judged: Sequence[Sequence[Sample]], *, gap: bool) -> dict[str, float]:
    samples = list(itertools.chain.from_iterable(judged))
    if not samples:
        return {}
    reward = statistics.fmean(sample.verdict.reward for sample in samples)
    accuracy = statistics.fmean(sample.right for sample in samples)
    metrics = {"self_reward": reward, "true_accuracy": accuracy}
    if gap:
        metrics["hacking_gap"] = reward - accuracy
    ordered = [
        0.5 if right == wrong else float(right > wrong)
        for group in judged
        for right in (sample.verdict.reward for sample in group if sample.right)
        for wrong in (sample.verdict.reward for sample in group if not sample.right)
    ]
    if ordered:
        metrics["self_accuracy"] = statistics.fmean(ordered)
    return metrics


def _verdicts(tally: Tally) -> dict[str, float]:
    metrics: dict[str, float] = {"judgements": tally.asked}
    if tally.too_long:
        metrics["judge_too_long"] = tally.too_long
    if tally.asked:
        metrics["judge_parse_failure_rate"] = tally.unreadable / tally.asked
    if read := tally.first + tally.second:
        name = "judge_yes_rate" if tally.kind == "pointwise" else "judge_first_rate"
        metrics[name] = tally.first / read
    return metrics
