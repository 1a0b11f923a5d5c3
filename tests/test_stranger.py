"""The path of somebody with questions and a model of their own, from the files to a report."""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spark_lab import runs
from spark_lab.models.load import resolve_path

ROOT = Path(__file__).parent.parent
# As the README has it. What follows are sizes, for a model of 0.3 million weights and for a test.
ASKED = """
spark-lab -m objective=none,pointwise,spark name=mine
  model=local model.path=model trainer=llm
  task=data task.data.train_path=questions.jsonl task.data.eval_size=40
  budget=rollouts budget.limit=64
"""
SIZES = """
  model.templates=terse trainer.max_completion_length=40 trainer.prompts_per_window=4
  trainer.group_size=4 trainer.learning_rate=3e-4 eval.samples=1 eval.test_time=off
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 200 questions and a checkpoint of the Llama architecture, as others save it."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copytree(resolve_path("builtin:tiny"), folder / "model")
    (folder / "model/provenance.json").unlink()
    stored = json.loads((folder / "model/config.json").read_text())
    assert stored["architectures"] == ["LlamaForCausalLM"]
    rng, asked = random.Random(0), {}
    while len(asked) < 200:
        terms = [rng.randint(1, 9) for _ in range(rng.randint(2, 4))]
        asked["+".join(map(str, terms))] = sum(terms)
    rows = [json.dumps({"question": text, "answer": total}) for text, total in asked.items()]
    (folder / "questions.jsonl").write_text("\n".join(rows) + "\n")
    return folder


def typed(home: Path, line: str, *more: str) -> str:
    """What a command prints; it must succeed."""
    words = [*shlex.split(line)[1:], *more]
    done = subprocess.run(
        [sys.executable, "-c", "from spark_lab.cli import main; main()", *words],
        cwd=home,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_from_files_to_a_report_of_three_arms(home: Path) -> None:
    planned = typed(home, ASKED + SIZES, "dry_run=true")
    assert "3 arms x 1 seed" in planned and not (home / "runs").exists()
    said = typed(home, ASKED + SIZES)
    report = home / "runs/mine/report"
    assert "report.html" in said
    text = (report / "report.md").read_text()
    arms = {run.parent.name for run in runs.find_runs(home / "runs")}
    assert len(arms) == 3 and all(arm in text for arm in arms)
    assert (report / "report.html").stat().st_size > 10_000
    for run in runs.find_runs(home / "runs"):
        assert runs.read_status(run)["state"] == "done"
        facts = json.loads((run / "env.json").read_text())
        assert facts["dataset"] == {"train": 160, "eval": 40} and facts["model_sha256"]
    table = typed(home, "spark-lab runs")
    assert all(arm in table for arm in arms) and table.count("done") == 3
    assert "prompt" in typed(home, f"spark-lab rollouts mine/{sorted(arms)[0]} --limit 2").lower()
    assert "nothing to do" in typed(home, ASKED + SIZES)
