"""Which wrong solution stands beside a right one."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from spark_lab.records import Rollout


def choose_wrong(
    kind: str, wrong: Sequence[Rollout], right: Rollout, material: str, rng: random.Random
) -> Rollout:
    """One of the wrong rollouts, of which there must be one; ties are broken at random.

    any: each alike. most_frequent: one with the commonest wrong answer of the group, the mistake
    that the policy believes in. closest_length: the one whose shown text is nearest to the right
    one's in characters, so that length gives nothing away.
    """
    if kind == "most_frequent":
        answers = Counter(rollout.verdict.answer for rollout in wrong if rollout.verdict.parsed)
        most = max(answers.values(), default=0)
        wrong = [rollout for rollout in wrong if answers[rollout.verdict.answer] == most]
    elif kind == "closest_length":
        length = len(right.shown(material))
        gaps = [abs(len(rollout.shown(material)) - length) for rollout in wrong]
        wrong = [rollout for rollout, gap in zip(wrong, gaps, strict=True) if gap == min(gaps)]
    return rng.choice(wrong)
