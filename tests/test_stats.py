from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from spark_lab.analysis.intervals import Spread, estimate, half_width, p_value, two_way
from spark_lab.analysis.pairing import ArmScores, pair
from spark_lab.analysis.power import (
    expected_power,
    minimum_detectable,
    power,
    questions_suffice,
    seeds_needed,
)
from spark_lab.analysis.stats import compare, holm, iqm, probability_of_improvement

METRIC = "policy/accuracy"


def scores(arm: str, values, seeds=None, questions=None, metric=METRIC, **more) -> ArmScores:
    values = np.asarray(values, float)
    if questions is None:
        questions = tuple(range(values.shape[1])) if values.ndim == 2 else ("all",)
    return ArmScores(arm, metric, tuple(seeds or range(len(values))), values, questions, **more)


def coin(
    arm: str,
    chance: float,
    seeds: int = 5,
    questions: int = 200,
    stream: int = 0,
    **more,
):
    rng = np.random.default_rng([stream, *arm.encode()])
    return scores(arm, rng.random((seeds, questions)) < chance, **more)


# ------------------------------------------------------------------ pairing


def test_pairs_common_seeds_and_names_the_others() -> None:
    arm = scores("reflect", [[1, 1], [0, 1], [1, 0]], seeds=(4, 1, 2))
    baseline = scores("none", [[0, 0], [0, 1], [1, 1]], seeds=(1, 2, 3))
    paired = pair(arm, baseline)
    assert paired.seeds == (1, 2)
    assert paired.values.tolist() == [[0, 1], [1, -1]]
    assert paired.only_arm == (4,) and paired.only_baseline == (3,)


def test_questions_in_another_order_are_aligned() -> None:
    arm = scores("reflect", [[1, 0]], questions=("b", "a"))
    baseline = scores("none", [[0, 0]], questions=("a", "b"))
    assert pair(arm, baseline).values.tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        (
            scores("x", [[1, 0]], questions=(0, 7)),
            "different questions .2 and 2, 1 in common",
        ),
        (scores("x", [[1, 0, 1]]), "different questions .3 and 2"),
        (scores("x", [1.0]), "per question, the other one per run"),
        (scores("x", [[1, 0]], seeds=(9,)), "none in common"),
        (scores("x", [[1, 0]], metric="reflect/fix_rate"), "reflect/fix_rate"),
    ],
)
def test_what_cannot_be_compared_is_refused(arm: ArmScores, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pair(arm, scores("none", [[1, 0]]))


@pytest.mark.parametrize(
    ("values", "seeds", "message"),
    [
        ([[1, 0]], (1, 2), "2 seeds"),
        ([[1, 0], [0, 0]], (1, 1), "twice"),
        ([[1, np.nan]], (1,), "NaN"),
    ],
)
def test_malformed_scores_are_refused(values, seeds, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scores("x", values, seeds=seeds)


# ------------------------------------------------------------------ intervals


def test_two_way_recovers_the_parts_of_the_variance() -> None:
    rng = np.random.default_rng(0)
    shape, seed_sd, question_sd, noise = (3000, 4, 50), 0.3, 0.8, 1.5
    values = (
        rng.normal(0, seed_sd, (3000, 4, 1))
        + rng.normal(0, question_sd, (3000, 1, 50))
        + rng.normal(0, noise, shape)
    )
    mean, seeds, questions = two_way(values)
    assert seeds.mean() == pytest.approx(seed_sd**2 / 4 + noise**2 / 200, rel=0.03)
    assert questions.mean() == pytest.approx(question_sd**2 / 50, rel=0.04)
    assert mean.var() == pytest.approx(seeds.mean() + questions.mean(), rel=0.08)


def test_per_run_scores_give_students_t() -> None:
    values = np.array([0.03, 0.01, 0.06, 0.02])
    ours, theirs = estimate(values), scipy_stats.ttest_1samp(values, 0)
    interval = theirs.confidence_interval(0.95)
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high))
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-6)
    assert ours.basis == "seeds"


def test_p_value_is_the_level_at_which_the_interval_touches_zero() -> None:
    p = p_value(0.05, 1e-4, 3e-4, 3, 256)
    assert half_width(1e-4, 3e-4, 3, 256, p) == pytest.approx(0.05)
    assert p_value(0.0, 1e-4, 3e-4, 3, 256) == pytest.approx(1.0)
    assert p_value(1e9, 1e-4, 3e-4, 3, 256) == pytest.approx(1e-12)


def test_shared_questions_widen_the_interval() -> None:
    """A knack for certain questions that all seeds share is no evidence from n times Q answers."""
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.1, (5, 40))
    knack = rng.normal(0, 1.0, (1, 40))
    narrow, wide = estimate(noise), estimate(noise + knack)
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)
    assert wide.spread.questions == pytest.approx(knack.var(ddof=1) / 40, rel=0.1)


def test_one_seed_speaks_of_questions_only() -> None:
    single = estimate(np.array([[1.0, 0.0, 0.0, 1.0, 1.0]]))
    assert single.basis == "questions" and single.low < single.mean < single.high


@pytest.mark.parametrize("values", [np.zeros((3, 4)), np.ones((3, 4)), np.array([0.1, 0.1])])
def test_no_spread_gives_no_interval(values: np.ndarray) -> None:
    single = estimate(values)
    assert single.basis == "none" and np.isnan(single.low) and np.isnan(single.high)
    assert single.p_value == 1.0 if values.sum() == 0 else np.isnan(single.p_value)


def test_a_single_number_gives_no_interval() -> None:
    assert estimate(np.array([0.2])).basis == "none"
    with pytest.raises(ValueError, match="no paired differences"):
        estimate(np.empty((0, 4)))


def test_seeds_that_coincide_do_not_make_a_certainty() -> None:
    values = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    single = estimate(values)
    assert single.spread.seeds > 0.01 and single.low < 0 < single.high


# ------------------------------------------------------------------ contrasts


def test_compare_finds_the_real_difference_and_only_that() -> None:
    baseline = coin("none", 0.5)
    contrasts = compare([(coin("reflect", 0.75), baseline), (coin("pairwise", 0.5), baseline)])
    assert [contrast.outcome for contrast in contrasts] == ["better", "not separable"]
    found = contrasts[0]
    assert found.estimate.low < 0.25 < found.estimate.high
    assert found.estimate.mean == pytest.approx(found.arm_mean - found.baseline_mean)
    assert found.p_corrected == pytest.approx(2 * found.estimate.p_value)
    assert found.improvement == 1.0 and found.family == 2


def test_lower_is_better_turns_the_outcome_not_the_sign() -> None:
    arm, baseline = (
        coin("x", 0.2, lower_is_better=True),
        coin("none", 0.6, lower_is_better=True),
    )
    (contrast,) = compare([(arm, baseline)])
    assert contrast.estimate.mean < 0 and contrast.outcome == "better"


def test_correction_can_take_a_verdict_away() -> None:
    baseline = coin("none", 0.5, seeds=5)
    weak = coin("weak", 0.58, seeds=5)
    alone = compare([(weak, baseline)])[0]
    crowd = compare([(weak, baseline)] + [(coin(f"arm {i}", 0.5), baseline) for i in range(40)])[0]
    assert alone.outcome == "better" and crowd.outcome == "not separable"
    assert crowd.minimum_detectable > alone.minimum_detectable


def test_one_seed_and_no_spread_get_no_verdict_and_do_not_count() -> None:
    baseline = coin("none", 0.4)
    lone = scores("lone", coin("lone", 0.9).values[:1], seeds=(2,))
    contrasts = compare([(lone, baseline), (baseline, baseline), (coin("x", 0.9), baseline)])
    assert [contrast.outcome for contrast in contrasts] == [
        "no verdict",
        "no verdict",
        "better",
    ]
    assert contrasts[2].family == 1 and np.isnan(contrasts[0].p_corrected)
    assert contrasts[0].pairs.only_baseline == (0, 1, 3, 4)
    assert compare([]) == []


def test_holm_is_the_textbook_example_in_any_order() -> None:
    p_values = np.array([0.01, 0.04, 0.03, 0.005])
    assert holm(p_values) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1.0, 1.0])
    with pytest.raises(ValueError, match="NaN"):
        holm(np.array([0.1, np.nan]))


def test_iqm_ignores_the_outer_quarters() -> None:
    assert iqm(np.array([-100, 1, 2, 3, 4, 5, 6, 100])) == 3.5
    assert iqm(np.array([1.0, 2.0, 6.0])) == 3.0


def test_probability_of_improvement_counts_ties_half() -> None:
    assert probability_of_improvement(np.array([2, 3]), np.array([1, 2])) == 0.875
    assert probability_of_improvement(np.array([1, 1]), np.array([1, 1])) == 0.5


# ------------------------------------------------------------------ power


def test_power_with_seed_variance_only_is_the_noncentral_t() -> None:
    spread = Spread(seeds=1.0, questions=0.0, n_seeds=5, n_questions=1)
    critical = scipy_stats.t.ppf(0.975, 4)
    for effect in (0.0, 2.0, 4.0):
        exact = scipy_stats.nct.sf(critical, 4, effect) + scipy_stats.nct.cdf(-critical, 4, effect)
        assert power(effect, spread) == pytest.approx(exact, abs=0.004)


def test_detectable_difference_scales_with_the_spread_and_is_honest_about_few_seeds() -> None:
    wide = Spread(4e-4, 1e-4, 4, 256)
    narrow = Spread(1e-4, 0.25e-4, 4, 256)
    assert minimum_detectable(wide) == pytest.approx(2 * minimum_detectable(narrow), rel=1e-3)
    assert expected_power(minimum_detectable(wide), wide, 4) == pytest.approx(0.8, abs=1e-3)
    assert power(minimum_detectable(wide), wide) > 0.85
    assert np.isnan(minimum_detectable(Spread(0.0, 1e-4, 1, 256)))


def test_seeds_needed_grow_as_the_effect_shrinks() -> None:
    pilot = Spread(4e-4, 1e-6, 5, 256)
    counts = [seeds_needed(pilot, effect) for effect in (0.2, 0.05, 0.03)]
    assert all(counts) and sorted(counts) == counts and counts[0] < counts[2]
    needed = seeds_needed(pilot, 0.03)
    assert expected_power(0.03, pilot, needed) >= 0.8 > expected_power(0.03, pilot, needed - 1)
    assert seeds_needed(pilot, 1e-4) is None and seeds_needed(Spread(0, 1e-4, 1, 9), 0.1) is None


def test_too_few_questions_are_told_from_too_few_seeds() -> None:
    pilot = Spread(1e-6, 4e-4, 5, 64)
    assert seeds_needed(pilot, 0.02) is None and not questions_suffice(pilot, 0.02)
    assert questions_suffice(Spread(4e-4, 0.0, 5, 64), 0.02)


def test_power_needs_two_seeds() -> None:
    with pytest.raises(ValueError, match="two seeds"):
        expected_power(0.1, Spread(0.0, 1e-4, 1, 256), 5)
