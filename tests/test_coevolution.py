"""The co-evolution figure shows what was measured, with its interval, in files that do not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import rcParams
from scipy.stats import binomtest
from simulated import simulate_run

from spark_lab.analysis import coevolution, skills
from spark_lab.analysis.load import load_run

SMALL: dict[str, Any] = {"questions": 10, "steps": 8, "evaluations": 5, "samples": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return simulate_run(tmp_path, "pointwise+reflect", 0, **SMALL)


def words(svg: Path) -> str:
    root = ElementTree.parse(svg).getroot()
    return " ".join(
        "".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")
    )


def test_files_beside_the_run_with_text_as_text(folder: Path) -> None:
    svg, png = coevolution.save(folder)
    assert svg == folder / "figures" / "coevolution.svg" and png.suffix == ".png"
    said = words(svg)
    final = load_run(folder).final
    assert f"policy {100 * final['policy/accuracy']:.0f}" in said
    assert "pointwise+reflect, seed 0" in said and "n = 10 held-out questions" in said
    assert "generated tokens (millions)" in said


def test_the_same_run_gives_the_same_bytes(folder: Path) -> None:
    first = [path.read_bytes() for path in coevolution.save(folder)]
    before = dict(rcParams)
    assert [path.read_bytes() for path in coevolution.save(folder)] == first
    assert dict(rcParams) == before


@pytest.mark.parametrize("axis", list(coevolution.AXES))
def test_any_compute_axis(folder: Path, axis: str) -> None:
    run = load_run(folder)
    [row] = coevolution.figure(run, axis).subfigs
    left, _ = row.axes
    divisor, label = coevolution.AXES[axis]
    assert left.get_xlabel() == label
    np.testing.assert_allclose(left.lines[0].get_xdata(), run.evals[axis] / divisor)
    np.testing.assert_allclose(left.lines[0].get_ydata(), run.evals["policy/accuracy"])


def test_an_unknown_axis_names_the_known_ones(folder: Path) -> None:
    with pytest.raises(ValueError, match="compute/flops"):
        coevolution.figure(load_run(folder), "compute/watts")


def test_a_row_per_arm_and_seeds_together(tmp_path: Path) -> None:
    folders = [
        simulate_run(tmp_path, arm, seed, **SMALL)
        for arm in ("none", "reflect")
        for seed in range(3)
    ]
    drawn = coevolution.figure([load_run(folder) for folder in folders])
    assert [row.get_suptitle() for row in drawn.subfigs] == ["none, 3 seeds", "reflect, 3 seeds"]


def test_intervals_over_questions_are_wilsons() -> None:
    for right, count in ((0, 10), (7, 10), (200, 200)):
        low, high = skills.wilson(np.array([right / count]), count)
        known = binomtest(right, count).proportion_ci(0.95, method="wilson")
        assert low[0] == pytest.approx(known.low, abs=1e-4)
        assert high[0] == pytest.approx(known.high, abs=1e-4)


def test_the_band_counts_the_questions_behind_each_skill(folder: Path) -> None:
    run = load_run(folder)
    counts = skills.trials(run)
    # Each question's right and wrong solution; pairs once although both orders were judged.
    assert counts == {"policy": 10, "pointwise": 20, "pairwise": 10, "reflect": 10}
    policy = skills.skill_curves([run], "step")[0]
    low, high = skills.wilson(policy.mean, 10)
    np.testing.assert_allclose([policy.low, policy.high], [low, high])


def test_seeds_have_an_interval_over_seeds(tmp_path: Path) -> None:
    runs = [load_run(simulate_run(tmp_path, "none", seed, **SMALL)) for seed in range(3)]
    policy = skills.skill_curves(runs, "step")[0]
    scores = np.array([run.evals["policy/accuracy"] for run in runs])
    np.testing.assert_allclose(policy.mean, scores.mean(axis=0))
    half = 4.302652729911275 * scores.std(axis=0, ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(policy.high - policy.mean, half)
    both = skills.skill_curves(runs[:2], "step")[0]
    np.testing.assert_allclose(both.low, scores[:2].min(axis=0))


def test_without_rollouts_there_is_no_band(tmp_path: Path) -> None:
    folder = simulate_run(tmp_path, "none", 0, rollouts=(), **SMALL)
    curve = skills.skill_curves([load_run(folder)], "step")[0]
    np.testing.assert_array_equal(curve.low, curve.high)
    assert "No bands" in words(coevolution.save(folder)[0])


def test_a_skill_that_was_not_measured_is_not_drawn(folder: Path) -> None:
    run = load_run(folder)
    kept = run.evals.drop(columns=[skill.metric for skill in skills.SKILLS if skill.judge])
    run.evals.drop(columns=run.evals.columns.difference(kept.columns), inplace=True)
    left, right = coevolution.figure(run).subfigs[0].axes
    assert len(left.lines) == 2
    assert [text.get_text() for text in right.texts] == ["not measured"]


def test_one_evaluation_is_enough_and_none_gives_no_file(folder: Path) -> None:
    evaluations = folder / "eval.jsonl"
    evaluations.write_text(evaluations.read_text().splitlines(keepends=True)[0])
    assert len(coevolution.save(folder)) == 2
    evaluations.write_text("")
    assert coevolution.save(folder) == []
