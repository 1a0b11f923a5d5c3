from __future__ import annotations

import numpy as np
import pytest

from spark_lab.analysis.budgets import amount, match_budgets
from spark_lab.analysis.pairing import ArmScores
from spark_lab.analysis.stats import compare
from spark_lab.analysis.verdicts import (
    metric_words,
    points,
    short_verdict,
    verdict_line,
)

MATCHED = match_budgets(
    {"generated_tokens": np.array([12.1e6, 12.0e6]), "updates": np.array([80.0, 80.0])},
    {
        "generated_tokens": np.array([12.0e6, 12.0e6]),
        "updates": np.array([160.0, 160.0]),
    },
    "generated_tokens",
)
UNMATCHED, UNMATCHED_ONCE = (
    match_budgets(
        {"generated_tokens": np.array([first, 12.4e6]), "rollouts": np.array([9.0, 9.0])},
        {"generated_tokens": np.array([12.0e6, 12.0e6]), "rollouts": np.array([9.0, 9.0])},
        "generated_tokens",
    )
    for first in (12.4e6, 12.0e6)
)


def arm(name: str, chance: float, seeds: tuple[int, ...], metric="policy/accuracy", **more):
    rng = np.random.default_rng([*name.encode(), *seeds])
    values = (rng.random((len(seeds), 200)) < chance).astype(float)
    return ArmScores(name, metric, seeds, values, tuple(range(200)), **more)


def line(ours: ArmScores, baseline: ArmScores, budget=MATCHED) -> str:
    return verdict_line(compare([(ours, baseline)])[0], budget)


BASE = arm("none", 0.5, (0, 1, 2, 3, 4))


def test_a_winner_is_named_with_everything_that_supports_it() -> None:
    text = line(arm("reflect", 0.8, (0, 1, 2, 3, 4)), BASE)
    assert text.startswith("reflect vs none: policy accuracy +")
    assert "95 % interval" in text and "n = 5 seeds" in text and text.endswith(": better.")
    assert (
        "matched at 12.0 M generated tokens" in text
        and "not matched: updates (\N{MINUS SIGN}50 %)" in text
    )


def test_an_open_question_says_what_it_takes() -> None:
    text = line(arm("pairwise", 0.5, (0, 1, 2)), BASE)
    assert "not separable with 3 seeds; about " in text
    assert "to resolve a difference of 2.0 points" in text
    assert "Left out for want of a partner: seeds 3, 4 of none." in text


def test_correction_is_given_as_the_reason_where_it_is_the_reason() -> None:
    weak = arm("weak", 0.58, (0, 1, 2, 3, 4))
    others = [(arm(f"arm {i}", 0.5, (0, 1, 2, 3, 4)), BASE) for i in range(40)]
    assert line(weak, BASE).endswith(": better.")
    crowded = verdict_line(compare([(weak, BASE), *others])[0], MATCHED)
    assert "not separable with 5 seeds after correction for 41 contrasts" in crowded


def test_no_winner_where_the_budgets_differ() -> None:
    ours = arm("reflect", 0.8, (0, 1, 2, 3, 4))
    text = line(ours, BASE, UNMATCHED)
    assert "No winner: the budgets differ by more than 2 %" in text and "better" not in text
    assert "12.4 M generated tokens against 12.0 M generated tokens" in text
    assert "matched were rollouts" in text
    assert short_verdict(compare([(ours, BASE)])[0], UNMATCHED) == "budgets differ"


def test_one_seed_with_another_budget_is_enough_and_said_to_be_one() -> None:
    """Where the means say nothing of it."""
    ours = arm("reflect", 0.8, (0, 1, 2, 3, 4))
    text = line(ours, BASE, UNMATCHED_ONCE)
    assert "No winner: the budgets of some seed differ by more than 2 % (by +3 %; on" in text
    assert "on average 12.2 M generated tokens against 12.0 M generated tokens" in text
    assert short_verdict(compare([(ours, BASE)])[0], UNMATCHED_ONCE) == "budgets differ"


def test_one_seed_is_called_one_seed() -> None:
    lone = arm("lone", 0.9, (3,))
    text = line(lone, BASE)
    assert "n = 1 seed," in text and "over questions only" in text
    assert "one seed says nothing about training again" in text
    assert short_verdict(compare([(lone, BASE)])[0], MATCHED) == "one seed"


def test_identical_runs_are_called_identical() -> None:
    assert "the runs are identical on every question" in line(BASE, BASE)


def test_lower_is_better_is_said() -> None:
    metric = "fixed/reflect/break_rate"
    ours = arm("x", 0.1, (0, 1, 2), metric, lower_is_better=True)
    base = arm("none", 0.6, (0, 1, 2), metric, lower_is_better=True)
    text = line(ours, base)
    assert "right answers broken by reflection (fixed judge set) \N{MINUS SIGN}" in text
    assert "better (lower is better)" in text


def test_one_unequal_seed_pair_is_enough_to_refuse() -> None:
    assert MATCHED.matched and not UNMATCHED.matched
    assert UNMATCHED.excess["generated_tokens"] == pytest.approx(0.4 / 12)
    assert MATCHED.unmatched_units == ("updates",)
    with pytest.raises(ValueError, match="no flops"):
        match_budgets({"updates": np.ones(1)}, {"updates": np.ones(1)}, "flops")
    with pytest.raises(ValueError, match="spent no updates"):
        match_budgets({"updates": np.ones(1)}, {"updates": np.zeros(1)}, "updates")


def test_numbers_read_well() -> None:
    assert (
        points(-0.031) == "\N{MINUS SIGN}3.1"
        and points(0.031, sign=True) == "+3.1"
        and points(-1e-5) == "0.0"
    )
    assert amount(12.04e6, "generated_tokens") == "12.0 M generated tokens"
    assert amount(80, "updates") == "80 updates"
    assert metric_words("policy/pass_at_4") == "policy pass@4"
    assert metric_words("live/judge/brier") == "judge brier (own answers)"
