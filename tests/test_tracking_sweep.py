"""MLflow's run of a whole sweep: rebuilt from its folder, whatever was lost, exactly once."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from simulated import simulate_run

from spark_lab import runs
from spark_lab.errors import UserError
from spark_lab.tracking.store import Store, open_store
from spark_lab.tracking.sync import main, sync

SMALL = {"questions": 6, "steps": 4, "evaluations": 2, "samples": 1, "rollouts": ()}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    open_store(root, None, "spark-lab")
    return root


def sweep(root: Path, name: str) -> Path:
    """Two arms with two seeds each, their plan, and a report."""
    planned = []
    for arm in ("none", "reflect"):
        for seed in (0, 1):
            run = simulate_run(root, arm, seed, sweep=name, **SMALL)
            folder = str(run.relative_to(root / name))
            config = {"tracking": {"experiment": "spark-lab"}}
            planned.append({"arm": arm, "seed": seed, "folder": folder, "config": config})
    (root / name / "plan.json").write_text(json.dumps({"name": name, "runs": planned}))
    (root / name / "report").mkdir()
    (root / name / "report/report.html").write_text("<p>one</p>")
    return root / name


def parents(root: Path, name: str) -> list[str]:
    """The ids of the sweep's own runs that are not deleted."""
    query = "select run_uuid from runs where name = ? and lifecycle_stage = 'active'"
    with sqlite3.connect(root / "mlflow.db") as database:
        return [run for (run,) in database.execute(query, (f"sweep {name}",))]


def points(root: Path, run_id: str) -> list[tuple[str, float]]:
    with sqlite3.connect(root / "mlflow.db") as database:
        query = "select key, value from metrics where run_uuid = ? order by key"
        return database.execute(query, (run_id,)).fetchall()


def means(folder: Path) -> list[tuple[str, float]]:
    """final/<metric>/<arm> over the seeds that are done, from their own files."""
    found = []
    for arm in ("none", "reflect"):
        finals = [
            status["final"]
            for run in sorted((folder / arm).iterdir())
            if (status := runs.read_status(run))["state"] == "done"
        ]
        found += [
            (f"final/{metric}/{arm}", sum(final[metric] for final in finals) / len(finals))
            for metric in finals[0]
        ]
    return sorted(found)


def artifacts(store: Store, run_id: str, folder: str | None = None) -> set[str]:
    return {item.path for item in store.client.list_artifacts(run_id, folder)}


def test_a_sweep_is_rebuilt_with_its_report_exactly_once(
    root: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = sweep(root, "rebuilt")
    main([str(root)])
    assert capsys.readouterr().out.startswith("4 runs and 1 sweep in MLflow.")
    [run_id] = parents(root, "rebuilt")
    assert points(root, run_id) == means(folder)
    store = open_store(root, None, "spark-lab")
    assert artifacts(store, run_id) == {"plan.json", "report"}
    assert artifacts(store, run_id, "report") == {"report/report.html"}
    run = store.client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["sweep"] == "rebuilt" and "arm" not in run.data.tags
    assert sync(root)[folder] == run_id
    assert parents(root, "rebuilt") == [run_id] and points(root, run_id) == means(folder)


def test_what_was_lost_or_has_changed_replaces_the_run(root: Path) -> None:
    folder = sweep(root, "changed")
    first = sync(root)[folder]
    (folder / "mlflow.json").unlink()  # a crash between making the run and noting it
    second = sync(root)[folder]
    assert second != first and parents(root, "changed") == [second]
    [other] = (folder / "reflect").glob("seed1-*")
    runs.write_status(other, state="failed", error="out of memory")
    (folder / "report/report.html").write_text("<p>two</p>")
    third = sync(root)[folder]
    assert parents(root, "changed") == [third] and points(root, third) == means(folder)
    store = open_store(root, None, "spark-lab")
    assert store.client.get_run(third).info.status == "FAILED"
    kept = Path(store.client.download_artifacts(third, "report/report.html"))
    assert kept.read_text() == "<p>two</p>"


def test_a_sweep_without_a_finished_run_has_none_yet(root: Path) -> None:
    folder = sweep(root, "early")
    for run in folder.glob("*/seed*"):
        runs.write_status(run, state="stopped")
    assert folder not in sync(root) and parents(root, "early") == []


@pytest.mark.parametrize(("name", "damage"), [("plan.json", '{"runs": ['), ("mlflow.json", "{")])
def test_a_damaged_sweep_is_told_and_does_not_hold_up_the_others(
    tmp_path: Path, root: Path, name: str, damage: str
) -> None:
    torn, whole = sweep(tmp_path, f"torn {name}"), sweep(tmp_path, f"whole {name}")
    (torn / name).write_text(damage)
    uri = f"sqlite:///{root}/mlflow.db"
    with pytest.raises(UserError) as raised:
        sync(tmp_path, uri)
    assert [problem.where for problem in raised.value.problems] == [str(torn / name)]
    [run_id] = parents(root, whole.name)
    assert points(root, run_id) == means(whole)
