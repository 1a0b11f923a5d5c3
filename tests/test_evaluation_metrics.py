"""The numbers of an evaluation against values worked out by hand, and their properties."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from spark_lab.evaluation import metrics

# 3 right solutions called yes, no, unparsed; 5 wrong ones called no, no, yes, unparsed, no.
VERDICTS = [True, False, None, False, False, True, None, False]
LABELS = [True, True, True, False, False, False, False, False]


def test_hand_computed_values():
    assert metrics.accuracy(VERDICTS, LABELS) == pytest.approx(4 / 8)
    assert metrics.recall(VERDICTS, LABELS) == pytest.approx(1 / 3)
    assert metrics.recall(VERDICTS, LABELS, of=False) == pytest.approx(3 / 5)
    assert metrics.balanced_accuracy(VERDICTS, LABELS) == pytest.approx((1 / 3 + 3 / 5) / 2)
    assert metrics.precision(VERDICTS, LABELS) == pytest.approx(1 / 2)
    assert metrics.f1(VERDICTS, LABELS) == pytest.approx(2 * 1 / (2 + 3))


@pytest.mark.parametrize("constant", [True, False])
def test_a_constant_judge_has_balanced_accuracy_one_half_under_any_prior(constant):
    for right in range(1, 10):
        labels = [True] * right + [False] * (10 - right)
        assert metrics.balanced_accuracy([constant] * 10, labels) == 0.5


def test_relabelling_correct_and_incorrect_leaves_balanced_accuracy():
    rng = random.Random(0)
    for _ in range(50):
        verdicts = [rng.choice([True, False, None]) for _ in range(20)]
        labels = [True, False] + [rng.random() < 0.3 for _ in range(18)]
        mirrored = [None if verdict is None else not verdict for verdict in verdicts]
        other = metrics.balanced_accuracy(mirrored, [not label for label in labels])
        assert metrics.balanced_accuracy(verdicts, labels) == pytest.approx(other)


def test_f1_is_the_harmonic_mean_of_precision_and_recall():
    rng = random.Random(1)
    for _ in range(50):
        verdicts = [True] + [rng.choice([True, False, None]) for _ in range(30)]
        labels = [True] + [rng.random() < 0.5 for _ in range(30)]
        precision, recall = metrics.precision(verdicts, labels), metrics.recall(verdicts, labels)
        harmonic = 2 * precision * recall / (precision + recall)
        assert metrics.f1(verdicts, labels) == pytest.approx(harmonic)


def test_what_cannot_be_computed_is_none():
    assert metrics.mean([]) is None
    assert metrics.accuracy([], []) is None
    assert metrics.balanced_accuracy([True, None], [True, True]) is None
    assert metrics.precision([False, None], [True, False]) is None
    assert metrics.recall([True], [False]) is None
    assert metrics.f1([False], [False]) is None
    assert metrics.f1([None], [True]) == 0.0
    assert metrics.brier([], []) is None
    assert metrics.expected_calibration_error([], []) is None
    assert metrics.swap_consistency([], []) is None


def test_pass_at_k_is_the_share_of_draws_without_replacement_that_hold_a_right_one():
    for n in range(1, 8):
        for c in range(n + 1):
            for k in range(1, n + 1):
                draws = list(combinations([True] * c + [False] * (n - c), k))
                share = sum(map(any, draws)) / len(draws)
                assert metrics.pass_at_k(n, c, k) == pytest.approx(share, abs=1e-12)


@pytest.mark.parametrize("arguments", [(4, 5, 1), (4, 2, 5), (4, 2, 0), (0, 0, 1)])
def test_pass_at_k_refuses_what_cannot_be(arguments):
    with pytest.raises(ValueError, match="pass@"):
        metrics.pass_at_k(*arguments)


def test_brier_score():
    assert metrics.brier([0.5] * 4, [True, False, True, True]) == 0.25
    assert metrics.brier([1.0, 0.0], [True, False]) == 0.0
    assert metrics.brier([0.9, 0.4], [True, True]) == pytest.approx((0.01 + 0.36) / 2)


def test_calibration_error():
    # Bin 0.9-1.0: mean p 0.95, 1 of 2 right; bin 0.2-0.3: mean p 0.2, 0 of 1 right.
    error = metrics.expected_calibration_error([0.9, 1.0, 0.2], [True, False, False])
    assert error == pytest.approx((2 * abs(0.95 - 0.5) + 0.2) / 3)
    # Gaps of one bin cancel, gaps of two bins add up.
    assert metrics.expected_calibration_error([0.5, 0.55], [False, True]) == pytest.approx(0.025)
    assert metrics.expected_calibration_error([0.4, 0.6], [False, True]) == pytest.approx(0.4)
    assert metrics.expected_calibration_error([0.0, 1.0], [False, True]) == 0.0


def test_a_calibrated_judge_has_a_calibration_error_near_zero():
    rng = random.Random(2)
    probabilities = [rng.random() for _ in range(20_000)]
    labels = [rng.random() < p for p in probabilities]
    assert metrics.expected_calibration_error(probabilities, labels) < 0.02
    flipped = [not label for label in labels]
    assert metrics.expected_calibration_error(probabilities, flipped) > 0.4


def test_swap_consistency_counts_agreement_right_or_wrong():
    choices = [True, True, False, False, None, None, True]
    swapped = [True, False, False, True, None, True, None]
    assert metrics.swap_consistency(choices, swapped) == pytest.approx(2 / 7)
    assert metrics.swap_consistency(swapped, choices) == pytest.approx(2 / 7)


def test_unequal_lengths_are_an_error():
    with pytest.raises(ValueError):
        metrics.accuracy([True], [True, False])
