"""The promises of bench_truth.py and bench_truth_folders.py on fewer sweeps: wrong methods miss these by far."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench_truth import coverage, known_power, null_errors, planned_power, repeat_power
from bench_truth_folders import read_back
from truth_methods import bootstrap_seeds, satterthwaite, shipped, t_over_seeds
from truth_worlds import WORLDS, outcomes, sweeps, true_difference, with_effect

ORDINARY, SEEDY, QUESTIONY = WORLDS[1], WORLDS[2], WORLDS[4]


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_false_verdicts_under_the_null(seeds: int) -> None:
    better, wrong = null_errors(ORDINARY, seeds, 400, np.random.default_rng(seeds))
    assert better <= 0.05 and wrong <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("world", [ORDINARY, SEEDY, QUESTIONY], ids=lambda world: world.name)
def test_coverage(world, seeds: int) -> None:
    held, _ = coverage(with_effect(world, 0.05), seeds, 1000, np.random.default_rng(seeds))
    slack = 3 * (0.05 * 0.95 / 1000) ** 0.5
    assert 0.93 - slack <= held <= 0.97 + slack


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_stated_power_is_observed_power(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    stated, observed = known_power(ORDINARY, seeds, 0.7, 1000, rng)
    assert observed == pytest.approx(stated, abs=0.05 + 0.03)
    assert repeat_power(1.0, seeds, 5000, rng) == pytest.approx(0.8, abs=0.05)
    assert repeat_power(0.5, seeds, 5000, rng) == pytest.approx(0.8, abs=0.06)
    assert planned_power(0.9, seeds, 100, rng) == pytest.approx(0.8, abs=0.08)


def test_the_usual_methods_fail_where_the_shipped_one_holds() -> None:
    rng = np.random.default_rng(0)

    def held(method, world, seeds):
        low, high = method(sweeps(world, 1, seeds, 500, rng)[:, 0], rng)
        truth = true_difference(world, rng)
        return np.mean((low <= truth) & (truth <= high))

    assert held(bootstrap_seeds, SEEDY, 3) < 0.8
    assert held(t_over_seeds, QUESTIONY, 10) < 0.8
    assert held(shipped, SEEDY, 3) > 0.92 and held(shipped, QUESTIONY, 10) > 0.92


def test_satterthwaite_errs_in_the_tails_of_three_seeds() -> None:
    """Why the critical values are weighted and the degrees of freedom are not estimated."""
    rng = np.random.default_rng(1)
    seed = rng.normal(0, np.sqrt(0.85 * 3), (4000, 3, 1))
    knack = rng.normal(0, np.sqrt(0.15 * 64), (4000, 1, 64))
    values = seed + knack + 0.01 * rng.standard_normal((4000, 3, 64))
    missed = {}
    for method in (satterthwaite, shipped):
        low, high = method(values, rng)
        missed[method] = np.mean((low > 0) | (high < 0))
    assert missed[satterthwaite] > 0.065 and missed[shipped] < 0.055


def test_run_folders_give_the_verdicts_of_the_arrays(tmp_path: Path) -> None:
    """`read_back` holds every number against the arrays' own; an effect is found, chance is not."""
    rng, silent = np.random.default_rng(5), "not separable"
    world = replace(WORLDS[8], effect=2.0)
    for index in range(6):
        found = read_back(outcomes(world, 3, 4, 1, rng)[0], tmp_path, f"sweep{index}")
        tags = {one.pairs.arm: one.outcome for one in found.contrasts}
        assert tags == {"pointwise": "better", "pairwise": silent, "reflect": silent}
