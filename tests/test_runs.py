"""The run folder: identity, skip, resume, refuse, locks, torn and damaged files."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from spark_lab import runs
from spark_lab.config import compose
from spark_lab.durable import write_text
from spark_lab.errors import UserError
from spark_lab.runs import checkpoints
from spark_lab.schema import Config


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return compose([f"root={tmp_path / 'runs'}"])


def changed(config: Config, **fields) -> Config:
    return dataclasses.replace(config, **fields)


def save(folder: Path, step: int, content: str = "weights") -> Path:
    """A sealed checkpoint."""
    path = checkpoints.path_of(folder, step)
    path.mkdir(parents=True)
    (path / "model.safetensors").write_text(content)
    runs.seal_checkpoint(path)
    return path


def train(config: Config, steps: int, *, every: int = 2) -> Path:
    """What a run of some steps leaves behind, without a model. Stops there, as a kill would."""
    run = runs.open_run(config, ["seed=0"])
    (run.folder / "rollouts").mkdir(exist_ok=True)
    with (run.folder / "metrics.jsonl").open("a") as file:
        for step in range((run.resume_step or 0) + 1, steps + 1):
            file.write(json.dumps({"step": step, "loss": step / 7}) + "\n")
            (run.folder / "rollouts" / f"train-{step:06d}.jsonl.gz").write_bytes(b"packed")
            if step % every == 0:
                save(run.folder, step)
    run.close()
    return run.folder


def steps(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").open()]


def test_a_fresh_run_describes_itself(config: Config, tmp_path: Path) -> None:
    run = runs.open_run(config, ["seed=0", "objective=spark"])
    assert (run.resume_step, run.resume_checkpoint, run.done) == (None, None, False)
    assert run.folder.parent == tmp_path / "runs/single/pointwise+pairwise+reflect"
    assert yaml.safe_load((run.folder / "config.yaml").read_text()) == dataclasses.asdict(config)
    assert yaml.safe_load((run.folder / "overrides.yaml").read_text())[1] == "objective=spark"
    env = json.loads((run.folder / "env.json").read_text())
    assert env["packages"]["trl"].startswith("1.16")
    assert env["python"].startswith("3.") and env["machine"]["cores"] >= 1
    runs.write_env(run.folder, model_sha256="abc")
    assert json.loads((run.folder / "env.json").read_text()) == env | {"model_sha256": "abc"}


def test_identity_ignores_what_cannot_change_results(config: Config) -> None:
    trainer = dataclasses.replace(config.trainer, threads=1, save_every=7, keep_checkpoints=3)
    tracking = dataclasses.replace(config.tracking, mlflow=False)
    same = changed(config, trainer=trainer, tracking=tracking, retry=3)
    assert runs.folder_of(same) == runs.folder_of(config)


@pytest.mark.parametrize(
    "override",
    [
        "trainer.learning_rate=1e-4",
        "budget.limit=201",
        "eval.samples=3",
        "task.chain_sums.seed=1",
        "objective.pointwise.weight=2",
        "seed=1",
    ],
)
def test_identity_changes_with_results(config: Config, override: str) -> None:
    other = compose([f"root={config.root}", override])
    assert runs.folder_of(other) != runs.folder_of(config)


def test_a_finished_run_is_left_alone(config: Config) -> None:
    with runs.recording(runs.open_run(config, [])):
        pass
    folder = runs.folder_of(config)
    before = contents(folder)
    assert runs.open_run(config, []).done
    assert contents(folder) == before


def test_a_torn_run_resumes_from_its_last_checkpoint(config: Config) -> None:
    folder = train(config, 5)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')
    run = runs.open_run(config, [])
    assert run.resume_step == 4
    assert run.resume_checkpoint == str(folder / "checkpoints/checkpoint-4")
    assert steps(folder) == [1, 2, 3, 4]
    names = sorted(path.name for path in (folder / "rollouts").iterdir())
    assert names == [f"train-{step:06d}.jsonl.gz" for step in (1, 2, 3, 4)]


def test_a_resumed_run_leaves_what_an_uninterrupted_one_does(config: Config) -> None:
    other = changed(config, name="whole")
    torn = train(config, 5)
    train(config, 8)
    whole = train(other, 8)
    assert (torn / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_a_run_torn_before_its_first_checkpoint_starts_over(config: Config) -> None:
    folder = train(config, 1)
    run = runs.open_run(config, [])
    assert run.resume_step is None and steps(folder) == []


def test_a_run_torn_before_its_config_starts_over(config: Config) -> None:
    folder = runs.folder_of(config)
    folder.mkdir(parents=True)
    (folder / "overrides.yaml").write_text("[]")
    (folder / "config.yaml.123.part").write_text("half")
    assert runs.open_run(config, []).resume_step is None


def test_an_unsealed_checkpoint_is_torn(config: Config) -> None:
    folder = train(config, 4)
    (checkpoints.path_of(folder, 4) / "manifest.json").unlink()
    assert runs.complete_checkpoints(folder) == [2]
    assert runs.open_run(config, []).resume_step == 2


def test_sealing_keeps_the_newest(tmp_path: Path) -> None:
    for step in (2, 4, 6, 8):
        save(tmp_path, step)
    torn = checkpoints.path_of(tmp_path, 5)
    torn.mkdir()
    runs.seal_checkpoint(checkpoints.path_of(tmp_path, 8), keep=2)
    assert runs.complete_checkpoints(tmp_path) == [6, 8] and not torn.exists()


def test_force_starts_over_in_its_own_folder_only(config: Config) -> None:
    other = train(changed(config, seed=1), 4)
    folder, before = train(config, 4), contents(other)
    run = runs.open_run(changed(config, force=True), [])
    assert run.resume_step is None and not (folder / "metrics.jsonl").exists()
    assert contents(other) == before


def test_status_over_the_life_of_a_run(config: Config) -> None:
    folder = runs.folder_of(config)
    with pytest.raises(KeyboardInterrupt), runs.recording(runs.open_run(config, [])):
        status = runs.read_status(folder)
        assert (status["state"], status["pid"], status["attempt"]) == ("running", os.getpid(), 1)
        runs.write_status(folder, step=3)
        raise KeyboardInterrupt
    assert runs.read_status(folder)["state"] == "stopped"
    with pytest.raises(ZeroDivisionError), runs.recording(runs.open_run(config, [])):
        _ = 1 / 0
    status = runs.read_status(folder)
    assert (status["state"], status["attempt"], status["step"]) == ("failed", 2, 3)
    assert "ZeroDivisionError" in status["error"]
    assert "ZeroDivisionError" in (folder / "train.log").read_text()
    with runs.recording(runs.open_run(config, [])):
        pass
    status = runs.read_status(folder)
    assert (status["state"], status["error"]) == ("done", None)


def test_warnings_go_to_the_log(config: Config, capsys: pytest.CaptureFixture) -> None:
    import warnings

    with runs.recording(runs.open_run(config, [])):
        warnings.warn("something is old", RuntimeWarning, stacklevel=1)
    assert "something is old" in (runs.folder_of(config) / "train.log").read_text()
    assert "something is old" not in capsys.readouterr().err


def test_two_processes_do_not_share_a_run(config: Config) -> None:
    holder = runs.open_run(config, [])
    with pytest.raises(UserError) as caught:
        runs.open_run(config, [])
    assert str(os.getpid()) in str(caught.value)
    holder.close()
    runs.open_run(config, []).close()


@pytest.mark.slow
def test_the_lock_of_a_killed_process_is_free(config: Config) -> None:
    code = (
        "import sys, time; from spark_lab import runs; from spark_lab.config import compose;"
        "run = runs.open_run(compose([sys.argv[1]]), []); print('open', flush=True); time.sleep(60)"
    )
    words = [sys.executable, "-c", code, f"root={config.root}"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "open\n"
        with pytest.raises(UserError, match=f"pid {process.pid}"):
            runs.open_run(config, [])
        process.kill()
    runs.open_run(config, []).close()


@pytest.mark.slow
def test_a_kill_never_leaves_half_a_file(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from spark_lab.durable import write_text\n"
        "print('go', flush=True)\n"
        "while True:\n    for c in 'ab': write_text(Path(sys.argv[1]), c * 1_000_000)"
    )
    path = tmp_path / "status.json"
    for delay in (0.05, 0.11, 0.17):
        words = [sys.executable, "-c", code, str(path)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            process.stdout.readline()
            while not path.exists():
                time.sleep(0.01)
            time.sleep(delay)
            process.kill()
        text = path.read_text()
        assert text in ("a" * 1_000_000, "b" * 1_000_000)


def test_write_text_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "long content")
    write_text(path, "short")
    assert path.read_text() == "short" and list(tmp_path.iterdir()) == [path]


def test_find_runs(config: Config) -> None:
    folders = [train(changed(config, seed=seed), 1) for seed in (2, 0, 1)]
    root = Path(config.root)
    (root / "single/notes").mkdir()
    assert runs.find_runs(root) == sorted(folders)
    assert runs.find_runs(folders[0]) == [folders[0]]
    assert runs.find_runs(root / "absent") == []


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
