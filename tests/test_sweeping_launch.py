"""How planned runs get to a launcher."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from spark_lab import runs
from spark_lab.sweeping import launch, plan
from spark_lab.sweeping.sweep import planned
from spark_lab.sweeping.worker import Outcome


def sweep(root: Path, *overrides: str) -> plan.Plan:
    words = ["objective=none,reflect", f"root={root}", *overrides]
    found = planned("config", words, True)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], 1),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=3"], 3),
        (["hydra/launcher=joblib"], launch.cores()),
    ],
)
def test_the_launcher_says_how_many_run_at_a_time(
    words: list[str], expected: int, tmp_path: Path
) -> None:
    assert launch.workers(sweep(tmp_path, *words).axes, 5) == expected


@pytest.mark.parametrize("launcher", [[], ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]])
def test_what_was_planned_is_not_composed_again(launcher: list[str], tmp_path: Path) -> None:
    """An overnight sweep outlives an edit of conf/: here the overrides no longer compose at all."""
    found = sweep(tmp_path, *launcher)
    for run in found.runs:
        run.folder.mkdir(parents=True)
        runs.write_status(run.folder, state="done")
    before = sorted(tmp_path.rglob("*"))
    due = [replace(run, overrides=("no.such.key=1",)) for run in found.runs]
    assert launch.launch(found.axes, due) == [Outcome("done"), Outcome("done")]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_damaged_status_fails_its_run_alone(tmp_path: Path) -> None:
    found = sweep(tmp_path)
    first = found.runs[0]
    for run in found.runs:
        run.folder.mkdir(parents=True)
        runs.write_status(run.folder, state="done")
    (first.folder / "status.json").write_text("{")
    broken, whole = launch.launch(found.axes, list(found.runs))
    assert broken.state == "failed" and "status.json" in (broken.error or "")
    assert whole == Outcome("done")
