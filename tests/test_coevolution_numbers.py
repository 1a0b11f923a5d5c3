from __future__ import annotations

import numpy as np
import pytest

from spark_lab.analysis.calibration import reliability
from spark_lab.analysis.curves import aligned, area_under_curve, on_grid, seed_band
from spark_lab.analysis.difficulty import balanced_accuracy, difficulty_profile
from spark_lab.analysis.leadlag import lead_lag
from spark_lab.analysis.pairing import ArmScores
from spark_lab.analysis.pareto import pareto_front
from spark_lab.analysis.stats import compare
from spark_lab.analysis.transfer import transfer_matrix


def test_area_is_the_mean_height_over_compute() -> None:
    compute, values = np.array([0.0, 1.0, 4.0]), np.array([0.0, 1.0, 1.0])
    assert area_under_curve(compute, values) == pytest.approx((0.5 + 3.0) / 4)
    assert area_under_curve(compute, values, until=2.0) == pytest.approx((0.5 + 1.0) / 2)
    assert area_under_curve(10 * compute, values) == pytest.approx(3.5 / 4)


@pytest.mark.parametrize(
    ("compute", "until"),
    [([0.0, 1.0], 2.0), ([0.0, 0.0], None), ([1.0], None), ([1.0, 2.0], 1.0)],
)
def test_area_of_a_stretch_that_was_not_run_is_refused(compute, until) -> None:
    with pytest.raises(ValueError):
        area_under_curve(np.array(compute), np.zeros(len(compute)), until)


def test_grid_never_extrapolates() -> None:
    values = on_grid(np.array([1.0, 2.0]), np.array([0.0, 1.0]), np.array([0.5, 1.5, 2.5]))
    assert np.isnan(values[[0, 2]]).all() and values[1] == 0.5


def test_band_counts_the_seeds_behind_each_point() -> None:
    band = seed_band(np.array([[0.1, 0.2, 0.3], [0.3, 0.4, np.nan], [0.2, np.nan, np.nan]]))
    assert band.n.tolist() == [3, 2, 1]
    assert band.mean == pytest.approx([0.2, 0.3, 0.3])
    assert band.high[0] - 0.2 == pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-4)
    assert np.isfinite(band.low).tolist() == [True, True, False]
    assert (band.low[1], band.high[1]) == pytest.approx((0.2, 0.4)), "the range of two"


@pytest.mark.parametrize("short", [0, 1])
def test_every_seed_is_in_the_end_of_its_arms_curve(short: int) -> None:
    """Runs that overshot their budget by different amounts, one perhaps evaluated once less."""
    runs = [
        np.stack([np.linspace(0, end, 6), np.linspace(0, top, 6)])
        for end, top in ((100.0, 0.5), (108.0, 0.7), (103.0, 0.9))
    ]
    runs[0] = np.delete(runs[0], [3] * short, axis=1)
    same = aligned(runs)
    grid = max((compute for compute, _ in same), key=len)
    band = seed_band(np.stack([on_grid(*one, grid) for one in same]))
    assert band.n.tolist() == [3] * 6
    assert (grid[-1], band.mean[-1]) == pytest.approx((311 / 3, 0.7))
    assert band.mean == pytest.approx(0.7 * grid / grid[-1])


def curves(runs: int, evaluations: int, lag: int | None, rng: np.random.Generator):
    """Policy and judge with a shared trend; the policy follows the judge's jolts after `lag`."""
    trend = 1 - np.exp(-np.arange(evaluations) / 5)
    jolts = rng.normal(0, 0.03, (runs, evaluations + 4))
    other = jolts if lag is not None else rng.normal(0, 0.03, (runs, evaluations + 4))
    judge = trend + np.cumsum(jolts[:, 4:], axis=1)
    start = 4 - (lag or 0)
    policy = trend + np.cumsum(other[:, start : start + evaluations], axis=1)
    return policy, judge + rng.normal(0, 0.005, judge.shape)


def test_lead_lag_finds_who_moves_first() -> None:
    rng = np.random.default_rng(0)
    policy, judge = curves(4, 30, 2, rng)
    found = lead_lag(policy, judge, rng)
    assert found.lags[found.correlation.argmax()] == 2 and found.correlation.max() > found.band
    assert found.lead > 0 and found.p_lead < 0.05
    backwards = lead_lag(judge, policy, rng)
    assert backwards.lags[backwards.correlation.argmax()] == -2 and backwards.lead < 0


@pytest.mark.parametrize("runs", [2, 3, 5])
def test_lead_lag_is_not_fooled_by_a_shared_trend(runs: int) -> None:
    rng = np.random.default_rng(runs)
    seen = 0
    for _ in range(200):
        found = lead_lag(*curves(runs, 20, None, rng), rng, shifts=200)
        seen += (np.abs(found.correlation) > found.band).any()
    assert seen / 200 <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5


def test_lead_lag_refuses_what_it_cannot_judge() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="too few"):
        lead_lag(np.zeros((3, 9)), np.zeros((3, 9)), rng)
    with pytest.raises(ValueError, match="NaN"):
        lead_lag(np.full((3, 20), np.nan), np.zeros((3, 20)), rng)
    with pytest.raises(ValueError, match="expected one"):
        lead_lag(np.zeros((3, 20)), np.zeros((2, 20)), rng)
    with pytest.raises(ValueError, match="two seeds"):
        lead_lag(np.zeros((1, 20)), np.zeros((1, 20)), rng)
    assert lead_lag(np.zeros((3, 20)), np.zeros((3, 20)), rng).correlation.max() == 0


def world_of_items(rng: np.random.Generator):
    question = np.repeat(np.arange(400), 2)
    solve_rate = np.repeat(rng.beta(0.7, 0.7, 400), 2)
    return question, solve_rate, rng.random(800) < solve_rate


def test_a_judge_that_guesses_by_difficulty_is_exposed() -> None:
    rng = np.random.default_rng(0)
    question, solve_rate, right = world_of_items(rng)
    guesser = difficulty_profile(solve_rate, right, solve_rate > 0.5, question, rng)
    assert guesser.judge_balanced > 0.7 and abs(guesser.advantage) < 0.02
    reader = difficulty_profile(solve_rate, right, right ^ (rng.random(800) < 0.1), question, rng)
    assert reader.advantage > 0.12
    assert reader.count.sum() == 800 and np.nanmin(reader.judge) > 0.8


def test_difficulty_that_says_nothing_gives_a_baseline_at_chance() -> None:
    rng = np.random.default_rng(1)
    question, solve_rate, _ = world_of_items(rng)
    coin = rng.random(800) < 0.5
    profile = difficulty_profile(solve_rate, coin, coin, question, rng)
    assert profile.baseline_balanced == pytest.approx(0.5, abs=0.06)
    assert profile.judge_balanced == 1.0


def test_balanced_accuracy_needs_both_kinds() -> None:
    right = np.array([True, True, False])
    assert balanced_accuracy(right, np.array([True, False, False])) == 0.75
    assert np.isnan(balanced_accuracy(right[:2], right[:2]))
    with pytest.raises(ValueError, match="every item"):
        difficulty_profile(np.zeros(2), right, right, np.arange(3), np.random.default_rng(0))


def test_reliability_of_an_honest_and_of_a_boastful_judge() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(20_000)
    truth = rng.random(20_000) < probability
    honest = reliability(probability, truth)
    assert honest.ece < 0.015 and honest.brier == pytest.approx(1 / 6, abs=0.01)
    assert honest.count.sum() == 20_000 and (honest.low <= honest.observed).all()
    boastful = reliability(np.full(100, 0.9), np.arange(100) < 60)
    assert boastful.ece == pytest.approx(0.3) and np.isnan(boastful.observed[:9]).all()
    assert reliability(np.array([1.0, 0.0]), np.array([True, False])).ece == 0
    with pytest.raises(ValueError, match="between 0 and 1"):
        reliability(np.array([1.2]), np.array([True]))


def test_pareto_front_keeps_what_nothing_beats() -> None:
    policy_judge_tokens = np.array([[0.9, 0.7, 10], [0.8, 0.8, 10], [0.8, 0.7, 12], [0.8, 0.8, 10]])
    front = pareto_front(policy_judge_tokens, (True, True, False))
    assert front.tolist() == [True, True, False, True]
    overshot = np.array([[0.95, 0.95, 803_000], [0.6, 0.6, 801_000], [0.5, 0.5, 700_000]])
    assert pareto_front(overshot, (True, True, False)).all()
    assert pareto_front(overshot, (True, True, False), 0.02).tolist() == [True, False, True]
    with pytest.raises(ValueError, match="NaN"):
        pareto_front(np.array([[np.nan, 1.0]]), (True, True))


def test_transfer_matrix_has_arms_in_rows_and_skills_in_columns() -> None:
    rng = np.random.default_rng(0)

    def arm(name: str, metric: str, chance: float) -> ArmScores:
        values = (rng.random((4, 100)) < chance).astype(float)
        return ArmScores(name, metric, (0, 1, 2, 3), values, tuple(range(100)))

    base = {metric: arm("none", metric, 0.5) for metric in ("policy", "judge")}
    contrasts = compare(
        [
            (arm("reflect", "policy", 0.8), base["policy"]),
            (arm("reflect", "judge", 0.5), base["judge"]),
            (arm("pairwise", "judge", 0.9), base["judge"]),
        ]
    )
    matrix = transfer_matrix(contrasts)
    assert matrix.arms == ("reflect", "pairwise") and matrix.metrics == (
        "policy",
        "judge",
    )
    assert matrix.separable.tolist() == [[True, False], [False, True]]
    assert np.isnan(matrix.difference[1, 0]) and matrix.difference[1, 1] > 0.3
    with pytest.raises(ValueError, match="twice"):
        transfer_matrix([*contrasts, contrasts[0]])
    with pytest.raises(ValueError, match="one baseline"):
        transfer_matrix([])
