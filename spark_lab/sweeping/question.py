"""What a named sweep asks: kept in its plan and shown on top of its report, never part of a run."""

from __future__ import annotations

import re
import typing
from collections.abc import Sequence
from dataclasses import replace

from omegaconf import DictConfig, OmegaConf

from spark_lab.config import mismatches
from spark_lab.errors import Problem, UserError
from spark_lab.schema import QuestionConfig

_METRIC = re.compile(r"[a-z]\w*(/[a-z]\w*)+")


def read(node: DictConfig) -> QuestionConfig | None:
    """The `question` of a composed sweep, None without one. UserError with all that is wrong."""
    stored = node.get("question")
    if stored is None:
        return None
    values = OmegaConf.to_container(stored) if OmegaConf.is_config(stored) else stored
    problems = mismatches(
        QuestionConfig, values, "question." if isinstance(values, dict) else "question"
    )
    if problems:
        raise UserError(*problems)
    question = QuestionConfig(**typing.cast(dict, values))
    if question.primary is not None and not _METRIC.fullmatch(question.primary):
        fix = "question.primary=policy/accuracy, or null where no metric answers it"
        raise UserError(
            Problem("question.primary", repr(question.primary), "the name of a metric", fix)
        )
    return question


def with_arms(question: QuestionConfig, arms: Sequence[str]) -> QuestionConfig:
    """The question with its baseline as it is called among these arms.

    An axis that was typed besides lengthens the names ("spark" is "spark,beta=0"): the first that
    begins so is the baseline. A single arm is held against its own start. UserError for no such arm.
    """
    named = question.baseline
    if named is None or len(arms) == 1:
        return replace(question, baseline=None)
    found = [arm for arm in arms if arm == named or arm.startswith(f"{named},")]
    if found:
        return replace(question, baseline=found[0])
    fix = f"question.baseline='{arms[0]}', or question.baseline=null for the report's own choice"
    raise UserError(Problem("question.baseline", named, f"one of {', '.join(arms)}", fix))
