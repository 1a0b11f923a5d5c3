from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from simulated import Levels, simulate_run

from spark_lab.analysis.budgets import match_budgets
from spark_lab.analysis.load import load_run, load_runs
from spark_lab.analysis.scores import Collected, compute_spent
from spark_lab.analysis.scores import arm_scores as all_scores
from spark_lab.analysis.stats import compare
from spark_lab.analysis.verdicts import verdict_line

PER_QUESTION = (
    "policy/accuracy",
    "policy/sampled_accuracy",
    "policy/pass_at_4",
    "fixed/judge/pointwise_accuracy",
    "fixed/judge/pointwise_balanced_accuracy",
    "fixed/judge/pairwise_accuracy",
    "fixed/reflect/fix_rate",
    "fixed/reflect/break_rate",
)


def simulate(root: Path, arm: str, seeds=(0, 1, 2), **options):
    options = {"questions": 40, "evaluations": 2, "steps": 10, "rollouts": ("eval",)} | options
    for seed in seeds:
        simulate_run(root, arm, seed, sweep="s", **options)
    return load_runs([root / "s" / arm])


def arm_scores(arm: str, runs, metric: str) -> Collected:
    return all_scores(arm, runs, [metric])[metric]


@pytest.mark.parametrize("metric", PER_QUESTION)
def test_contributions_by_question_average_to_the_logged_metric(tmp_path, metric: str) -> None:
    runs = simulate(tmp_path, "reflect", seeds=(0, 1))
    scores = arm_scores("reflect", runs, metric).scores
    assert scores.values.shape == (2, 40)
    assert scores.values.mean(axis=1) == pytest.approx([run.final[metric] for run in runs])
    assert scores.lower_is_better == metric.endswith("break_rate")


@pytest.mark.parametrize("metric", ["live/judge/pairwise_accuracy", "fixed/judge/yes_rate"])
def test_other_metrics_are_one_number_per_run(tmp_path, metric: str) -> None:
    runs = simulate(tmp_path, "reflect", seeds=(0, 1))
    scores = arm_scores("reflect", runs, metric).scores
    assert scores.values.tolist() == [run.final[metric] for run in runs]


def test_unfinished_runs_are_named_not_dropped_silently(tmp_path) -> None:
    simulate(tmp_path, "reflect", seeds=(0, 1))
    runs = simulate(tmp_path, "reflect", seeds=(2,), state="failed")
    found = arm_scores("reflect", runs, "policy/accuracy")
    assert found.scores.seeds == (0, 1)
    assert found.notes == ("reflect seed2 has no final evaluation",)
    assert arm_scores("reflect", runs[2:], "policy/accuracy").scores is None
    assert "lacks policy/wisdom" in arm_scores("reflect", runs, "policy/wisdom").notes[-1]


def test_missing_rollouts_leave_one_number_per_run(tmp_path) -> None:
    runs = simulate(tmp_path, "reflect", seeds=(0, 1), rollouts=())
    scores = arm_scores("reflect", runs, "policy/accuracy").scores
    assert scores.values.shape == (2,)


def test_rollouts_that_contradict_the_log_are_refused(tmp_path) -> None:
    runs = simulate(tmp_path, "reflect", seeds=(0, 1))
    path = sorted((runs[1].folder / "rollouts").glob("eval-*"))[-1]
    with gzip.open(path, "rt") as file:
        rows = [json.loads(line) for line in file]
    for row in rows:
        if row["objective"] == "pairwise":
            row["reward"] = 0.0
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    found = arm_scores("reflect", runs, "fixed/judge/pairwise_accuracy")
    assert found.scores.seeds == (0,) and "rollouts give" in found.notes[0]


def test_other_judged_solutions_are_not_paired_by_question(tmp_path) -> None:
    runs = simulate(tmp_path, "reflect", seeds=(0, 1))
    for run in runs:
        (run.folder / "judge_set.jsonl").write_text(f"solutions of {run.seed}")
    fixed = arm_scores("reflect", runs, "fixed/judge/pairwise_accuracy")
    assert fixed.scores.values.ndim == 1 and "not measured on the same items" in fixed.notes[0]
    assert arm_scores("reflect", runs, "policy/accuracy").scores.values.ndim == 2


def test_another_question_set_can_not_be_compared(tmp_path) -> None:
    ours = arm_scores("reflect", simulate(tmp_path, "reflect"), "policy/accuracy").scores
    theirs = arm_scores("none", simulate(tmp_path, "none", world=7), "policy/accuracy").scores
    with pytest.raises(ValueError, match="different questions"):
        compare([(ours, theirs)])


def test_from_folders_to_a_verdict(tmp_path) -> None:
    good = simulate(tmp_path, "reflect", levels=Levels(policy=(0.4, 0.9)), questions=200)
    base = simulate(tmp_path, "none", levels=Levels(policy=(0.4, 0.6)), questions=200)
    arms = [arm_scores(runs[0].arm, runs, "policy/accuracy").scores for runs in (good, base)]
    (contrast,) = compare([(arms[0], arms[1])])
    seeds = contrast.pairs.seeds
    budget = match_budgets(
        compute_spent(good, seeds), compute_spent(base, seeds), "generated_tokens"
    )
    assert contrast.estimate.low < 0.3 < contrast.estimate.high
    line = verdict_line(contrast, budget)
    assert line.startswith("reflect vs none: policy accuracy +") and line.endswith(": better.")
    assert "matched at 90.0 k generated tokens" in line and "n = 3 seeds" in line


def test_compute_of_a_seed_that_did_not_finish_is_refused(tmp_path) -> None:
    runs = simulate(tmp_path, "reflect", seeds=(0,))
    assert compute_spent(runs, [0])["updates"] == np.array([10])
    assert compute_spent([load_run(runs[0].folder)], [0])["steps"] == np.array([10])
    with pytest.raises(ValueError, match=r"seeds \[3\]"):
        compute_spent(runs, [0, 3])
