"""What is missing, damaged or contradictory is named in the report, and is in none of its numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from simulated import simulate_run
from test_report import SMALL, csv_of, page_of, rewrite, run_of, section, sweep, words

from spark_lab.analysis.curves import area_under_curve
from spark_lab.analysis.report.content import compose
from spark_lab.errors import UserError


def test_missing_seeds_and_failed_runs_are_named(tmp_path: Path) -> None:
    folder = sweep(tmp_path, arms=("none",), seeds=(0, 1, 2))
    simulate_run(tmp_path, "reflect", 0, sweep="s", **SMALL)
    simulate_run(tmp_path, "reflect", 1, sweep="s", state="failed", **SMALL)
    page = page_of(folder)
    missing = words(section(page, "missing"))
    assert "reflect has no run of seed 2" in missing
    assert "reflect seed1: not done, failed at step 7: RuntimeError: out of memory" in missing
    assert "Left out for want of a partner: seeds 1, 2 of none" in section(page, "verdicts")


def test_an_arm_without_a_finished_run_is_in_no_verdict(tmp_path: Path) -> None:
    folder = sweep(tmp_path, arms=("none",))
    simulate_run(tmp_path, "reflect", 0, sweep="s", state="failed", **SMALL)
    page = page_of(folder)
    assert "reflect vs" not in section(page, "verdicts")
    assert "reflect has no finished run" in section(page, "missing")


def test_a_baseline_without_a_finished_run_is_named_in_every_verdict(tmp_path: Path) -> None:
    folder = sweep(tmp_path, arms=("pointwise", "reflect"))
    simulate_run(tmp_path, "none", 0, sweep="s", state="failed", **SMALL)
    page = page_of(folder)
    verdicts = words(section(page, "verdicts"))
    assert "policy accuracy is not compared: none has no finished run" in verdicts
    assert "nothing to compare" not in verdicts and "better" not in verdicts
    assert "none has no finished run" in section(page, "missing")


def test_seeds_that_differ_in_what_shapes_no_result_are_one_arm(tmp_path: Path) -> None:
    folder = sweep(tmp_path, seeds=(0, 1, 2))
    for arm in ("none", "pointwise"):
        path = run_of(folder, arm, 1) / "config.yaml"
        config = yaml.safe_load(path.read_text())
        config |= {"reuse": False, "retry": 1}
        config["trainer"]["threads"] = 7
        path.write_text(yaml.safe_dump(config))
    report = compose([folder], "spark-lab report")
    assert [row[0].value for row in report.summaries.rows] == ["none", "pointwise"]
    assert "n = 3 seeds" in report.verdicts["policy accuracy"][0].line


def test_areas_span_what_every_run_reached(tmp_path: Path) -> None:
    for arm, tokens in (("none", 1000), ("pointwise", 2000)):
        simulate_run(tmp_path, arm, 0, sweep="s", tokens_per_step=tokens, **SMALL)
    table = compose([tmp_path / "s"], "spark-lab report").summaries
    assert "up to 12 k generated tokens" in table.caption
    run = run_of(tmp_path / "s", "pointwise", 0)
    evals = [json.loads(line) for line in (run / "eval.jsonl").read_text().splitlines()]
    curve = [(row["compute/generated_tokens"], row["policy/accuracy"]) for row in evals]
    area = area_under_curve(*map(np.array, zip(*curve, strict=True)), until=12_000)
    [cell] = [row[3].value for row in table.rows if row[0].value == "pointwise"]
    assert cell == pytest.approx(area)


def test_two_sweeps_of_one_name_are_refused(tmp_path: Path) -> None:
    for root in ("a", "b"):
        sweep(tmp_path / root)
    with pytest.raises(UserError, match="two sweeps of one name"):
        compose([tmp_path / "a", tmp_path / "b"], "spark-lab report a b")


def test_planned_runs_that_never_began_are_named(tmp_path: Path) -> None:
    folder = sweep(tmp_path)
    runs = [{"arm": arm, "seed": seed} for arm in ("none", "pairwise") for seed in (0, 1)]
    (folder / "plan.json").write_text(json.dumps({"runs": runs}))
    assert "pairwise has no run of seed 0, 1" in section(page_of(folder), "missing")


def test_an_evaluation_that_was_torn_off_leaves_its_run_out(tmp_path: Path) -> None:
    folder = sweep(tmp_path, seeds=(0, 1, 2))
    path = run_of(folder, "none", 0) / "eval.jsonl"
    path.write_text(path.read_text()[:-30])
    page = page_of(folder)
    missing = words(section(page, "missing"))
    assert "none seed0: done, but the evaluation after the last step is missing" in missing
    assert "n = 2 seeds" in section(page, "verdicts")


def test_rollouts_that_contradict_the_log_are_refused(tmp_path: Path) -> None:
    folder = sweep(tmp_path)
    path = run_of(folder, "none", 0) / "eval.jsonl"
    rewrite(path, lambda row: row | {"policy/accuracy": 0.111})
    missing = words(section(page_of(folder), "missing"))
    assert "eval.jsonl says 0.1110" in missing


def test_damaged_config_and_facts_do_not_stop_the_report(tmp_path: Path) -> None:
    folder = sweep(tmp_path)
    run = run_of(folder, "none", 0)
    (run / "config.yaml").write_text("{")
    (run / "env.json").write_text("[1")
    (run / "overrides.yaml").write_text("{")
    page = page_of(folder)
    assert "config.yaml: not a configuration" in words(section(page, "missing"))
    assert "pointwise vs none" in section(page, "verdicts")


def test_no_rollouts_and_no_judge_are_said_in_a_sentence(tmp_path: Path) -> None:
    folder = sweep(tmp_path)
    for path in folder.rglob("eval-*.jsonl.gz"):
        path.unlink()
    for path in folder.rglob("eval.jsonl"):
        rewrite(path, lambda row: {k: v for k, v in row.items() if not k.startswith("fixed/")})
    coevolution = words(section(page := page_of(folder), "coevolution"))
    assert "No portrait: policy and judge were not both measured" in coevolution
    assert "It needs the rollouts of the last evaluation" in coevolution
    assert "no rollouts of an evaluation can be read" in section(page, "samples")
    header = csv_of(folder, "skills").splitlines()[0]
    assert "fixed/" not in header and "policy/accuracy" in header


@pytest.mark.parametrize("change", [{"reward": "much"}, {"question": None}, {"p_yes": 7.0}])
def test_rows_that_are_no_rollouts_are_refused(tmp_path: Path, change: dict) -> None:
    folder = sweep(tmp_path)
    for path in (run_of(folder, "none", 0) / "rollouts").glob("eval-*12.jsonl.gz"):
        rewrite(path, lambda row: row | change if row["objective"] == "pointwise" else row)
    missing = words(section(page_of(folder), "missing"))
    assert "none seed0: eval-000012.jsonl.gz: 96 of 360 rows are no rollouts, left out" in missing
