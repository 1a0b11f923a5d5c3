"""A sweep of four runs through submitit and Ray: the basic launcher's tables, bit for bit."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from test_sweeping import DONE, ROOT, TINY, untimed
from test_sweeping_killed import by_name, tables
from test_tuning_postgres import server  # noqa: F401, a fixture

from spark_lab import runs
from spark_lab.analysis.search import read
from spark_lab.tracking.store import open_store

pytestmark = pytest.mark.slow

WORDS = ["objective=none,pointwise", "seed=0,1", "name=four"]
SUBMITIT = ["hydra/launcher=submitit_local"]
RAY = ["hydra/launcher=ray", "hydra.launcher.ray.init.num_cpus=2"]
SEARCH = ["hydra/sweeper=optuna", "trainer.learning_rate=tag(log,interval(1e-5,1e-2))", "name=tune"]
SEARCH += ["hydra.sweeper.n_trials=3", "hydra.sweeper.revalidate=0", "hydra.sweeper.workers=2"]
SEARCH += ["objective=none", "tracking=off"]


def needs(package: str) -> None:
    """An extra: absent, its tests are skipped, but not where all of them have to run."""
    try:
        __import__(package)
    except ImportError:
        if os.environ.get("NEEDS_EXTRAS"):
            raise
        pytest.skip(f"an extra that is not installed: {package}")


def start(folder: Path, *words: str) -> subprocess.Popen:
    """A multirun that is typed in `folder`."""
    return subprocess.Popen(
        [sys.executable, "-c", "from spark_lab.cli import main; main()", "-m", *TINY, *words],
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen) -> str:
    said, _ = process.communicate(timeout=500)
    assert process.returncode == DONE and "Traceback" not in said, said
    return said


def through_ray(folder: Path, *words: str) -> str:
    """What the command says at last. Ray gives its cluster half a minute to start, which a loaded
    machine may not do: the same command is typed again then."""
    for _ in range(5):
        process = start(folder, *words, *RAY)
        said, _ = process.communicate(timeout=500)
        if "timed out during startup" not in said:
            break
    assert process.returncode == DONE and "Traceback" not in said, said
    return said


@pytest.fixture(scope="module")
def basic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of the sweep, one run at a time."""
    folder = tmp_path_factory.mktemp("basic")
    finish(start(folder, *WORDS, "tracking=off", "root=runs"))
    return folder / "runs"


@pytest.fixture(scope="module")
def tracking_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words += ["--backend-store-uri", f"sqlite:///{folder}/served.db"]
    words += ["--artifacts-destination", str(folder / "artifacts")]
    log = (folder / "log").open("w")
    process = subprocess.Popen(
        [sys.executable, *words],
        # Seven processes for jobs of MLflow's own, which a tracking store has none of.
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 200
        while not _answers(address):
            assert process.poll() is None and time.monotonic() < deadline, log.name
            time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(address: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"{address}/health", timeout=5) as reply:
        return reply.status == 200
    return False


def preempt(root: Path, process: subprocess.Popen) -> Path:
    """Give the job of a run that trains the notice that a queue gives; returns the run's folder."""
    while True:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
        for folder in runs.find_runs(root):
            status = runs.read_status(folder)
            if status.get("state") != "running" or not runs.complete_checkpoints(folder):
                continue
            with suppress(psutil.NoSuchProcess):
                run = psutil.Process(status["pid"])
                run.suspend()
                if runs.read_status(folder)["state"] == "running":
                    [job] = [p for p in run.parents() if "submitit.core._submit" in p.cmdline()]
                    job.send_signal(signal.SIGUSR2)
                    run.resume()
                    return folder
                run.resume()


def same(root: Path, expected: Path) -> None:
    ours, theirs = by_name(root), by_name(expected)
    assert ours.keys() == theirs.keys() and len(ours) == 4
    for name, folder in ours.items():
        assert untimed(folder) == untimed(theirs[name]), name
    assert tables(root) == tables(expected)


def test_submitit_and_a_tracking_server(basic: Path, tracking_server: str, tmp_path: Path) -> None:
    """One job is preempted and goes on from its checkpoint; another folder, a relative root."""
    needs("submitit")
    process = start(
        tmp_path, *WORDS, *SUBMITIT, "root=runs", f"tracking.mlflow_uri={tracking_server}"
    )
    preempted = preempt(tmp_path / "runs", process)
    assert "4 of 4 runs are done." in finish(process)
    same(tmp_path / "runs", basic)
    attempts = {f: runs.read_status(f)["attempt"] for f in runs.find_runs(tmp_path)}
    assert attempts == {folder: 1 + (folder == preempted) for folder in attempts}

    store = open_store(tmp_path / "runs", tracking_server, "spark-lab")
    logged = store.client.search_runs([store.experiment])
    names = sorted(run.info.run_name for run in logged)
    assert names == [f"{a} seed{s}" for a in ("none", "pointwise") for s in (0, 1)] + ["sweep four"]
    for run in logged:
        assert run.info.status == "FINISHED"
        if "arm" in run.data.tags:
            points = store.client.get_metric_history(run.info.run_id, "train/solve/reward_mean")
            assert [point.step for point in points] == [1, 2, 3]
    [sweep] = [run.info.run_id for run in logged if "arm" not in run.data.tags]
    kept = {item.path for item in store.client.list_artifacts(sweep, "report")}
    assert "report/report.html" in kept

    words = ["sync", str(tmp_path / "runs"), "--uri", tracking_server]
    again = subprocess.run(
        [sys.executable, "-m", "spark_lab.cli", *words], capture_output=True, text=True, check=True
    )
    assert again.stdout.startswith("4 runs and 1 sweep in MLflow.")
    after = store.client.search_runs([store.experiment])
    assert {run.info.run_id for run in after} == {run.info.run_id for run in logged}


def test_ray(basic: Path, tmp_path: Path) -> None:
    needs("ray")
    said = through_ray(tmp_path, *WORDS, "tracking=off", "root=runs")
    assert "4 of 4 runs are done." in said
    same(tmp_path / "runs", basic)


def searched(root: Path) -> None:
    found = read(root / "tune")
    assert found is not None and found.ended == 3
    folders = runs.find_runs(root)
    assert sorted(runs.trial_of(folder.parent.name) for folder in folders) == [0, 1, 2]
    assert all(runs.read_status(folder)["attempt"] == 1 for folder in folders)


def test_a_search_through_submitit(tmp_path: Path) -> None:
    needs("submitit")
    finish(start(tmp_path, *SEARCH, *SUBMITIT, "root=runs"))
    searched(tmp_path / "runs")


def test_a_search_through_ray_in_postgresql(server: str, tmp_path: Path) -> None:  # noqa: F811
    needs("ray")
    storage = f"hydra.sweeper.storage='{server}'"
    through_ray(tmp_path, *SEARCH, "root=runs", storage)
    searched(tmp_path / "runs")
