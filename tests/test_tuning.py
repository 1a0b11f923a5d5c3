"""Whole searches in processes of their own, on budgets of a few steps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from search_kills import kill
from test_sweeping import DONE, snapshot, start, wait_for

from spark_lab import runs
from spark_lab.analysis.search import read

SPACE = [
    "hydra/sweeper=optuna",
    "name=tune",
    "trainer.learning_rate=tag(log,interval(1e-5,1e-2))",
    "objective=none,[pointwise,reflect]",
]
LESS = ["eval.every=1", "eval.test_time=off", "tracking.console=plain"]
COMMAND = [*SPACE, *LESS, "hydra.sweeper.n_trials=3", "hydra.sweeper.revalidate=1", "seed=0,1"]
COMMAND += ["hydra/sweeper/pruner=median", "hydra.sweeper.pruner.n_startup_trials=1"]
COMMAND += ["hydra.sweeper.pruner.n_warmup_rungs=0", "hydra.sweeper.rungs=3"]
COMMAND += ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
COMMAND += ["hydra.sweeper.maximize=[policy/sampled_accuracy]"]


def data(root: Path) -> dict:
    return json.loads((root / "tune/study.json").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The root of a search of three trials of two seeds, pruned over both, one of whose workers was
    killed while it trained, and what it printed."""
    root = tmp_path_factory.mktemp("search")
    process = start(root, *COMMAND)
    wait_for(lambda: any(runs.complete_checkpoints(f) for f in runs.find_runs(root)), process)
    kill(process, "worker")
    said, _ = process.communicate(timeout=1500)
    assert process.returncode == DONE and "Traceback" not in said, said
    return root, said


@pytest.mark.slow
def test_trials_are_ordinary_runs(finished: tuple[Path, str]) -> None:
    root, said = finished
    found = data(root)
    assert [trial["number"] for trial in found["trials"]] == [0, 1, 2]
    for trial in found["trials"]:
        folders = sorted((root / "tune" / runs.trial_arm(trial["number"])).glob("seed*"))
        states = [runs.read_status(folder)["state"] for folder in folders]
        assert trial["state"] in ("COMPLETE", "PRUNED")
        whole = "complete" if trial["state"] == "COMPLETE" else "pruned between seeds"
        assert trial["ended"] == ("pruned" if states[-1] == "pruned" else whole)
        assert set(states[:-1]) <= {"done"}
        if trial["state"] == "COMPLETE":
            finals = [runs.read_status(f)["final"]["policy/sampled_accuracy"] for f in folders]
            assert states == ["done", "done"] and trial["values"] == [sum(finals) / 2]
        config = runs.read_config(folders[0])
        rate = trial["params"]["trainer.learning_rate"]
        assert config["trainer"]["learning_rate"] == rate
    assert f"{root}" in said and "2 of 2 runs are done." in said.splitlines()[-1]


@pytest.mark.slow
def test_a_killed_worker_costs_what_it_was_training(finished: tuple[Path, str]) -> None:
    """Two at most: joblib ends the other worker as well."""
    root, said = finished
    assert said.count("a worker process was killed") == 1
    statuses = [runs.read_status(folder) for folder in runs.find_runs(root)]
    assert all(status["state"] in ("done", "pruned") for status in statuses)
    assert 1 <= sum(status["attempt"] - 1 for status in statuses) <= 2


@pytest.mark.slow
def test_mlflow_has_each_trial_with_its_number_and_how_it_ended(finished: tuple[Path, str]) -> None:
    from mlflow import MlflowClient

    root, _ = finished
    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    [experiment] = client.search_experiments(filter_string="name = 'spark-lab'")
    logged = client.search_runs([experiment.experiment_id])
    trials = {
        (r.data.tags["trial"], r.data.tags["seed"]): r for r in logged if "trial" in r.data.tags
    }
    folders = [f for f in runs.find_runs(root / "tune") if runs.trial_of(f.parent.name) is not None]
    expected = {
        (str(runs.trial_of(f.parent.name)), str(runs.read_config(f)["seed"])) for f in folders
    }
    assert trials.keys() == expected and {number for number, _ in trials} == set("012")
    states = {trial["number"]: trial["ended"] for trial in data(root)["trials"]}
    [search] = [run for run in logged if "arm" not in run.data.tags]
    for folder in folders:
        number = runs.trial_of(folder.parent.name)
        found = trials[str(number), str(runs.read_config(folder)["seed"])].data.tags
        assert found["status"] == runs.read_status(folder)["state"]
        assert found["trial_state"] == states[number]
        assert found["mlflow.parentRunId"] == search.info.run_id
    tuned = f"tuned-{read(root / 'tune').chosen.number:03d}"
    arms = {run.data.tags.get("arm") for run in logged}
    assert {"untuned", tuned} <= arms and "search_history.svg" in _artifacts(client, logged)


def _artifacts(client, logged) -> str:
    [sweep] = [run for run in logged if "arm" not in run.data.tags]
    return " ".join(one.path for one in client.list_artifacts(sweep.info.run_id, "report/figures"))


@pytest.mark.slow
def test_the_same_command_again_runs_nothing(finished: tuple[Path, str]) -> None:
    root, _ = finished
    before = snapshot(root)
    process = start(root, *COMMAND)
    said, _ = process.communicate(timeout=600)
    assert process.returncode == DONE and "Traceback" not in said, said
    assert snapshot(root) == before, "no run, report or record was written anew"
