"""Whole multiruns in processes of their own, on budgets of a few steps."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from spark_lab import runs
from spark_lab.models.load import resolve_path

ROOT = Path(__file__).parent.parent
ARMS = ["pointwise", "pairwise", "reflect"]
TINY = [
    "budget=steps",
    "trainer.prompts_per_window=2",
    "trainer.group_size=2",
    "trainer.save_every=1",
]
TINY += ["task.chain_sums.eval_size=8", "eval.samples=1", "eval.every=0", "eval.test_time=off"]
TINY += ["budget=steps", "budget.limit=3"]
TIMED = ("time", "seconds", "pid", "started", "updated", "attempt")
# Exit codes of the command line.
DONE, INCOMPLETE, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def start(root: Path, *words: str, output: int | IO[str] = subprocess.PIPE) -> subprocess.Popen:
    command = [sys.executable, "-c", "from spark_lab.cli import main; main()"]
    return subprocess.Popen(
        [*command, *TINY, "-m", *words, f"root={root}"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # A shell starts its background jobs with Ctrl-C ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def multirun(root: Path, *words: str) -> tuple[int, str]:
    """Exit code and everything that was printed."""
    process = start(root, *words)
    said, _ = process.communicate(timeout=400)
    assert "Traceback" not in said, said
    return process.returncode, said


def folders(root: Path) -> dict[str, Path]:
    """Run folders by arm."""
    return {folder.parent.name: folder for folder in runs.find_runs(root)}


def untimed(folder: Path) -> dict[str, list[dict]]:
    """Every row of a run but for its clock."""
    return {
        name: [
            {
                key: value
                for key, value in json.loads(line).items()
                if key.split("/")[-1] not in TIMED
            }
            for line in (folder / name).read_text().splitlines()
        ]
        for name in ("metrics.jsonl", "eval.jsonl")
    }


def snapshot(root: Path) -> dict[str, int]:
    """When each file below a folder was last written, MLflow's own files aside."""
    return {
        str(path): path.stat().st_mtime_ns
        for path in root.rglob("*")
        if path.is_file() and "mlflow" not in path.name
    }


def points(root: Path) -> dict[tuple[str, str], list[int]]:
    """The steps of every metric point in MLflow: by (run name, metric)."""
    with sqlite3.connect(root / "mlflow.db") as database:
        rows = database.execute(
            "select r.name, m.key, m.step from metrics m join runs r using (run_uuid)"
            " where r.lifecycle_stage = 'active' order by m.step"
        ).fetchall()
    found: dict[tuple[str, str], list[int]] = {}
    for run, key, step in rows:
        found.setdefault((run, key), []).append(step)
    return found


def wait_for(condition: Callable[[], bool], process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 900
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The root of an uninterrupted sweep, and what it printed."""
    root = tmp_path_factory.mktemp("finished")
    code, said = multirun(root, f"objective={','.join(ARMS)}")
    assert code == DONE, said
    return root, said


@pytest.mark.slow
def test_one_command_gives_runs_report_and_comparison(finished: tuple[Path, str]) -> None:
    root, said = finished
    found = folders(root)
    assert list(found) == sorted(ARMS)
    sweep = found["reflect"].parents[1]
    assert all(runs.read_status(folder)["state"] == "done" for folder in found.values())
    assert "<svg" in (sweep / "report/report.html").read_text()
    assert "3 of 3 runs are done." in said.splitlines()[-1]
    assert str(sweep / "report/report.html") in said
    planned = json.loads((sweep / "plan.json").read_text())["runs"]
    assert {run["arm"]: sweep / run["folder"] for run in planned} == found


@pytest.mark.slow
def test_mlflow_has_the_arms_side_by_side_and_the_sweep(finished: tuple[Path, str]) -> None:
    from mlflow import MlflowClient

    root, _ = finished
    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    [experiment] = client.search_experiments(filter_string="name = 'spark-lab'")
    logged = client.search_runs([experiment.experiment_id])
    children = {run.data.tags["arm"]: run for run in logged if "arm" in run.data.tags}
    assert sorted(children) == sorted(ARMS) and len(logged) == len(ARMS) + 1
    [parent] = [run for run in logged if "arm" not in run.data.tags]
    assert parent.info.status == "FINISHED"
    sweep = folders(root)["reflect"].parents[1]
    assert parent.info.run_name == f"sweep {sweep.name}"
    for arm, run in children.items():
        assert run.data.tags["sweep"] == parent.data.tags["sweep"] == sweep.name
        assert run.data.tags["seed"] == "0" and run.info.run_name == f"{arm} seed0"
        final = run.data.metrics["final/policy/accuracy"]
        assert parent.data.metrics[f"final/policy/accuracy/{arm}"] == final
    kept = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert kept == {"plan.json", "report"}
    assert "report/report.html" in {
        item.path for item in client.list_artifacts(parent.info.run_id, "report")
    }


@pytest.mark.slow
def test_the_same_command_again_does_nothing(finished: tuple[Path, str]) -> None:
    root, _ = finished
    files, logged = snapshot(root), points(root)
    began = time.perf_counter()
    code, said = multirun(root, f"objective={','.join(ARMS)}")
    assert code == DONE and "nothing to do" in said and "3 of 3" in said.splitlines()[-1]
    assert time.perf_counter() - began < 15
    assert (snapshot(root), points(root)) == (files, logged)


@pytest.mark.slow
def test_a_failing_arm_leaves_the_others_alone(tmp_path: Path) -> None:
    """On two workers. Its first step fails; it is retried, named, and done once it is mended."""
    model = tmp_path / "model"
    shutil.copytree(resolve_path("builtin:tiny"), model)
    sizes = (model / "config.json").read_text()
    wrong = json.loads(sizes) | {"attention_dropout": 2.0}
    (model / "config.json").write_text(json.dumps(wrong))
    arms = f"+arms={{broken: ['model.path={model}'], whole: []}}"
    words = [arms, "name=mend", "objective=none", "retry=1", "tracking=off"]
    words += ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=0"]
    root = tmp_path / "runs"

    code, said = multirun(root, *words)
    assert code == INCOMPLETE, said
    whole = folders(root)["whole"]
    assert runs.read_status(whole)["state"] == "done"
    broken = runs.read_status(folders(root)["broken"])
    assert (broken["state"], broken["attempt"]) == ("failed", 2)
    tail = said.splitlines()[-7:]
    assert "1 of 2 runs are done. Missing:" in "\n".join(tail)
    assert any(line.split()[:2] == ["broken", "seed0"] for line in tail)
    assert " -m " in tail[-1] and "name=mend" in tail[-1]
    assert (root / "mend/report/report.html").exists()
    assert (root / "mend/logs/broken-seed0.log").read_text().strip()
    threads = json.loads((whole / "env.json").read_text())["threads"]
    assert threads == "1"

    before = snapshot(whole)
    (model / "config.json").write_text(sizes)
    code, said = multirun(root, *words)
    assert code == DONE and "1 done before" in said, said
    assert snapshot(whole) == before
    mended = folders(root)["broken"]
    assert untimed(mended) == untimed(whole)


def test_bad_input_starts_nothing(tmp_path: Path) -> None:
    code, said = multirun(tmp_path / "runs", "objective=none,reflect", "trainer.threads=1,2")
    assert code == BAD_INPUT and "trainer.threads=1,2" in said
    assert not (tmp_path / "runs").exists()


def test_dry_run_plans_and_writes_nothing(tmp_path: Path) -> None:
    code, said = multirun(tmp_path / "runs", "objective=none,reflect", "seed=0,1", "dry_run=true")
    assert code == DONE
    lines = [line.split() for line in said.splitlines() if "  seed " in line]
    assert [(line[0], line[2], line[4]) for line in lines] == [
        ("none", "0", "new"),
        ("reflect", "0", "new"),
        ("none", "1", "new"),
        ("reflect", "1", "new"),
    ]
    assert "0 of 4 are done. To do: 4 runs with 1 worker" in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_ctrl_c_stops_a_sweep_and_so_does_the_death_of_its_command(tmp_path: Path) -> None:
    """Neither leaves a run behind that nobody waits for; the first says how to go on."""

    words = ["objective=none,pointwise", "tracking=off", "budget.limit=5000"]

    def steps() -> list[int]:
        return runs.complete_checkpoints(folders(tmp_path)["none"])

    process = start(tmp_path, *words)
    wait_for(lambda: "none" in folders(tmp_path) and bool(steps()), process)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED and "same command" in said, said
    assert "Traceback" not in said
    assert runs.read_status(folders(tmp_path)["none"])["state"] == "stopped"
    reached = steps()[-1]

    process = start(tmp_path, *words)
    wait_for(lambda: steps()[-1] > reached, process)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 60
    while runs.read_status(folders(tmp_path)["none"])["state"] != "stopped":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert list(folders(tmp_path)) == ["none"]


@pytest.mark.slow
def test_a_run_torn_after_its_last_step_is_not_trained_further(
    finished: tuple[Path, str], tmp_path: Path
) -> None:
    """All is there but the summing up: the last checkpoint, and the evaluation before it."""
    shutil.copytree(finished[0], tmp_path / "runs")
    folder = folders(tmp_path / "runs")["reflect"]
    runs.write_status(folder, state="running", final={})
    code, said = multirun(tmp_path / "runs", f"objective={','.join(ARMS)}", "tracking=off")
    assert code == DONE and "2 done before" in said, said
    assert untimed(folder) == untimed(folders(finished[0])["reflect"])
    assert runs.read_status(folder)["final"]["policy/accuracy"] >= 0.0
