"""MLflow holds every durable row exactly once, whatever is lost or killed in between."""

from __future__ import annotations

import json
import logging
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from simulated import TOKENS_PER_STEP, simulate_run

from spark_lab import runs
from spark_lab.errors import UserError
from spark_lab.tracking.jsonl import read_rows
from spark_lab.tracking.mlflow_mirror import BATCH, MlflowMirror, read_note, write_note
from spark_lab.tracking.store import Store, open_store
from spark_lab.tracking.sync import sync, sync_run

SMALL = {"questions": 6, "steps": 8, "evaluations": 3, "samples": 2}
CLOCK = {"step", "time", "fraction", "questions"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def store(root: Path) -> Store:
    return open_store(root, None, "spark-lab")


def points(root: Path, run_id: str) -> Counter[tuple[str, int, float]]:
    database = sqlite3.connect(root / "mlflow.db")
    query = "select key, step, value from metrics where run_uuid = ?"
    return Counter(database.execute(query, (run_id,)).fetchall())


def expected(folder: Path, upto: int | None = None) -> Counter[tuple[str, int, float]]:
    """The points of a run folder up to a step; the final ones where all of it is due."""
    found: Counter[tuple[str, int, float]] = Counter()
    steps, evaluations = (read_rows(folder / f"{name}.jsonl").rows for name in ("metrics", "eval"))
    recorded = {row["step"] for row in steps}
    for row in (*steps, *evaluations):
        if upto is None or row["step"] <= upto:
            keys = row.keys() - CLOCK
            tokens = row["compute/generated_tokens"]
            measured = [key for key in keys if not key.startswith("compute/")]
            told = measured if row in evaluations and row["step"] in recorded else keys
            found.update((key, row["step"], row[key]) for key in told)
            found.update((f"tokens/{key}", tokens, row[key]) for key in measured)
    if upto is None:
        last = evaluations[-1]
        found.update((f"final/{key}", last["step"], last[key]) for key in last.keys() - CLOCK)
    return found


def test_rows_beyond_the_checkpoint_are_held_back(root: Path, store: Store) -> None:
    folder = simulate_run(root, "none", 1, sweep="held", **SMALL)
    mirror = MlflowMirror(folder, store)
    mirror.sync(4)
    assert points(root, mirror.run_id) == expected(folder, 4)
    mirror.sync(4)
    mirror.sync(6)
    assert points(root, mirror.run_id) == expected(folder, 6)
    mirror.finish("done")
    assert points(root, mirror.run_id) == expected(folder)


def test_more_than_mlflow_takes_at_once_is_all_there(root: Path, store: Store) -> None:
    sizes = SMALL | {"steps": 40, "rollouts": ()}
    folder = simulate_run(root, "pointwise+reflect", 1, sweep="long", **sizes)
    mirror = MlflowMirror(folder, store)
    mirror.finish("done")
    found = points(root, mirror.run_id)
    assert found == expected(folder) and set(found.values()) == {1} and len(found) > 2 * BATCH
    over_tokens = sorted(at for key, at, _ in found if key == "tokens/train/solve/reward_mean")
    assert over_tokens == [TOKENS_PER_STEP * step for step in range(1, 41)]
    assert not any(key.startswith("tokens/compute/") for key, _, _ in found)


def test_an_evaluation_written_after_its_checkpoint_is_not_lost(root: Path, store: Store) -> None:
    folder = simulate_run(root, "none", 2, sweep="held", **SMALL)
    late = (folder / "eval.jsonl").read_text()
    (folder / "eval.jsonl").write_text(late.splitlines(keepends=True)[0])
    mirror = MlflowMirror(folder, store)
    mirror.sync(4)
    (folder / "eval.jsonl").write_text(late)
    mirror.sync(4)
    assert points(root, mirror.run_id) == expected(folder, 4)


def test_what_was_spent_is_told_once_whichever_row_tells_it(root: Path, store: Store) -> None:
    folder = simulate_run(root, "none", 3, sweep="spent", **SMALL)
    # A step is evaluated before it is recorded, and a run may be pruned in between.
    rows = read_rows(folder / "eval.jsonl").rows
    earlier = [json.dumps(row | {"time": row["time"] - 0.5}) for row in rows]
    (folder / "eval.jsonl").write_text("\n".join(earlier) + "\n")
    steps = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text("".join(steps[:-1]))
    mirror = MlflowMirror(folder, store)
    mirror.sync(4)
    assert points(root, mirror.run_id) == expected(folder, 4)
    mirror.finish("pruned")
    found = points(root, mirror.run_id)
    assert found == expected(folder, SMALL["steps"]) and set(found.values()) == {1}
    seconds = sorted(step for key, step, _ in found if key == "compute/seconds")
    assert seconds == list(range(SMALL["steps"] + 1))


def test_a_crash_before_the_note_duplicates_nothing(root: Path, store: Store) -> None:
    folder = simulate_run(root, "reflect", 1, sweep="crash", **SMALL)
    mirror = MlflowMirror(folder, store)
    mirror.sync(2)
    before = read_note(folder)
    mirror.sync(6)
    write_note(folder, before)
    again = MlflowMirror(folder, store)
    assert again.run_id == mirror.run_id
    again.finish("done")
    assert points(root, mirror.run_id) == expected(folder)


@pytest.mark.parametrize("reached", ["log_batch", "log_artifact"])
def test_a_crash_while_a_run_is_made_leaves_none_behind(
    reached: str, root: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = simulate_run(root, reached, 1, sweep="made", **SMALL)
    before = {run.info.run_id for run in store.client.search_runs([store.experiment])}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(store.client, reached, lambda *_, **__: raise_interrupt())
        MlflowMirror(folder, store)
    mirror = MlflowMirror(folder, store)
    made = {run.info.run_id for run in store.client.search_runs([store.experiment])} - before
    assert made == {mirror.run_id}


def raise_interrupt() -> None:
    raise KeyboardInterrupt


def test_a_run_whose_note_was_lost_is_replaced(root: Path, store: Store) -> None:
    folder = simulate_run(root, "none", 3, sweep="lost note", **SMALL)
    orphan = sync_run(folder, store)
    (folder / "mlflow.json").unlink()
    run_id = sync_run(folder, store)
    assert store.client.get_run(orphan).info.lifecycle_stage == "deleted"
    assert points(root, run_id) == expected(folder)


def test_the_copy_is_rebuilt_from_the_run_folders(tmp_path: Path, root: Path, store: Store) -> None:
    # A store without these runs; a copy, since making one takes MLflow five seconds.
    with (
        sqlite3.connect(root / "mlflow.db") as known,
        sqlite3.connect(tmp_path / "mlflow.db") as new,
    ):
        known.backup(new)
    folders = [simulate_run(tmp_path, "none", seed, **SMALL) for seed in (0, 1)]
    folders.append(simulate_run(tmp_path, "none", 2, state="failed", **SMALL))
    lost = {folder: sync_run(folder, store) for folder in folders}
    rebuilt = sync(tmp_path)
    assert set(rebuilt) == set(folders) and not set(rebuilt.values()) & set(lost.values())
    for folder in folders[:2]:
        assert points(tmp_path, rebuilt[folder]) == expected(folder)
    assert points(tmp_path, rebuilt[folders[2]]) == Counter()
    assert sync(tmp_path) == rebuilt
    assert points(tmp_path, rebuilt[folders[0]]) == expected(folders[0])


def copies(store: Store, folder: Path) -> list[str]:
    """The ids of a folder's runs in MLflow that are not deleted."""
    found = store.client.search_runs([store.experiment], f"tags.run_folder = '{folder}'")
    return [run.info.run_id for run in found]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("status.json", "{"),
        ("env.json", '{"git": {"comm'),
        ("overrides.yaml", "- [trainer.beta"),
        ("overrides.yaml", "- 7"),
        ("mlflow.json", ""),
        ("mlflow.json", "[]"),
    ],
)
def test_a_damaged_run_folder_does_not_hold_up_the_others(
    root: Path, store: Store, tmp_path: Path, name: str, damage: str
) -> None:
    folder = simulate_run(tmp_path, "none", 0, **SMALL)
    other = simulate_run(tmp_path, "none", 1, **SMALL)
    (folder / name).write_text(damage)
    with pytest.raises(UserError) as raised:
        sync(tmp_path, store.uri)
    assert [problem.where for problem in raised.value.problems] == [str(folder / name)]
    assert points(root, read_note(other)["run_id"]) == expected(other)
    assert not copies(store, folder)


def test_a_damaged_note_is_refused_and_a_deleted_one_logs_nothing_twice(
    root: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    folder = simulate_run(root, "none", 8, sweep="damaged note", **SMALL)
    mirror = MlflowMirror(folder, store)
    mirror.sync(2)
    (folder / "mlflow.json").write_text('{"metr')
    with caplog.at_level(logging.WARNING):
        mirror.sync(4)  # the training goes on
    assert "mlflow.json" in caplog.text and "spark-lab sync" in caplog.text
    with pytest.raises(UserError, match="delete this file"):
        MlflowMirror(folder, store)
    (folder / "mlflow.json").unlink()
    resumed = MlflowMirror(folder, store)
    resumed.finish("done")
    assert copies(store, folder) == [resumed.run_id]
    assert points(root, resumed.run_id) == expected(folder)


def test_a_run_is_described(root: Path, store: Store) -> None:
    folder = simulate_run(
        root, "pointwise+reflect", 4, sweep="mix", overrides=("trainer.beta=0.0",), **SMALL
    )
    (folder / "figures").mkdir()
    (folder / "figures" / "coevolution.svg").write_text("<svg/>")
    run_id = sync_run(folder, store)
    run = store.client.get_run(run_id)
    assert run.info.run_name == "pointwise+reflect seed4" and run.info.status == "FINISHED"
    tags = {"sweep": "mix", "arm": "pointwise+reflect", "seed": "4", "status": "done"}
    assert tags.items() <= run.data.tags.items()
    assert run.data.tags["run_folder"] == str(folder)
    params = {"objective": "pointwise+reflect", "budget.unit": "steps", "trainer.beta": "0.0"}
    assert params.items() <= run.data.params.items()
    assert "objective.pairwise.share" not in run.data.params
    assert run.data.params["objective.reflect.weight"] == "1.0"
    final = read_rows(folder / "eval.jsonl").rows[-1]
    assert run.data.metrics["final/policy/accuracy"] == final["policy/accuracy"]
    names = {file.path for file in store.client.list_artifacts(run_id)}
    assert {"config.yaml", "overrides.yaml", "env.json", "figures", "rollouts.json"} <= names


def test_the_rollout_table_is_one_that_mlflow_reads(root: Path, store: Store) -> None:
    folder = simulate_run(root, "pairwise", 5, sweep="table", **SMALL)
    run_id = sync_run(folder, store)
    sync_run(folder, store)
    found = store.client.list_artifacts(run_id)
    assert "rollouts.json" in {file.path for file in found}
    table = json.loads(Path(store.client.download_artifacts(run_id, "rollouts.json")).read_text())
    shown = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert {"solve", "pointwise", "pairwise", "reflect"} == {row["objective"] for row in shown}
    assert {"train", "eval"} == {row["phase"] for row in shown}
    assert {True, False} == {row["correct"] for row in shown}
    tag = json.loads(store.client.get_run(run_id).data.tags["mlflow.loggedArtifacts"])
    assert tag == [{"path": "rollouts.json", "type": "table"}]


@pytest.mark.parametrize(
    ("state", "status"), [("failed", "FAILED"), ("stopped", "KILLED"), ("running", "RUNNING")]
)
def test_a_run_that_is_not_done_says_so(root: Path, store: Store, state: str, status: str) -> None:
    folder = simulate_run(root, "none", 6, sweep=state, state=state, **SMALL)
    checkpoint = folder / "checkpoints" / "checkpoint-2"
    checkpoint.mkdir(parents=True)
    runs.seal_checkpoint(checkpoint)
    run_id = sync_run(folder, store)
    run = store.client.get_run(run_id)
    assert run.info.status == status
    assert points(root, run_id) == expected(folder, 2)
    assert ("error" in run.data.tags) == (state == "failed")


def test_a_resumed_run_goes_on_in_its_mlflow_run(root: Path, store: Store) -> None:
    folder = simulate_run(root, "none", 7, sweep="resumed", **SMALL)
    stopped = MlflowMirror(folder, store)
    stopped.sync(2)
    stopped.finish("stopped")
    resumed = MlflowMirror(folder, store)
    assert resumed.run_id == stopped.run_id
    assert store.client.get_run(resumed.run_id).info.status == "RUNNING"
    resumed.finish("done")
    assert store.client.get_run(resumed.run_id).info.status == "FINISHED"
    assert points(root, resumed.run_id) == expected(folder)


def test_a_store_that_breaks_never_stops_the_training(
    root: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    folder = simulate_run(root, "none", 0, sweep="breaks", **SMALL)
    mirror = MlflowMirror(folder, store)
    database = sqlite3.connect(root / "mlflow.db")
    database.execute("alter table metrics rename to gone")
    database.commit()
    with caplog.at_level(logging.WARNING):
        mirror.sync(4)
        mirror.sync(6)
    assert [record.message.count("spark-lab sync") for record in caplog.records] == [1]
    database.execute("alter table gone rename to metrics")
    database.commit()
    mirror.finish("done")
    assert points(root, mirror.run_id) == expected(folder)


def test_tracking_is_imported_without_mlflow() -> None:
    modules = "mlflow_mirror, store, sync, console, ui"
    code = (
        f"import sys; from spark_lab.tracking import {modules}; assert 'mlflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
