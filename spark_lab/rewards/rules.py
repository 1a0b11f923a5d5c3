"""What a reward may not be combined with, and why. Before torch is imported."""

from __future__ import annotations

from collections.abc import Sequence

from spark_lab.errors import Problem
from spark_lab.schema import Config


def check(config: Config, objectives: Sequence[str], questions: int) -> list[Problem]:
    """Contradictions between the reward, the objectives that are on, and the number of training
    questions."""
    known = round(config.reward.labelled * questions)
    return [*_check_labelled(config, objectives, known), *_check_judge(config, known)]


def _check_labelled(config: Config, objectives: Sequence[str], known: int) -> list[Problem]:
    reward, judge, key = config.reward, config.reward.self_judge, "reward.labelled"
    if judge is None:
        size = config.trainer.prompts_per_window
        if known < size:
            got = f"{reward.labelled}: {known} labelled questions for windows of {size}"
            expected = "a window's questions, as unlabelled ones are left out"
            fix = "a larger reward.labelled, or reward=self_judge"
            return [Problem(key, got, expected, fix)]
    elif reward.labelled == 1:
        got = "1 with reward=self_judge, which leaves no question to judge"
        fix = "reward.labelled=0.25, or reward=verifier"
        return [Problem(key, got, "some questions without a label", fix)]
    elif objectives and known == 0:
        got = f"{reward.labelled} with objective {'+'.join(objectives)}: no labelled question"
        fix = "reward.labelled=0.25, or objective=none"
        return [Problem(key, got, "labelled questions, as no others are recycled", fix)]
    return []


def _check_judge(config: Config, known: int) -> list[Problem]:
    judge, problems = config.reward.self_judge, []
    if judge is None:
        return []
    if judge.anchor > 0 and known == 0:
        got = f"{judge.anchor} without any labelled question"
        fix = "reward.labelled=0.25, or reward.self_judge.anchor=0"
        expected = "labelled questions to anchor with"
        problems.append(Problem("reward.self_judge.anchor", got, expected, fix))
    return problems
