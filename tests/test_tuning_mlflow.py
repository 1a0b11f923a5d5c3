"""What MLflow says of a search's trials: how each ended, below the search, whatever was lost."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from searches import search
from simulated import simulate_run

from spark_lab import runs
from spark_lab.errors import UserError
from spark_lab.tracking import trial_mirror
from spark_lab.tracking.mlflow_mirror import read_note
from spark_lab.tracking.store import open_store
from spark_lab.tracking.sync import sync, sync_run
from spark_lab.tuning import endings

SMALL = {"questions": 4, "steps": 4, "evaluations": 2, "samples": 1, "rollouts": ()}
ENDS = {
    "trial-000": ("done", "complete"),
    "trial-001": ("pruned", "pruned"),
    "trial-002": ("done", "pruned between seeds"),
    "trial-003": ("failed", "failed"),
    "trial-004": ("stopped", None),
}
ENDED = {arm: said for arm, (_, said) in ENDS.items() if said is not None}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a database, whose tables take seconds to create."""
    root = tmp_path_factory.mktemp("runs")
    open_store(root, None, "spark-lab")
    return root


def simulated(root: Path, name: str) -> Path:
    """A search whose trials have ended in every way, one not yet, and its chosen one trained anew."""
    trials = []
    for arm, (state, said) in ENDS.items():
        simulate_run(root, arm, 0, sweep=name, state=state, **SMALL)
        trials.append({"number": runs.trial_of(arm), "ended": said})
    tuned = simulate_run(root, "tuned-000", 1, sweep=name, **SMALL)
    planned = [{"arm": "tuned-000", "folder": f"tuned-000/{tuned.name}"}]
    folder = root / name
    (folder / "plan.json").write_text(json.dumps({"runs": planned}))
    (folder / "study.json").write_text(json.dumps({"trials": trials}))
    return folder


def tags(folder: Path, key: str) -> dict[str, set[str]]:
    """By the arm of a search's runs that are not deleted and have this tag."""
    query = """select arm.value, found.value from runs
        join tags sweep using (run_uuid) join tags arm using (run_uuid)
        join tags found using (run_uuid)
        where lifecycle_stage = 'active' and sweep.key = 'sweep' and sweep.value = ?
        and arm.key = 'arm' and found.key = ?"""
    found: dict[str, set[str]] = {}
    with sqlite3.connect(folder.parent / "mlflow.db") as database:
        for arm, value in database.execute(query, (folder.name, key)):
            found.setdefault(arm, set()).add(value)
    return found


def each(wanted: dict[str, str]) -> dict[str, set[str]]:
    return {arm: {value} for arm, value in wanted.items()}


def search_run(folder: Path) -> str:
    query = "select run_uuid from runs where name = ? and lifecycle_stage = 'active'"
    with sqlite3.connect(folder.parent / "mlflow.db") as database:
        [(found,)] = database.execute(query, (f"sweep {folder.name}",))
    return found


def test_the_runs_of_a_search_say_how_their_trials_ended(root: Path) -> None:
    folder = simulated(root, "tune")
    known = sync(root)
    assert tags(folder, "trial_state") == each(ENDED)
    assert tags(folder, "trial") == each({arm: str(runs.trial_of(arm)) for arm in ENDS})
    first = search_run(folder)
    assert tags(folder, "mlflow.parentRunId") == each(dict.fromkeys(ENDED, first))
    (folder / "report").mkdir()
    (folder / "report/report.html").write_text("<p>anew</p>")
    sync(root)
    second = search_run(folder)
    assert second != first, "a new report replaces the run of the search"
    assert tags(folder, "mlflow.parentRunId") == each(dict.fromkeys(ENDED, second))
    for run_id in (*known.values(), second):
        open_store(root, None, "spark-lab").client.delete_run(run_id)
    sync(root)
    assert tags(folder, "trial_state") == each(ENDED), "whatever was lost"
    assert tags(folder, "mlflow.parentRunId") == each(dict.fromkeys(ENDED, search_run(folder)))


def test_a_damaged_record_is_told_and_an_older_one_is_none(root: Path) -> None:
    folder = simulated(root, "damaged")
    record = folder / "study.json"
    store = open_store(root, None, "spark-lab")
    for damage in ("{", '{"trials": 3}', '{"trials": [{"ended": "complete"}]}'):
        record.write_text(damage)
        with pytest.raises(UserError, match="type the search's command again"):
            trial_mirror.sync_trials(folder, store)
    record.write_text('{"trials": [{"number": 0}]}')
    trial_mirror.sync_trials(folder, store)
    assert tags(folder, "trial_state") == {}


def test_a_run_with_a_damaged_note_does_not_hold_up_the_others(root: Path) -> None:
    folder = simulated(root, "torn")
    store = open_store(root, None, "spark-lab")
    for run in runs.find_runs(folder):
        sync_run(run, store)
    [torn] = (folder / "trial-000").iterdir()
    (torn / "mlflow.json").write_text("{")
    with pytest.raises(UserError) as raised:
        trial_mirror.sync_trials(folder, store)
    assert [problem.where for problem in raised.value.problems] == [str(torn / "mlflow.json")]
    others = {arm: said for arm, said in ENDED.items() if arm != "trial-000"}
    assert tags(folder, "trial_state") == each(others)
    # The fixture's root is shared: no other test may find this damage.
    (torn / "mlflow.json").unlink()


def test_a_trial_that_has_just_ended_says_how(root: Path) -> None:
    wanted = search(root, "name=live")
    store = open_store(root, None, "spark-lab")
    cases = [
        ("complete", ["done", "done"], "complete"),
        ("pruned", ["done", "pruned"], "pruned"),
        ("pruned", ["done", "done"], "pruned between seeds"),
        ("failed", ["done", "failed"], "failed"),
    ]
    for number, (state, states, said) in enumerate(cases):
        arm = runs.trial_arm(number)
        for seed, one in enumerate(states):
            sync_run(simulate_run(root, arm, seed, sweep="live", state=one, **SMALL), store)
        endings.show(wanted, number, state)
        assert tags(wanted.folder, "trial_state")[arm] == {said}
        notes = [read_note(folder) for folder in runs.find_runs(wanted.folder / arm)]
        assert [note["tags"] for note in notes] == [{"trial_state": said}] * 2


def test_a_store_that_fails_stops_no_search_and_none_is_opened_unasked(tmp_path: Path) -> None:
    wanted = search(tmp_path, "name=live")
    (tmp_path / "mlflow.db").write_text("nonsense " * 200)
    endings.show(wanted, 0, endings.COMPLETE)
    (tmp_path / "mlflow.db").unlink()
    tracking = replace(wanted.example.tracking, mlflow=False)
    wanted = replace(wanted, example=replace(wanted.example, tracking=tracking))
    endings.show(wanted, 0, endings.COMPLETE)
    assert not (tmp_path / "mlflow.db").exists()
