"""What a named sweep asks: read and checked, kept out of its runs, and on top of its report."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from simulated import Levels, simulate_run
from test_report import page_of, rewrite, section, words

from spark_lab.analysis.report import write
from spark_lab.errors import UserError
from spark_lab.sweeping import plan
from spark_lab.sweeping.sweep import planned

ASKS = {
    "asks": "Does <b>reflection</b> help?",
    "primary": "fixed/reflect/fix_rate",
    "baseline": "reflect",
    "answer": "an interval without zero",
}


def sweep(*overrides: str, config_name: str = "leave_one_out") -> plan.Plan:
    found = planned(config_name, list(overrides), True)
    assert found is not None
    return found


def refusal(*overrides: str, config_name: str = "leave_one_out") -> str:
    with pytest.raises(UserError) as caught:
        sweep(*overrides, config_name=config_name)
    return str(caught.value)


def asked(root: Path, arms=("none", "reflect"), **question) -> Path:
    """A sweep of simulated runs with a question in its plan."""
    small = {"questions": 24, "evaluations": 3, "steps": 12, "samples": 2, "rollouts": ("eval",)}
    for arm in arms:
        for seed in (0, 1, 2):
            level = Levels(policy=(0.3, 0.9), fix=(0.2, 0.9 if arm == "reflect" else 0.2))
            simulate_run(root, arm, seed, level, sweep="s", **small)
    stored = {"question": ASKS | question, "runs": []}
    (root / "s/plan.json").write_text(json.dumps(stored))
    return root / "s"


def test_the_question_is_in_the_plan_and_in_no_run() -> None:
    found = sweep("seed=0")
    stored = plan.as_data(found)["question"]
    assert stored["primary"] == "policy/accuracy" and stored["baseline"] == "spark"
    assert stored["asks"].endswith("?")
    assert all("question" not in asdict(run.config) for run in found.runs)
    other = sweep("seed=0", "question.asks=Why?", "question.baseline=none")
    assert other.question is not None and other.question.asks == "Why?"
    assert (other.name, [run.hash for run in other.runs]) == (
        found.name,
        [run.hash for run in found.runs],
    )


def test_a_plain_multirun_asks_nothing_unless_it_is_typed() -> None:
    assert sweep("objective=none,pairwise", config_name="config").question is None
    typed = "+question={asks: a, primary: null, baseline: null, answer: b}"
    found = sweep("objective=none,pairwise", typed, config_name="config")
    assert found.question is not None and found.question.asks == "a"
    assert found.name == "objective"
    assert sweep("~question").question is None


def test_a_baseline_keeps_its_part_in_longer_names() -> None:
    found = sweep("trainer.beta=0,0.01", "seed=0")
    assert found.question is not None and found.question.baseline == "spark,beta=0"
    alone = sweep("objective=pairwise", "seed=0", config_name="objectives")
    assert alone.question is not None and alone.question.baseline is None


@pytest.mark.parametrize(
    ("override", "where", "got"),
    [
        ("question.baseline=spak", "question.baseline", "spak"),
        ("question.primary=accuracy", "question.primary", "'accuracy'"),
        ("+question.primry=x", "question.primry", "primry"),
        ("question.asks=null", "question.asks", "null"),
        ("~question.answer", "question.answer", "nothing"),
        ("question=none", "question", "'none'"),
    ],
)
def test_a_bad_question_is_refused(override: str, where: str, got: str) -> None:
    said = refusal(override)
    assert said.startswith(f"{where}\n") and f"got       {got}" in said


def test_the_report_begins_with_the_question(tmp_path: Path) -> None:
    folder = asked(tmp_path)
    page = write([folder]).read_text()
    top = words(page[page.index("<h1>") : page.index('<section id="verdicts">')])
    assert "Does &lt;b&gt;reflection&lt;/b&gt; help?" in top
    assert "answered by answers fixed by reflection" in top
    assert "compared with reflect" in top and "settled by an interval without zero" in top
    verdicts = section(page, "verdicts")
    heads = re.findall(r"<h3>(.*?)</h3>", verdicts)
    assert heads[0].startswith("Answers fixed by reflection") and "answers the question" in heads[0]
    assert not any("answers the question" in head for head in heads[1:])
    assert "none vs reflect: answers fixed by reflection" in words(verdicts).partition("Policy")[0]
    text = (folder / "report/report.md").read_text()
    assert text.index("**Does &lt;b&gt;reflection&lt;/b&gt; help?**") < text.index("## Verdicts")


def test_a_primary_metric_beyond_the_usual_ones_is_tested_and_shown(tmp_path: Path) -> None:
    page = page_of(asked(tmp_path, primary="policy/pass_at_2"))
    assert "none vs reflect: policy pass@2" in words(section(page, "verdicts"))
    assert "policy pass@2" in words(section(page, "results"))
    skipped = page_of(asked(tmp_path / "absent", primary="tts/accuracy"))
    assert "tts/accuracy answers the question, and no run has it" in section(skipped, "missing")
    counted = page_of(asked(tmp_path / "counted", primary="compute/generated_tokens"))
    assert "is no share between 0 and 1" in words(section(counted, "verdicts"))


def test_a_balanced_accuracy_is_a_share_whatever_its_questions_weigh(tmp_path: Path) -> None:
    """With few wrong solutions, one of them weighs more than a whole question."""
    metric = "fixed/judge/pointwise_balanced_accuracy"
    folder = asked(tmp_path, primary=metric)
    for run in folder.glob("*/seed*"):
        path = run / "rollouts/eval-000012.jsonl.gz"
        rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        kept = [row for row in rows if row["source_correct"] is not False or row["question"] < 3]
        lines = "".join(json.dumps(row) + "\n" for row in kept)
        path.write_bytes(gzip.compress(lines.encode(), mtime=0))
        judged = [r for r in kept if (r["set"], r["objective"]) == ("fixed", "pointwise")]
        shares = [
            np.mean([row["reward"] for row in judged if row["source_correct"] is label])
            for label in (True, False)
        ]
        rewrite(run / "eval.jsonl", lambda row, s=shares: row | {metric: float(np.mean(s))})
    verdicts = words(section(page_of(folder), "verdicts"))
    assert "none vs reflect: pointwise judge accuracy" in verdicts
    assert "pointwise judge accuracy (fixed judge set) is not compared" not in verdicts


def test_a_damaged_question_is_no_question(tmp_path: Path) -> None:
    page = page_of(asked(tmp_path, asks=3))
    assert "answered by" not in page and "reflect vs none" in section(page, "verdicts")


def test_the_plan_keeps_what_to_type_for_the_same_results() -> None:
    elsewhere = ["root=/tmp/x", "tracking=off", "trainer.threads=1", "hydra/launcher=joblib"]
    found = planned("smoke", ["seed=3,4", "objective=none,reflect", *elsewhere], False)
    assert found is not None
    command = plan.as_data(found)["command"]
    assert command == ["spark-lab", "-cn", "smoke", "seed=3,4", "objective=none,reflect"]
    again = planned("smoke", command[3:], False)
    assert again is not None and again.name == found.name
    assert [run.hash for run in again.runs] == [run.hash for run in found.runs]
