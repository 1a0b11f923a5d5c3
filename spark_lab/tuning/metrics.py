"""Which metrics a search can be for: those that the evaluation of its runs will measure."""

from __future__ import annotations

import re

from spark_lab.errors import Problem, unknown
from spark_lab.schema import Config
from spark_lab.tuning.settings import Settings

_POLICY = ("accuracy", "sampled_accuracy", "parse_failure_rate", "truncated_rate", "tokens")
_JUDGE = (
    *("pointwise_balanced_accuracy", "pointwise_accuracy", "pointwise_precision"),
    *("pointwise_recall", "pointwise_f1", "pairwise_accuracy", "swap_consistency"),
    *("parse_failure_rate", "yes_rate", "label_yes_rate"),
)
_CALIBRATION = ("brier", "ece")
_REFLECT = ("fix_rate", "break_rate", "told_wrong_fix_rate")
_COMPUTE = ("rollouts", "generated_tokens", "trained_tokens", "updates", "flops", "seconds")


def known(config: Config) -> list[str]:
    """What the final evaluation of a run of this configuration measures."""
    policy = [*_POLICY, *(["greedy_accuracy"] if config.eval.answer_temperature > 0 else [])]
    policy.append(f"pass_at_{config.eval.samples}")
    judge = [*_JUDGE, *(_CALIBRATION if config.eval.calibration else ())]
    sets = ["fixed", *(["live"] if config.eval.live else [])]
    scaled = [] if config.eval.test_time == "off" else ["tts/accuracy", "tts/tokens_per_question"]
    return [
        *(f"policy/{name}" for name in policy),
        *(f"{one}/judge/{name}" for one in sets for name in judge),
        *(f"{one}/reflect/{name}" for one in sets for name in _REFLECT),
        *scaled,
        *(f"compute/{name}" for name in _COMPUTE),
    ]


def check(settings: Settings, config: Config) -> list[Problem]:
    """Metrics that are not measured, are there twice, or can't differ between trials."""
    names = known(config)
    problems = []
    for key in ("maximize", "minimize"):
        where = f"hydra.sweeper.{key}"
        problems += [
            unknown(where, metric, names, f"{where}=")
            for metric in getattr(settings, key)
            if metric not in names
        ]
    where = "hydra.sweeper.constraints"
    problems += [
        unknown(where, bound.metric, names)
        for bound in settings.bounds
        if bound.metric not in names
    ]
    metrics = settings.metrics
    where = "hydra.sweeper.maximize"
    if not metrics:
        problems.append(Problem(where, "no metric", "one or more", f"{where}=[policy/accuracy]"))
    for metric in dict.fromkeys(m for m in metrics if metrics.count(m) > 1):
        problems.append(Problem(where, f"{metric} twice", "each metric once", "leave one out"))
    unit = config.budget.unit
    if f"compute/{'updates' if unit == 'steps' else unit}" in metrics:
        fix = f"budget=steps or rollouts, or leave out {re.sub('^steps$', 'updates', unit)}"
        got = f"the unit of the budget ({unit}), which all trials spend alike"
        problems.append(Problem("hydra.sweeper.minimize", got, "what differs between trials", fix))
    return problems
