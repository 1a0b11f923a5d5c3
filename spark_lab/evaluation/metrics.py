"""The numbers of an evaluation as pure functions: sequences in, one float out.

A verdict is True (says correct), False (says incorrect) or None (could not be parsed), a label is
True where the verifier found the solution right. A number that has nothing to be computed from is
None, never 0 and never NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, fsum

Verdicts = Sequence[bool | None]
Labels = Sequence[bool]


def mean(values: Sequence[float]) -> float | None:
    return fsum(values) / len(values) if values else None


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Probability that at least one of k samples is right, unbiased from n >= k samples.

    1 - C(n - c, k) / C(n, k) (Chen et al. 2021, arXiv 2107.03374, equation 1), in exact integers.
    """
    if not 0 <= correct <= samples or not 1 <= k <= samples:
        raise ValueError(f"no pass@{k} from {correct} right ones of {samples} samples")
    return 1.0 - comb(samples - correct, k) / comb(samples, k)


def accuracy(verdicts: Verdicts, labels: Labels) -> float | None:
    """Share of verdicts that equal their label; an unparsed one never does."""
    return mean([float(verdict is label) for verdict, label in _pairs(verdicts, labels)])


def recall(verdicts: Verdicts, labels: Labels, of: bool = True) -> float | None:
    """Share of the items labelled `of` that the verdict says `of` to. None without such an item."""
    return mean(
        [float(verdict is of) for verdict, label in _pairs(verdicts, labels) if label is of]
    )


def balanced_accuracy(verdicts: Verdicts, labels: Labels) -> float | None:
    """Mean of the recalls of both labels: 0.5 for any constant judge, whatever the label prior.

    An unparsed verdict is wrong under either label. None unless both labels occur.
    """
    recalls = [recall(verdicts, labels, of) for of in (True, False)]
    return None if None in recalls else mean(recalls)


def precision(verdicts: Verdicts, labels: Labels) -> float | None:
    """Share of right solutions among those that were called correct. None if none was."""
    return mean([float(label) for verdict, label in _pairs(verdicts, labels) if verdict is True])


def f1(verdicts: Verdicts, labels: Labels) -> float | None:
    """2 TP / (2 TP + FP + FN) of "correct". None if nothing is, or is called, correct."""
    pairs = _pairs(verdicts, labels)
    hits = sum(verdict is True and label for verdict, label in pairs)
    called = sum(verdict is True for verdict, _ in pairs)
    right = sum(label for _, label in pairs)
    return 2 * hits / (called + right) if called + right else None


def brier(probabilities: Sequence[float], labels: Labels) -> float | None:
    """Mean squared distance of p(correct) from the label; 0.25 for a constant 0.5."""
    return mean([(p - label) ** 2 for p, label in zip(probabilities, labels, strict=True)])


def expected_calibration_error(
    probabilities: Sequence[float], labels: Labels, bins: int = 10
) -> float | None:
    """Mean over items of |mean p(correct) - share correct| in their equal-width bin of p(correct).

    Guo et al. 2017 (arXiv 1706.04599, equation 3), on the probability of "correct" rather than of
    the predicted label, so that over- and underconfidence of either verdict count. Bin i holds
    i/bins <= p < (i+1)/bins, the last one also p = 1.
    """
    gaps = [0.0] * bins
    for p, label in zip(probabilities, labels, strict=True):
        gaps[min(int(p * bins), bins - 1)] += p - label
    return fsum(map(abs, gaps)) / len(labels) if labels else None


def swap_consistency(choices: Verdicts, swapped: Verdicts) -> float | None:
    """Share of pairs of which the same solution is chosen in both orders, right or wrong.

    A choice is True for the right solution, False for the wrong one. An unparsed choice agrees
    with nothing.
    """
    pairs = list(zip(choices, swapped, strict=True))
    return mean([float(one is not None and one is other) for one, other in pairs])


def _pairs(verdicts: Verdicts, labels: Labels) -> list[tuple[bool | None, bool]]:
    return list(zip(verdicts, labels, strict=True))
