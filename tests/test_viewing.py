"""`spark-lab runs` and `spark-lab rollouts` show what is there, and say what is not."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from simulated import simulate_run

from spark_lab.errors import UserError
from spark_lab.tracking.jsonl import RunLog
from spark_lab.tracking.rollout_view import Filter, show, visible
from spark_lab.viewing import find_run, show_rollouts, show_runs

SMALL = {"questions": 6, "steps": 8, "evaluations": 3, "samples": 2}
NASTY = "\x1b[2J[red]not markup[/red] \u202egnp.exe \x00 \ud800 ünï ✓\r\nnext"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    simulate_run(root, "none", 0, sweep="objectives", **SMALL)
    simulate_run(root, "pointwise+reflect", 0, sweep="objectives", **SMALL)
    simulate_run(root, "pointwise+reflect", 1, sweep="objectives", state="failed", **SMALL)
    simulate_run(root, "pairwise", 0, state="running", **SMALL)
    return root


def rollouts(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    show_rollouts(list(argv))
    return capsys.readouterr().out


def test_runs_lists_every_run_with_its_state(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show_runs([str(root)])
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if line.strip()]
    arms = ("none", "pairwise", "pointwise+reflect")
    found = [(row[0], row[1].partition("-")[0], *row[2:4]) for row in rows if row[0] in arms]
    assert found == [
        ("none", "seed0", "done", "8"),
        ("pointwise+reflect", "seed0", "done", "8"),
        ("pointwise+reflect", "seed1", "failed", "4"),
        # It says running, and the process it names (1, which always runs) does.
        ("pairwise", "seed0", "running", "4"),
    ]
    assert any("objectives" in line and "3 runs" in line for line in lines)


def test_a_run_whose_process_is_gone_is_torn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = simulate_run(tmp_path, "none", 0, state="running", **SMALL)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    status = json.loads((folder / "status.json").read_text()) | {"pid": gone.pid}
    (folder / "status.json").write_text(json.dumps(status))
    os.utime(folder / "metrics.jsonl", (0, 0))
    show_runs([str(tmp_path)])
    assert "torn" in capsys.readouterr().out


def test_a_damaged_run_is_named_and_the_others_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = simulate_run(tmp_path, "none", 0, **SMALL)
    simulate_run(tmp_path, "none", 1, **SMALL)
    (damaged / "status.json").write_text("{")
    show_runs([str(tmp_path)])
    out = capsys.readouterr().out
    assert "damaged" in out and "done" in out and str(damaged / "status.json") in out


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_no_runs_is_bad_input(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"no run folders|no such folder"):
        show_runs([str(tmp_path / name)])


def test_rollouts_take_turns_between_objectives_and_verdicts(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = rollouts(capsys, "objectives/none", "--root", str(root), "--limit", "14")
    heads = [line for line in out.splitlines() if line.startswith("===")]
    assert len(heads) == 14 and len({head.split(" · ")[0] for head in heads}) >= 4
    assert "eval-000008.jsonl.gz" in out
    assert "\x1b" not in out


def test_filters_are_combined(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(next((root / "objectives" / "pointwise+reflect").glob("seed0-*")))
    argv = [run, "--objective", "pointwise", "--set", "live", "--wrong", "--step", "0"]
    out = rollouts(capsys, *argv, "--limit", "99")
    heads = [line for line in out.splitlines() if line.startswith("===")]
    assert heads and all("pointwise" in h and "own answers" in h and "step 0" in h for h in heads)
    graded = [line for line in out.splitlines() if line.startswith(("right", "wrong"))]
    assert len(graded) == len(heads) and all(line.startswith("wrong") for line in graded)


def test_training_rollouts(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = rollouts(capsys, "none", "--root", str(root), "--phase", "train", "--limit", "1")
    assert "solve · training · step 8" in out and "train-000008.jsonl.gz" in out


def test_a_step_that_was_not_saved_names_those_that_were(root: Path) -> None:
    with pytest.raises(UserError) as raised:
        show_rollouts(["none", "--root", str(root), "--step", "7"])
    [problem] = raised.value.problems
    assert problem.fix == "--step 8" and "0, 1, 4, 8" in problem.expected


def test_a_filter_that_lets_nothing_through_says_what_there_is(root: Path) -> None:
    argv = ["none", "--root", str(root), "--phase", "train", "--objective", "reflect"]
    with pytest.raises(UserError) as raised:
        show_rollouts(argv)
    [problem] = raised.value.problems
    assert problem.where == "--objective reflect" and problem.expected.startswith("solve: ")


def test_a_run_without_rollouts_says_how_to_get_them(tmp_path: Path) -> None:
    folder = simulate_run(tmp_path, "none", 0, rollouts=(), **SMALL)
    with pytest.raises(UserError) as raised:
        show_rollouts([str(folder)])
    assert "tracking.rollouts_every" in raised.value.problems[0].fix


def test_a_run_is_found_by_any_part_that_only_it_has(root: Path) -> None:
    [folder] = (root / "objectives" / "none").iterdir()
    for name in (str(folder), str(root / "objectives" / "none"), folder.name, "objectives/none"):
        assert find_run(name, root) == folder


def test_an_ambiguous_run_lists_the_candidates(root: Path) -> None:
    for name in ("pointwise+reflect", str(root / "objectives")):
        with pytest.raises(UserError) as raised:
            find_run(name, root)
        assert "seed1-" in raised.value.problems[0].got


def test_a_misspelt_run_gets_the_nearest(root: Path) -> None:
    with pytest.raises(UserError) as raised:
        find_run("pairwize", root)
    assert raised.value.problems[0].fix.startswith("did you mean spark-lab rollouts")
    assert "/pairwise/seed0-" in raised.value.problems[0].fix


@pytest.mark.parametrize("terminal", [False, True])
def test_model_text_is_data(tmp_path: Path, terminal: bool) -> None:
    row = {"step": 1, "phase": "eval", "objective": "solve", "set": "heldout", "question": 0}
    row |= {"prompt": NASTY, "completion": NASTY, "label": NASTY, "answer": NASTY, "reward": 0.0}
    with RunLog(tmp_path) as log:
        log.rollouts("eval", 1, [row | {"correct": False, "tokens": 3, "truncated": False}])
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=200, color_system=None)
    show(tmp_path, Filter(), 5, console)
    out = text.getvalue()
    for steering in ("\x1b[2J", "\u202e", "\x00", "\ud800", "\r"):
        assert steering not in out
    for spelt in (r"\x1b[2J[red]not markup[/red]", r"\u202egnp.exe", r"\x00", r"\ud800", "ünï ✓"):
        assert out.count(spelt) >= 3


def test_visible_keeps_readable_text() -> None:
    assert visible("a\tb\nc 数 \U0001f600") == "a\tb\nc 数 \U0001f600"
    assert visible("\x7f\u200b\u2028") == r"\x7f\u200b\u2028"


def test_viewing_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'trl', 'mlflow', 'pandas'}"
    code = f"import sys, spark_lab.viewing; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
