"""A sweep that is killed again and again ends as if nobody had touched it."""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from test_sweeping import DONE, multirun, points, snapshot, start, untimed, wait_for

from spark_lab import runs

pytestmark = pytest.mark.slow

WORDS = ["objective=none,pointwise", "seed=0,1", "budget.limit=4"]
TWO_WORKERS = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
KILLS = 5
# Of the tables: what the clock says, and where the runs are.
NOT_RESULTS = ("minutes", "overrides")


def by_name(root: Path) -> dict[str, Path]:
    """Run folders by arm and seed."""
    return {f"{folder.parent.name}/{folder.name}": folder for folder in runs.find_runs(root)}


def done(root: Path) -> list[Path]:
    return [f for f in runs.find_runs(root) if runs.read_status(f).get("state") == "done"]


def progress(root: Path) -> int:
    """Sealed checkpoints so far."""
    return sum(max(runs.complete_checkpoints(f), default=0) for f in runs.find_runs(root))


def tables(root: Path) -> dict[str, list[list[str]]]:
    """The cells of every table of the report, and its LaTeX where nothing of it is timed."""
    [report] = root.glob("*/report")
    found = {}
    for path in sorted((report / "tables").glob("*.csv")):
        head, *rows = csv.reader(path.open())
        kept = [place for place, name in enumerate(head) if name not in NOT_RESULTS]
        found[path.name] = [[row[place] for place in kept] for row in (head, *rows)]
        if len(kept) == len(head):
            found[f"{path.stem}.tex"] = [[path.with_suffix(".tex").read_text()]]
    return found


def kill(process: subprocess.Popen) -> None:
    """The whole tree at once: the command, its two workers, and their runs."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of the same sweep, uninterrupted and one run at a time."""
    root = tmp_path_factory.mktemp("whole")
    code, said = multirun(root, *WORDS)
    assert code == DONE, said
    return root


def test_killed_at_five_random_times(whole: Path, tmp_path: Path) -> None:
    draw = random.Random(7)
    # A kill comes that many checkpoints after the start: some before the first run trains.
    waits = [0, 1, 2, 0, 3]
    draw.shuffle(waits)
    assert len(waits) == KILLS
    finished: dict[Path, dict[str, int]] = {}
    for wait in waits:
        before = progress(tmp_path)
        process = start(tmp_path, *WORDS, *TWO_WORKERS)
        wait_for(lambda b=before, w=wait: progress(tmp_path) >= b + w, process)
        time.sleep(draw.uniform(0.0, 0.5))
        kill(process)
        finished |= {run: snapshot(run) for run in done(tmp_path) if run not in finished}
    assert progress(tmp_path) > 0
    code, said = multirun(tmp_path, *WORDS, *TWO_WORKERS)
    assert code == DONE and "4 of 4 runs are done." in said, said
    for run, files in finished.items():
        assert snapshot(run) == files, f"{run.name} was repeated"

    ours, theirs = by_name(tmp_path), by_name(whole)
    assert ours.keys() == theirs.keys() and len(ours) == 4
    for name, folder in ours.items():
        assert untimed(folder) == untimed(theirs[name]), name
    assert tables(tmp_path) == tables(whole)
    logged = points(tmp_path)
    assert logged == points(whole)
    assert all(len(steps) == len(set(steps)) for steps in logged.values())
