"""The skills a run is judged by, in the order, words and colours that every table uses."""

from __future__ import annotations

from typing import NamedTuple


class Skill(NamedTuple):
    """A training objective and the held-out metric that says how well it is learned.

    `colour` is of the Okabe-Ito palette, which stays distinct for colour-blind readers.
    """

    objective: str
    metric: str
    words: str
    colour: str


SKILLS = (
    Skill("solve", "policy/accuracy", "policy accuracy", "#56B4E9"),
    Skill(
        "pointwise",
        "fixed/judge/pointwise_balanced_accuracy",
        "judge, balanced accuracy",
        "#E69F00",
    ),
    Skill("pairwise", "fixed/judge/pairwise_accuracy", "judge, pairwise accuracy", "#009E73"),
    Skill("reflect", "fixed/reflect/fix_rate", "wrong answers fixed", "#CC79A7"),
)
