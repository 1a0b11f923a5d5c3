"""Bad files, folders and disks: the message says what to do, and earlier data stays intact."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from spark_lab import prompts, runs
from spark_lab.config import compose
from spark_lab.durable import write_text
from spark_lab.errors import UserError
from spark_lab.models.load import resolve_path
from spark_lab.runs import checkpoints

Refused = Callable[..., str]

GOOD_ROW = '{"question": "1+1", "answer": "2"}\n'
TASK_FILES = {
    "a line that is not JSON": (GOOD_ROW + "{oops\n", "line 2"),
    "a row without its answer": (GOOD_ROW + '{"question": "2+2"}\n', "answer"),
    "an answer that is a list": (GOOD_ROW + '{"question": "2+2", "answer": [4]}\n', "line 2"),
    "a row that is not an object": (GOOD_ROW + "[1]\n", "line 2"),
    "no rows": ("", "no rows"),
    "questions of the other file": (GOOD_ROW + '{"question": "3+3", "answer": 6}\n', "both files"),
}


@pytest.mark.parametrize("name", TASK_FILES)
def test_task_file(name: str, refused: Refused, tmp_path: Path) -> None:
    text, said = TASK_FILES[name]
    train, held_out = tmp_path / "train.jsonl", tmp_path / "eval.jsonl"
    train.write_text(text)
    held_out.write_text('{"question": "3+3", "answer": 6}\n')
    message = refused(
        "task=data", f"task.data.train_path={train}", f"task.data.eval_path={held_out}"
    )
    assert said in message and "train.jsonl" in message


def test_task_file_that_is_not_there(refused: Refused, tmp_path: Path) -> None:
    absent = tmp_path / "absent.jsonl"
    said = refused("task=data", f"task.data.train_path={absent}", f"task.data.eval_path={absent}")
    assert "task.data.train_path" in said and "task.data.eval_path" in said


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def pickled_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def without_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


MODELS = {
    without_weights: "safetensors",
    pickled_weights: "pytorch_model.bin",
    cut_weights: "model.safetensors",
    broken_config: "config.json",
    without_tokenizer: "tokenizer",
    shutil.rmtree: "an existing folder",
}


@pytest.mark.parametrize("damage", MODELS, ids=lambda damage: damage.__name__)
def test_model_folder(damage: Callable, refused: Refused, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(resolve_path("builtin:tiny"), folder)
    compose(["model=local", f"model.path={folder}", "trainer.max_completion_length=40"])
    damage(folder)
    assert MODELS[damage] in refused("model=local", f"model.path={folder}")


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("pairwise.txt", r"{question} {solution_a} \boxed{{a}} or \boxed{{b}}", "{solution_b}"),
        ("solve.txt", r"{questoin} \boxed{}", "did you mean {question}?"),
        ("pointwise_a_b.txt", "", "an empty file"),
        ("reflect_told_wrong_answer.txt", None, "no such file"),
    ],
)
def test_template_folder(
    file: str, text: str | None, said: str, refused: Refused, tmp_path: Path
) -> None:
    folder = tmp_path / "templates"
    shutil.copytree(Path(prompts.__file__).parent / "terse", folder)
    compose([f"model.templates={folder}"])
    (folder / file).unlink() if text is None else (folder / file).write_text(text)
    message = refused(f"model.templates={folder}")
    assert said in message and file in message


@pytest.fixture
def torn(tmp_path: Path) -> Path:
    """The folder of a run that was killed after its second checkpoint, at step 5."""
    run = runs.open_run(compose([f"root={tmp_path}"]), [])
    runs.write_status(run.folder, state="running", step=4)
    with (run.folder / "metrics.jsonl").open("w") as file:
        file.writelines(json.dumps({"step": step}) + "\n" for step in range(1, 6))
    for step in (2, 4):
        path = checkpoints.path_of(run.folder, step)
        path.mkdir(parents=True)
        (path / "model.safetensors").write_bytes(bytes(100))
        runs.seal_checkpoint(path)
    run.close()
    return run.folder


def foreign(folder: Path) -> None:
    (folder / "config.yaml").rename(folder / "thesis.tex")


def another_config(folder: Path) -> None:
    path = folder / "config.yaml"
    path.write_text(path.read_text().replace("learning_rate: 0.0003", "learning_rate: 0.3"))


def unreadable_config(folder: Path) -> None:
    (folder / "config.yaml").write_text("a: [")


def empty_config(folder: Path) -> None:
    (folder / "config.yaml").write_text("")


def unreadable_status(folder: Path) -> None:
    (folder / "status.json").write_text('{"state": "run')


def senseless_status(folder: Path) -> None:
    (folder / "status.json").write_text('{"state": "sleeping"}')


def broken_row(folder: Path) -> None:
    path = folder / "metrics.jsonl"
    path.write_text(path.read_text().replace('{"step": 2}', '{"step": '))


def changed_weights(folder: Path) -> None:
    (checkpoints.path_of(folder, 4) / "model.safetensors").write_bytes(bytes(99) + b"1")


def cut_checkpoint(folder: Path) -> None:
    (checkpoints.path_of(folder, 4) / "model.safetensors").write_bytes(bytes(50))


def lost_file(folder: Path) -> None:
    (checkpoints.path_of(folder, 4) / "model.safetensors").unlink()


def unreadable_manifest(folder: Path) -> None:
    (checkpoints.path_of(folder, 4) / "manifest.json").write_text("[]")


FOLDERS = {
    foreign: "thesis.tex",
    another_config: "trainer.learning_rate: 0.3 in the folder, 0.0003 now",
    unreadable_config: "config.yaml",
    empty_config: "no keys",
    unreadable_status: "delete this file to go on from the last checkpoint",
    senseless_status: "running, done, failed, stopped",
    broken_row: "metrics.jsonl:2",
    changed_weights: "model.safetensors has changed",
    cut_checkpoint: "has 50 bytes instead of 100",
    lost_file: "model.safetensors is missing",
    unreadable_manifest: "manifest.json can't be read",
}


@pytest.mark.parametrize("damage", FOLDERS, ids=lambda damage: damage.__name__)
def test_run_folder(damage: Callable, refused: Refused, torn: Path, tmp_path: Path) -> None:
    damage(torn)
    before = contents(torn)
    assert FOLDERS[damage] in refused(f"root={tmp_path}")
    assert contents(torn) == before


def test_a_damaged_environment(torn: Path) -> None:
    (torn / "env.json").write_text("{")
    with pytest.raises(UserError, match="delete this file"):
        runs.write_env(torn, threads=2)
    assert (torn / "env.json").read_text() == "{"


def test_a_damaged_checkpoint_can_be_deleted(torn: Path, tmp_path: Path, refused: Refused) -> None:
    changed_weights(torn)
    assert "delete that folder" in refused(f"root={tmp_path}")
    shutil.rmtree(checkpoints.path_of(torn, 4))
    run = runs.open_run(compose([f"root={tmp_path}"]), [])
    assert run.resume_step == 2


def test_a_run_that_is_on(refused: Refused, torn: Path, tmp_path: Path) -> None:
    run = runs.open_run(compose([f"root={tmp_path}"]), [])
    before = contents(torn)
    assert f"pid {os.getpid()}" in refused(f"root={tmp_path}")
    assert contents(torn) == before
    run.close()


def test_a_root_that_is_a_file(refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    assert "can't write there" in refused(f"root={path}")
    assert path.read_text() == "mine"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts a tmpfs; where that isn't allowed, a limit on file sizes stands in for a full disk."""
    mounts: list[Path] = []

    def mount(options: str) -> Path | None:
        folder = tmp_path / "disk"
        folder.mkdir(exist_ok=True)
        words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if subprocess.run(words, check=False, capture_output=True).returncode:
            return None
        mounts.append(folder)
        return folder

    yield mount
    for folder in mounts:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def tiny_files() -> Iterator[None]:
    """No file may grow beyond 4 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_read_only_root(refused: Refused, small_disk: Callable, tmp_path: Path) -> None:
    disk = small_disk("size=1m,ro")
    if disk is None:
        disk = Path("/proc")  # read-only for everybody
    assert "can't write there" in refused(f"root={disk}")


def test_a_disk_too_small_for_a_run(refused: Refused, small_disk: Callable) -> None:
    disk = small_disk("size=1m")
    if disk is None:
        pytest.skip("mounting is not allowed here; test_a_disk_that_fills_up covers the rest")
    assert "no space left" in refused(f"root={disk}")


def test_a_disk_that_fills_up(small_disk: Callable, tiny_files: None, tmp_path: Path) -> None:
    disk = small_disk("size=64k") or tmp_path
    path = disk / "status.json"
    write_text(path, '{"state": "running"}')
    if disk == tmp_path:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    with pytest.raises(UserError, match="no space left") as caught:
        write_text(path, "x" * 200_000)
    assert "goes on from the last checkpoint" in str(caught.value)
    assert path.read_text() == '{"state": "running"}'
    assert list(disk.glob("*.part")) == []


def by_python(path: Path) -> None:
    with path.open("wb") as file:
        for _ in range(64):
            file.write(bytes(2**20))


def by_torch(path: Path) -> None:
    torch.save({"exp_avg": torch.zeros(2**24)}, path)


def by_safetensors(path: Path) -> None:
    save_file({"weight": torch.zeros(2**24)}, path)


@pytest.mark.parametrize("write", [by_python, by_torch, by_safetensors])
def test_a_disk_that_fills_up_during_a_run(
    write: Callable, small_disk: Callable, tiny_files: None, tmp_path: Path
) -> None:
    disk = small_disk("size=30m") or tmp_path
    run = runs.open_run(compose([f"root={disk}"]), [])
    before = contents(run.folder)
    if disk == tmp_path:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    with pytest.raises(UserError, match="no space left"), runs.recording(run):
        write(run.folder / "half")
    after = contents(run.folder)
    assert {name: after[name] for name in before} == before
    assert runs.read_status(run.folder)["state"] in ("running", "failed")
    (run.folder / "half").unlink(missing_ok=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert runs.open_run(compose([f"root={disk}"]), []).resume_step is None


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
