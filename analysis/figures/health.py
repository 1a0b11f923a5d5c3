"""Health panel: the quantities that go wrong before the accuracy does."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from matplotlib.figure import Figure

from spark_lab.analysis.figures.curves import Curve, Panel, curve_panels
from spark_lab.analysis.figures.look import ArmMark

# name -> (title, is a fraction, level to compare with)
SIGNS: dict[str, tuple[str, bool, float | None]] = {
    "zero_std_fraction": ("groups without signal", True, None),
    "parse_failure_rate": ("unreadable completions", True, None),
    "truncated_fraction": ("clipped completions", True, None),
    "thinking_cut_fraction": ("clipped thoughts", True, None),
    "yes_rate": ("judge says right", True, 0.5),
    "label_yes_rate": ("label is right", True, 0.5),
    "age_windows": ("age of recycled items, windows", False, None),
    "entropy": ("entropy, nats per token", False, None),
    "length": ("completion length, tokens", False, None),
    "hacking_gap": ("self-reward minus truth", False, 0.0),
    "self_accuracy": ("self-reward ranks rightly", True, 0.5),
    "judge_yes_rate": ("self-judge says right", True, None),
    "flip_rate": ("verdicts turned round", True, None),
}
# Those of runs whose reward is not simply the verifier's word.
OF_REWARD = ("hacking_gap", "self_accuracy", "judge_yes_rate", "flip_rate")


def health(
    curves: Mapping[str, Mapping[str, Curve]], marks: Mapping[str, ArmMark], compute_words: str
) -> Figure:
    """A panel for each sign in `curves` {sign: {arm: curve}}, in the order of SIGNS.

    Raises ValueError for a name that is not a sign, or for no sign at all.
    """
    unknown = set(curves) - set(SIGNS)
    if unknown:
        raise ValueError(f"no such sign of health: {sorted(unknown)}; known: {list(SIGNS)}")
    shown = [
        Panel(title, curves[sign], fraction, reference)
        for sign, (title, fraction, reference) in SIGNS.items()
        if sign in curves
    ]
    return curve_panels(shown, marks, compute_words, columns=3, height=2.0)


def caption(shown: Collection[str]) -> str:
    """What these signs tell."""
    words = (
        "Groups without signal have equal rewards, hence no gradient. Where the judge's yes-rate"
        " follows the label's away from one half (dotted), a judge that always says yes starts to pay."
    )
    if "hacking_gap" in shown:
        words += (
            " Self-reward above the truth is reward hacking; ranking is over right and wrong answers"
            " of one group, where one half (dotted) is chance."
        )
    return words
