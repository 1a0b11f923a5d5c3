"""A run that another comparison has already made is taken over, whole, and only then."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tiny_spark import small

from spark_lab import runner, runs
from spark_lab.schema import Config

RUN = ["eval.samples=1", "eval.every=0", "budget.limit=1", "tracking.console=off"]


def of(root: Path, name: str, *overrides: str) -> Config:
    return small(*RUN, f"root={root}", f"name={name}", f"arm={name}_arm", *overrides)


def run(config: Config) -> Path:
    runner.run(config, [])
    return runs.folder_of(config)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with one finished run, in the sweep "one"."""
    root = tmp_path_factory.mktemp("runs")
    run(of(root, "one"))
    return root


def env(folder: Path) -> dict:
    return json.loads((folder / "env.json").read_text())


def test_a_run_of_another_sweep_is_taken_over(
    finished: Path, capsys: pytest.CaptureFixture
) -> None:
    source, config = runs.folder_of(of(finished, "one")), of(finished, "two")
    folder = run(config)
    assert "taken over from" in capsys.readouterr().out
    assert env(folder)["taken_over_from"] == str(source.relative_to(finished))
    for name in ("metrics.jsonl", "eval.jsonl", "judge_set.jsonl"):
        assert (folder / name).read_bytes() == (source / name).read_bytes()
    ours, theirs = (
        sorted(
            path.relative_to(one)
            for one_path in ("rollouts", "checkpoints")
            for path in (one / one_path).rglob("*")
        )
        for one in (folder, source)
    )
    assert ours == theirs
    assert runs.read_config(folder)["name"] == "two"
    status = runs.read_status(folder)
    assert status["state"] == "done" and status["final"] == runs.read_status(source)["final"]
    assert runs.open_run(config, []).done


def test_one_that_was_taken_over_is_taken_over_again(
    finished: Path, capsys: pytest.CaptureFixture
) -> None:
    source = runs.folder_of(of(finished, "one"))
    copy = run(of(finished, "a_copy"))
    capsys.readouterr()
    folder = run(of(finished, "later"))
    assert f"taken over from {copy.parent}" in capsys.readouterr().out.replace("\n", "")
    assert env(folder)["taken_over_from"] == str(source.relative_to(finished))
    assert runs.read_status(folder)["final"] == runs.read_status(source)["final"]


@pytest.mark.parametrize("override", ["reuse=false", "force=true"])
def test_nothing_is_taken_over_where_it_is_not_wanted(finished: Path, override: str) -> None:
    folder = run(of(finished, f"not_{override.partition('=')[0]}", override))
    assert "taken_over_from" not in env(folder)
    assert runs.read_status(folder)["state"] == "done"


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("seed=0", {}),
        ("seed=0", {"git": None}),
        ("seed=1", {}),
        ("seed=0", {"source_sha256": "changed code"}),
        ("seed=0", {"model_sha256": "other weights"}),
        ("seed=0", {"packages": {}}),
    ],
)
def test_only_the_same_run_is_a_twin(finished: Path, override: str, changed: dict) -> None:
    source = runs.folder_of(of(finished, "one"))
    opened = runs.open_run(of(finished, "search", override, "force=true"), [])
    facts = {key: env(source)[key] for key in ("model_sha256", "dataset_fingerprint", "ranks")}
    runs.write_env(opened.folder, **(facts | changed))
    same = override == "seed=0" and changed.keys() <= {"git"}
    assert (runs.find_twin(opened) is not None) == same
    opened.close()


@pytest.mark.parametrize(
    ("name", "damage"), [("status.json", '{"state": "do'), ("env.json", "{"), ("env.json", None)]
)
def test_a_damaged_folder_is_no_twin(
    finished: Path, tmp_path: Path, name: str, damage: str | None
) -> None:
    source = runs.folder_of(of(finished, "one"))
    for sweep in ("a_damaged", "whole"):
        shutil.copytree(source, tmp_path / sweep / source.parent.name / source.name)
    damaged, whole = (next(tmp_path.glob(f"{one}/*/*")) for one in ("a_damaged", "whole"))
    (damaged / name).unlink()
    if damage is not None:
        (damaged / name).write_text(damage)
    opened = runs.open_run(of(tmp_path, "two"), [])
    facts = {key: env(source)[key] for key in ("model_sha256", "dataset_fingerprint", "ranks")}
    runs.write_env(opened.folder, **facts)
    assert runs.find_twin(opened) == whole
    shutil.rmtree(whole)
    assert runs.find_twin(opened) is None
    opened.close()


def test_what_was_torn_while_it_was_taken_over_is_trained(finished: Path) -> None:
    source, config = runs.folder_of(of(finished, "one")), of(finished, "torn")
    opened = runs.open_run(config, [])
    runs.write_status(opened.folder, state="running")
    runs.adopt(source, opened.folder)
    opened.close()
    folder = run(config)
    assert runs.read_status(folder)["state"] == "done"
    steps = [json.loads(line)["step"] for line in (folder / "eval.jsonl").open()]
    assert steps == [0, 1]
