"""What is shown while a sweep runs, read from its run folders."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from spark_lab import runs
from spark_lab.sweeping import progress
from spark_lab.sweeping.plan import PlannedRun
from spark_lab.sweeping.progress import Standing, Watch, counts, fraction, standing
from spark_lab.sweeping.sweep import planned


@pytest.fixture
def four(tmp_path: Path) -> tuple[PlannedRun, ...]:
    found = planned("config", ["objective=none,reflect", "seed=0,1", f"root={tmp_path}"], True)
    assert found is not None
    return found.runs


def goes(run: PlannedRun, state: str, share: float | None = None) -> None:
    run.folder.mkdir(parents=True, exist_ok=True)
    if share is not None:
        with (run.folder / "metrics.jsonl").open("a") as rows:
            rows.write(f'{{"step": 1, "fraction": {share}}}\n')
    runs.write_status(run.folder, state=state)


def test_a_run_stands_where_its_folder_says(four: tuple[PlannedRun, ...]) -> None:
    goes(four[0], "done", 1.0)
    goes(four[1], "running", 0.25)
    goes(four[2], "failed", 0.5)
    now = [standing(run) for run in four]
    assert [(s.state, s.fraction) for s in now] == [
        ("done", 1.0),
        ("running", 0.25),
        ("failed", 0.5),
        ("waiting", 0.0),
    ]
    assert counts(now) == "1 done, 1 running, 1 failed, 1 waiting"


def test_what_an_earlier_command_left_is_waiting(four: tuple[PlannedRun, ...]) -> None:
    goes(four[0], "done", 1.0)
    goes(four[1], "running", 0.25)
    assert standing(four[0]).state == "done"
    left = [run.status["updated"] for run in four[:2]]
    assert standing(four[0], left[0]) == Standing(four[0].name, "waiting", 0.0)
    assert standing(four[1], left[1]) == Standing(four[1].name, "waiting", 0.25)


def test_a_host_whose_clock_is_behind_is_seen_all_the_same(
    four: tuple[PlannedRun, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    goes(four[0], "stopped", 0.25)
    watch = Watch("s", four, four, "off", Console(file=io.StringIO()))
    monkeypatch.setattr(time, "time", lambda: 1.0)
    goes(four[0], "running", 0.5)
    assert [now.state for now in watch._look()] == ["running", *["waiting"] * 3]


def test_a_damaged_run_is_its_own_failure(four: tuple[PlannedRun, ...]) -> None:
    goes(four[0], "done", 1.0)
    (four[0].folder / "status.json").write_text("{")
    assert not four[0].done
    assert standing(four[0]).state == "failed"
    assert "status.json" in four[0].status["error"]


def test_a_torn_row_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert fraction(path) == 0.0
    path.write_text('{"step": 1, "fraction": 0.5}\n{"step": 2, "fraction": 0.9')
    assert fraction(path) == 0.5
    path.write_text("\n")
    assert fraction(path) == 0.0


def test_plain_lines_tell_each_change_once(
    four: tuple[PlannedRun, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.01)
    shown = io.StringIO()
    goes(four[0], "done", 1.0)
    with Watch("s", four, four[1:], "auto", Console(file=shown, width=200)):
        goes(four[1], "running", 0.5)
        time.sleep(0.2)
        goes(four[1], "done")
        goes(four[2], "failed", 0.1)
        time.sleep(0.2)
    lines = shown.getvalue().splitlines()
    assert [line.partition(" | ")[0].split() for line in lines] == [
        ["running", "reflect", "seed0"],
        ["done", "reflect", "seed0"],
        ["failed", "none", "seed1"],
    ]
    assert "1 done, 1 running, 2 waiting" in lines[0] and " left" in lines[0]


def test_time_left_goes_by_this_commands_pace(four: tuple[PlannedRun, ...]) -> None:
    goes(four[0], "done", 1.0)
    watch = Watch("s", four, four[1:], "off", Console(file=io.StringIO()))
    watch._began -= 10.0
    begun = [standing(run) for run in four]
    assert watch.seconds_left(begun) is None
    half = [begun[0], Standing("a", "running", 0.5), *begun[2:]]
    assert watch.seconds_left(half) == pytest.approx(50.0, rel=0.05)


def test_nothing_is_shown_where_progress_is_off(four: tuple[PlannedRun, ...]) -> None:
    shown = io.StringIO()
    with Watch("s", four, four, "off", Console(file=shown)):
        goes(four[0], "running", 0.5)
    assert shown.getvalue() == ""


def test_the_picture_names_what_runs_and_what_failed(
    four: tuple[PlannedRun, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.01)
    shown = io.StringIO()
    terminal = Console(file=shown, width=100, force_terminal=True, legacy_windows=False)
    with Watch("my sweep", four, four, "auto", terminal):
        goes(four[1], "running", 0.5)
        goes(four[2], "failed")
        time.sleep(0.3)
    picture = shown.getvalue()
    for words in ("my sweep", "reflect seed0", "failed none seed1", "50 %"):
        assert words in picture
