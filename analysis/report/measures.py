"""The metrics of a report: which are shown, which are tested, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from spark_lab.analysis.verdicts import metric_words

STARTING_MODEL = "starting model"


class Measure(NamedTuple):
    """A column of the main table. A `tested` one is contrasted between the arms."""

    metric: str
    head: str
    tested: bool


# Everything tested goes into one Holm family, so only the four skills are.
MEASURES = (
    Measure("policy/accuracy", "policy accuracy", True),
    Measure("fixed/judge/pointwise_balanced_accuracy", "pointwise judge", True),
    Measure("fixed/judge/pairwise_accuracy", "pairwise judge", True),
    Measure("fixed/judge/swap_consistency", "swap consistency", False),
    Measure("fixed/reflect/fix_rate", "reflection fixes", True),
    Measure("fixed/reflect/break_rate", "reflection breaks", False),
)
LIVE = (
    Measure("live/judge/pointwise_balanced_accuracy", "pointwise judge", False),
    Measure("live/judge/pairwise_accuracy", "pairwise judge", False),
    Measure("live/judge/yes_rate", "says right", False),
    Measure("live/judge/label_yes_rate", "is right", False),
    Measure("live/judge/brier", "Brier score", False),
    Measure("live/judge/parse_failure_rate", "unreadable", False),
)

POLICY = "policy/accuracy"
JUDGE = "fixed/judge/pointwise_balanced_accuracy"
PAIRWISE = "fixed/judge/pairwise_accuracy"
FIXES = "fixed/reflect/fix_rate"

# Column, words. The first that the runs have is the axis of the curves.
COMPUTE = {
    "compute/generated_tokens": "generated tokens",
    "compute/rollouts": "rollouts",
    "step": "optimizer steps",
    "compute/trained_tokens": "trained tokens",
    "compute/updates": "updates",
    "compute/flops": "FLOPs",
    "compute/seconds": "seconds",
}

# What a reader who knows the paper still has to be told.
GLOSSARY = {
    "arm": "a choice of training objectives beside plain GRPO on the questions. “none” is GRPO alone;"
    " “pointwise”, “pairwise” and “reflect” recycle its rollouts into judge and reflection prompts"
    " for the same model, as in SPARK (arXiv 2509.22624).",
    "policy accuracy": "share of held-out questions whose answer the verifier accepts.",
    "pointwise judge": "balanced accuracy of “is this solution right?”: the mean of the shares of"
    " right and of wrong solutions that are judged so. One half is guessing; a judge that always"
    " says yes gets one half.",
    "pairwise judge": "share of (right, wrong) pairs where the right solution is picked, over both"
    " orders. One half is guessing.",
    "swap consistency": "share of pairs where the judge picks the same solution in both orders.",
    "reflection fixes / breaks": "share of wrong answers that are right after the model checked"
    " them, and of right answers that are wrong after it did.",
    "fixed judge set": "solutions sampled once from the starting model, so that judges are compared"
    " on the same material; “own answers” are sampled from the arm itself.",
    "final": "all numbers are those of the last checkpoint, never the best one seen.",
}


def measures(primary: Sequence[str] = ()) -> tuple[Measure, ...]:
    """MEASURES with the metrics that the sweeps' questions name in front, tested like the others."""
    heads = {measure.metric: measure.head for measure in MEASURES}
    asked = [Measure(name, heads.get(name, metric_words(name)), True) for name in primary]
    return (*asked, *(measure for measure in MEASURES if measure.metric not in primary))
