"""Run folders become tables; what is damaged or missing is named, never filled in."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulated import Levels, simulate_run

from spark_lab.analysis.load import final_items, load_run, load_runs
from spark_lab.errors import UserError

SMALL: dict[str, Any] = {"questions": 8, "steps": 8, "evaluations": 3, "samples": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return simulate_run(tmp_path, "pointwise", 3, sweep="mix", **SMALL)


def edit(path: Path, change: Any) -> None:
    """Rewrites the rows of a JSONL file."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in change(rows)))


def test_a_whole_run(folder: Path) -> None:
    run = load_run(folder)
    assert (run.sweep, run.arm, run.seed, run.state) == ("mix", "pointwise", 3, "done")
    assert run.name == "pointwise seed3" and run.config["budget"]["unit"] == "steps"
    assert run.problems == []
    assert list(run.metrics["step"]) == list(range(1, 9))
    assert list(run.evals["step"]) == [0, 4, 8]
    last = json.loads((folder / "eval.jsonl").read_text().splitlines()[-1])
    assert run.questions == last["questions"]
    assert run.final == {key: value for key, value in last.items() if key != "questions"}


def test_the_last_evaluation_by_question(folder: Path) -> None:
    run = load_run(folder)
    items = final_items(run)
    assert items.problems == [] and set(items.rows["step"]) == {8}
    solved = items.rows[(items.rows["objective"] == "solve") & (items.rows["sample"] == 0)]
    assert list(solved["question"]) == list(range(8))
    assert solved["reward"].mean() == pytest.approx(run.final["policy/accuracy"])


def test_a_torn_tail_is_left_out_and_named(folder: Path) -> None:
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9, "loss": 0.')
    run = load_run(folder)
    assert list(run.metrics["step"]) == list(range(1, 9))
    assert run.problems == ["metrics.jsonl: torn last line 9 left out"]


def test_missing_files_are_named(folder: Path) -> None:
    for name in ("metrics.jsonl", "eval.jsonl", "status.json"):
        (folder / name).unlink()
    run = load_run(folder)
    assert run.metrics.empty and run.evals.empty and run.final is None and run.questions is None
    assert run.problems[:2] == ["metrics.jsonl is missing", "eval.jsonl is missing"]
    assert "not done" in run.problems[2]
    assert final_items(run).rows.empty and final_items(run).problems == ["no evaluation"]


@pytest.mark.parametrize(("state", "said"), [("failed", "out of memory"), ("stopped", "stopped")])
def test_an_unfinished_run_has_no_final(tmp_path: Path, state: str, said: str) -> None:
    run = load_run(simulate_run(tmp_path, "none", 0, state=state, **SMALL))
    assert run.final is None and len(run.evals) == 2
    [problem] = run.problems
    assert problem.startswith("not done") and said in problem


def test_done_without_the_last_evaluation_has_no_final(folder: Path) -> None:
    edit(folder / "eval.jsonl", lambda rows: rows[:-1])
    run = load_run(folder)
    assert run.final is None
    assert run.problems == ["done, but the evaluation after the last step is missing"]


def test_a_metric_that_was_not_measured_stays_unknown(folder: Path) -> None:
    def without(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        del rows[-1]["fixed/judge/pairwise_accuracy"]
        return rows

    edit(folder / "eval.jsonl", without)
    run = load_run(folder)
    assert np.isnan(run.evals["fixed/judge/pairwise_accuracy"].iloc[-1])
    assert "fixed/judge/pairwise_accuracy" not in run.final


def test_values_that_are_no_numbers_are_left_out_and_named(folder: Path) -> None:
    def broken(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        rows[0]["policy/accuracy"] = "high"
        return rows

    edit(folder / "eval.jsonl", broken)
    run = load_run(folder)
    assert np.isnan(run.evals["policy/accuracy"].iloc[0])
    assert run.problems == ["eval.jsonl: policy/accuracy at step 0 is no number: 'high'"]


def test_a_repeated_step_counts_once_and_is_named(folder: Path) -> None:
    edit(folder / "eval.jsonl", lambda rows: [*rows, rows[1] | {"policy/accuracy": 0.125}])
    run = load_run(folder)
    assert list(run.evals["step"]) == [0, 4, 8]
    assert run.evals["policy/accuracy"].iloc[1] == 0.125
    assert run.problems == ["eval.jsonl: step 4 is there twice, the later one is used"]


def test_other_questions_within_a_run_are_named(folder: Path) -> None:
    edit(folder / "eval.jsonl", lambda rows: [rows[0] | {"questions": "beef"}, *rows[1:]])
    run = load_run(folder)
    assert run.questions is None
    assert run.problems == ["the evaluation questions changed during the run"]


def test_damaged_config_and_status_are_named(folder: Path) -> None:
    (folder / "config.yaml").write_text("a: [")
    (folder / "status.json").write_text("{")
    run = load_run(folder)
    assert run.config == {} and run.state == "unknown" and run.arm == "pointwise"
    assert any("config.yaml" in problem for problem in run.problems)
    assert any("status.json" in problem for problem in run.problems)


def test_rollouts_that_contradict_the_metrics_are_refused(folder: Path) -> None:
    def better(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        rows[-1]["policy/accuracy"] += 0.125
        return rows

    edit(folder / "eval.jsonl", better)
    items = final_items(load_run(folder))
    assert items.rows.empty and "eval.jsonl says" in items.problems[0]


@pytest.mark.parametrize("damage", ["missing", "torn", "cut"])
def test_damaged_rollouts_are_refused(folder: Path, damage: str) -> None:
    path = folder / "rollouts" / "eval-000008.jsonl.gz"
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(
            whole[:-9] if damage == "cut" else gzip.compress(gzip.decompress(whole)[:-9])
        )
    items = final_items(load_run(folder))
    assert items.rows.empty and path.name in items.problems[0]


def test_runs_are_found_once_below_any_path(tmp_path: Path) -> None:
    folders = [simulate_run(tmp_path, "none", seed, sweep="s", **SMALL) for seed in (0, 1)]
    found = load_runs([tmp_path, tmp_path / "s", folders[0]])
    assert [run.folder for run in found] == sorted(folders)


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_no_runs_is_bad_input(tmp_path: Path, name: str) -> None:
    for load in (load_run, lambda path: load_runs([path])):
        with pytest.raises(UserError, match="spark-lab runs"):
            load(tmp_path / name)


def test_simulated_levels_are_the_true_ones(tmp_path: Path) -> None:
    """Other tests rest on it: the mean over many questions is what was asked for."""
    levels = Levels(policy=(0.3, 0.8), judge=(0.6, 0.7), pairwise=(0.5, 0.9), fix=(0.2, 0.6))
    many = {"questions": 4000, "steps": 2, "evaluations": 2, "samples": 1, "seed_spread": 0.0}
    run = load_run(simulate_run(tmp_path, "none", 0, levels, rollouts=(), **many))
    start, end = run.evals.iloc[0], run.evals.iloc[-1]
    for metric, (before, after) in {
        "policy/accuracy": levels.policy,
        "fixed/judge/pointwise_balanced_accuracy": levels.judge,
        "fixed/judge/pairwise_accuracy": levels.pairwise,
        "fixed/reflect/fix_rate": levels.fix,
    }.items():
        assert start[metric] == pytest.approx(before, abs=0.03)
        assert end[metric] == pytest.approx(after, abs=0.03)
