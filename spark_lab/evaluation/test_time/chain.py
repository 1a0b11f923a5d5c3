"""Judge, and reflect if rejected: SPARK's test-time scaling, one round at a time.

The paper goes on until the judge accepts; the released code stops after two rounds, and does not
judge the last reflection. Both judge the final answer alone, and take anything that is not a
readable yes for a no. An answer that can't be read has nothing to judge: here it is reflected on by
its working (the released code shows the word None).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spark_lab.evaluation.judge import pointwise_item
from spark_lab.evaluation.reflection import reflection_item
from spark_lab.evaluation.test_time.asking import Asker, Reply
from spark_lab.evaluation.trial import MATERIAL
from spark_lab.prompts import TemplateSet
from spark_lab.records import Question, Rollout

FORM = "told_wrong"


@dataclass(slots=True)
class Chain:
    """The present answer to a question, and all tokens spent on it so far."""

    question: Question
    rollout: Rollout
    tokens: int
    accepted: bool = False


def judge(
    chains: Sequence[Chain], asker: Asker, templates: TemplateSet, *, weigh: bool = False
) -> list[Reply]:
    """Judge the answers that were not accepted yet and that can be read."""
    due = [chain for chain in chains if not chain.accepted and chain.rollout.verdict.parsed]
    items = [pointwise_item(chain.question, chain.rollout, templates) for chain in due]
    replies = asker.ask(items, weigh=weigh)
    for chain, reply in zip(due, replies, strict=True):
        chain.accepted = reply.accepts
        chain.tokens += reply.completion.tokens
    return replies


def reflect(chains: Sequence[Chain], asker: Asker, templates: TemplateSet) -> list[Reply]:
    """Replace the answers that were not accepted; an empty one has nothing to reflect on."""
    due = [(chain, _material(chain.rollout)) for chain in chains if not chain.accepted]
    due = [(chain, material) for chain, material in due if chain.rollout.showable(material)]
    replies = asker.ask(
        [
            reflection_item(FORM, material, chain.question, chain.rollout, templates)
            for chain, material in due
        ]
    )
    for (chain, _), reply in zip(due, replies, strict=True):
        chain.rollout = Rollout(reply.completion.text, reply.verdict)
        chain.tokens += reply.completion.tokens
    return replies


def _material(rollout: Rollout) -> str:
    return MATERIAL if rollout.verdict.parsed else "working"
