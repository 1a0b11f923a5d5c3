"""The report shows how a reward of the policy's own drifts from the truth, where runs have one."""

from __future__ import annotations

import json
from pathlib import Path

from simulated import simulate_run

from spark_lab.analysis.report.content import compose


def judge_itself(folder: Path) -> None:
    path = folder / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row |= {"reward/hacking_gap": 0.01 * row["step"], "reward/self_accuracy": 0.7}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_self_reward_is_shown_where_a_run_judges_itself(tmp_path: Path) -> None:
    for seed in (0, 1):
        simulate_run(tmp_path, "none", seed, questions=20, steps=12, evaluations=3)
    plain = compose([tmp_path], "spark-lab report").health
    for seed in (0, 1):
        judge_itself(
            simulate_run(tmp_path, "pointwise", seed, questions=20, steps=12, evaluations=3)
        )
    judged = compose([tmp_path], "spark-lab report").health
    titles = [
        {axes.get_title(loc="left").replace("\n", " ") for axes in drawing.draw().axes}
        for drawing in (plain, judged)
    ]
    assert titles[1] - titles[0] >= {"self-reward minus truth"}
    assert any(title.startswith("self-reward ranks rightly") for title in titles[1])
    assert not any("verdicts turned round" in title for title in titles[1])
    assert "reward hacking" in judged.caption and "reward hacking" not in plain.caption
