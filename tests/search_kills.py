"""Searches of real training trials that are killed: the command, a worker of it, or all at once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import optuna
from test_sweeping import DONE, start

from spark_lab import runs
from spark_lab.tuning.storage import open_storage, place

NAME = "killed"
VICTIMS = ("command", "worker", "all")
WORDS = [
    "hydra/sweeper=optuna",
    f"name={NAME}",
    "trainer.learning_rate=tag(log,interval(1e-5,1e-2))",
    "hydra/sweeper/pruner=median",
    "hydra.sweeper.pruner.n_startup_trials=2",
    "hydra.sweeper.pruner.n_warmup_rungs=0",
    "hydra.sweeper.rungs=3",
    "hydra.sweeper.max_failures=50",
    "hydra/launcher=joblib",
    "hydra.launcher.n_jobs=2",
    "eval.every=1",
    "eval.live=false",
    "eval.calibration=false",
    "tracking.console=plain",
]


@dataclass(frozen=True)
class Survived:
    """What is left of a search that was killed: its study and its run folders."""

    trials: list[optuna.trial.FrozenTrial]
    folders: dict[int, list[Path]]


def survive(root: Path, trials: int, victims: Sequence[str], storage: str | None) -> Survived:
    """Start a search of `trials`, kill each of the victims at a random moment, and let it finish."""
    words = [*WORDS, f"hydra.sweeper.n_trials={trials}", "hydra.sweeper.revalidate=0"]
    words += [] if storage is None else [f"hydra.sweeper.storage={storage}"]
    draw, process, log = random.Random(trials), None, root / "said"
    # Not a pipe: workers without their command still hold its other end.
    with log.open("a") as said:
        for victim in victims:
            if process is None or process.poll() is not None:
                process = start(root, *words, output=said)
            _wait(root, draw, process)
            kill(process, victim)
            if victim != "worker":
                process.wait()
        if process is None or process.wait(timeout=1200) != DONE:
            process = start(root, *words, output=said)
    assert process.wait(timeout=1200) == DONE and "Traceback" not in log.read_text()
    study = optuna.load_study(study_name=NAME, storage=open_storage(place(storage, root / NAME)))
    return Survived(study.get_trials(), _folders(root))


def _wait(root: Path, draw: random.Random, process: subprocess.Popen) -> None:
    """For another checkpoint, or a moment of any kind: workers start, a trial is asked for."""
    before = _progress(root)
    while _progress(root) == before and process.poll() is None and draw.randrange(400):
        time.sleep(0.02)
    time.sleep(draw.uniform(0.0, 1.0))


def _folders(root: Path) -> dict[int, list[Path]]:
    """Run folders by trial."""
    found: dict[int, list[Path]] = {}
    for folder in runs.find_runs(root / NAME):
        number = runs.trial_of(folder.parent.name)
        if number is not None:
            found.setdefault(number, []).append(folder)
    return found


def check(found: Survived, trials: int) -> None:
    """Exactly as many trials as asked for, each finished or pruned, each with one run of its own."""
    assert [trial.number for trial in found.trials] == list(range(trials))
    states = {"done": "COMPLETE", "pruned": "PRUNED"}
    params = [trial.params["trainer.learning_rate"] for trial in found.trials]
    assert len(set(params)) == trials, "none is repeated"
    assert found.folders.keys() == set(range(trials)), "none is lost"
    for trial in found.trials:
        [folder] = found.folders[trial.number]
        status = runs.read_status(folder)
        assert trial.state.name == states[status["state"]], folder
        rate = runs.read_config(folder)["trainer"]["learning_rate"]
        assert rate == trial.params["trainer.learning_rate"], "a torn trial goes on as it was"
        if trial.state.name == "COMPLETE":
            assert trial.values == [status["final"]["policy/accuracy"]]


def _progress(root: Path) -> int:
    """Sealed checkpoints so far."""
    return sum(max(runs.complete_checkpoints(f), default=0) for f in runs.find_runs(root))


def kill(process: subprocess.Popen, victim: str) -> None:
    """The command, all that it has started as well, or one of its workers, where it has one."""
    if victim == "all":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return
    if victim == "command":
        process.kill()
        return
    workers = _workers(process.pid)
    if workers:
        with suppress(ProcessLookupError):
            os.kill(workers[0], signal.SIGKILL)


def _workers(pid: int) -> list[int]:
    """The processes that joblib has started for a command."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = stat.read_text().rpartition(") ")[2].split()[1]
            words = stat.with_name("cmdline").read_text()
            if int(parent) == pid and "LokyProcess" in words:
                found.append(int(stat.parent.name))
    return sorted(found)
