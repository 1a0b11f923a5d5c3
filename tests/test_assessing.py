"""`spark-lab eval` and `spark-lab solve` on real small runs, full and with adapters."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_spark import small

from spark_lab import runner
from spark_lab.assessing import command, solving
from spark_lab.errors import UserError
from spark_lab.tracking.jsonl import read_rows
from spark_lab.viewing import show_rollouts

SETTINGS = ["eval.samples=2", "eval.test_time_samples=4", "eval.test_time_rounds=2"]
# What the runs have by `tiny_spark.SMALL`, for a model by its path.
ALIKE = [*SETTINGS, "task.chain_sums.train_size=44", "task.chain_sums.eval_size=4"]
ALIKE += ["trainer.max_completion_length=24"]


def trained(root: Path, *overrides: str) -> Path:
    """A run of one step."""
    config = small(*SETTINGS, "budget.limit=1", f"root={root}", "tracking.console=off", *overrides)
    runner.run(config, [])
    [status] = root.glob("*/*/*/status.json")
    return status.parent


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("full"))


@pytest.fixture
def evaluate(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[dict, str]]:
    """The result of `spark-lab eval WORDS` and what it printed."""

    def evaluated(*words: str) -> tuple[dict, str]:
        command.main(list(words))
        out = capsys.readouterr().out
        [files] = [line.split()[1] for line in out.splitlines() if line.startswith("  Files")]
        return json.loads((Path(files) / "result.json").read_text()), out

    return evaluated


def final(run: Path) -> dict:
    last = read_rows(run / "eval.jsonl").rows[-1]
    return {key: value for key, value in last.items() if "/" in key and "compute/" not in key}


def test_a_checkpoint_is_measured_as_at_the_end_of_its_training(run: Path, evaluate) -> None:
    result, out = evaluate(f"run={run}")
    assert result["metrics"] == final(run) and "tts/accuracy" in final(run)
    assert result["run"] == str(run) and result["step"] == 1
    for shown in ("Reasoning", "the run's fixed set", "its own answers", "majority vote of 4"):
        assert shown in out
    again, said = evaluate(f"run={run}", "eval.every=7")
    assert again == result, "when to evaluate in training changes nothing here"
    assert said.startswith("already done") and said.partition("\n")[2] == out
    anew, said = evaluate(f"run={run}", "force=true")
    assert anew["metrics"] == result["metrics"] and "already done" not in said


def test_adapters_are_measured_on_their_model(tmp_path: Path, evaluate) -> None:
    run = trained(tmp_path, "model/lora=default", "trainer.learning_rate=0.05")
    result, _ = evaluate(f"run={run}")
    assert result["metrics"] == final(run)
    plain, _ = evaluate("model.path=builtin:tiny", f"root={tmp_path}", *ALIKE)
    assert plain["metrics"]["policy/tokens"] != result["metrics"]["policy/tokens"]


def test_a_model_by_its_path_judges_its_own_answers(run: Path, tmp_path: Path, evaluate) -> None:
    result, out = evaluate("model.path=builtin:tiny", f"root={tmp_path}", *ALIKE)
    start = read_rows(run / "eval.jsonl").rows[0]
    measured = {key: value for key, value in result["metrics"].items() if "tts/" not in key}
    assert measured.items() <= start.items(), "as the run's first evaluation found it"
    assert not any(key.startswith("fixed/") for key in measured) and "fixed set" not in out
    assert (tmp_path / "evals").is_dir()


def test_what_is_typed_wins_over_the_run(run: Path, evaluate) -> None:
    usual, _ = evaluate(f"run={run}")
    other, out = evaluate(f"run={run}", "task.chain_sums.seed=5", "eval.test_time=off")
    assert other["questions"] != usual["questions"]
    assert not any(key.startswith(("fixed/", "tts/")) for key in other["metrics"])
    assert "test-time" not in out
    more, _ = evaluate(f"run={run}", "eval.samples=3")
    assert "policy/pass_at_3" in more["metrics"], "the run had two"


def test_its_rollouts_can_be_read(run: Path, evaluate, capsys) -> None:
    _, out = evaluate(f"run={run}")
    [typed] = [line.split() for line in out.splitlines() if "spark-lab rollouts" in line]
    show_rollouts(typed[2:])
    assert "test time" in capsys.readouterr().out


WRONG = {
    "no model": ([], "run=PATH or model.path=PATH"),
    "two models": (["run={run}", "model.path=builtin:tiny"], "one model"),
    "an objective": (["run={run}", "objective=none"], "nothing that a model is asked by"),
    "a step without a run": (["model.path=builtin:tiny", "step=3"], "run=PATH beside it"),
    "no such step": (["run={run}", "step=7"], "one of 1"),
    "no such run": (["run={root}/nowhere", "root={root}"], "no such run"),
    "a typo": (["run={run}", "eval.sample=3"], "did you mean eval.samples?"),
    "a bad value": (["run={run}", "eval.test_time_samples=3"], "at least 4"),
    "no such model": (["model.path=/nowhere"], "an existing folder or a hub id"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("main", [command.main, solving.main])
def test_bad_input_is_refused(run: Path, case: str, main) -> None:
    words, expected = WRONG[case]
    filled = [word.format(run=run, root=run.parents[2]) for word in words]
    with pytest.raises(UserError) as caught:
        main([*filled, "1+2"] if main is solving.main else filled or ["eval.seed=1"])
    assert expected in str(caught.value)


def test_damaged_files_are_refused(tmp_path: Path, run: Path) -> None:
    copy = shutil.copytree(run, tmp_path / run.parent.name / run.name)
    lines = (copy / "judge_set.jsonl").read_text().splitlines()
    (copy / "judge_set.jsonl").write_text("\n".join(lines[:-1]))
    with pytest.raises(UserError, match="entries"):
        command.main([f"run={copy}", "eval.seed=8"])
    [weights] = (copy / "checkpoints").glob("checkpoint-*/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(UserError, match="damaged checkpoint"):
        command.main([f"run={copy}"])
    shutil.rmtree(copy / "checkpoints")
    with pytest.raises(UserError, match="no whole checkpoint"):
        command.main([f"run={copy}"])


def test_solving_shows_every_round(run: Path, capsys, monkeypatch) -> None:
    typed = [f"run={run}", "eval.test_time_rounds=3"]
    solving.main([*typed, "2+3+4"])
    out = capsys.readouterr().out
    assert "Solve 2+3+4" in out and "round 1: judge\n  Judge 2+3+4" in out
    rejected = out.count("= rejected")
    assert out.count("reflection\n") == rejected
    assert ("   accepted, " in out) == ("= accepted" in out)
    monkeypatch.setattr("sys.stdin", io.StringIO("2+3+4\n\nx=3\x1b[2J\n"))
    solving.main(typed)
    piped = capsys.readouterr().out
    assert piped.startswith(out), "the same question has the same answer"
    assert piped.count("Answer  ") == 2 and "\x1b" not in piped


def test_a_question_may_hold_an_equals_sign() -> None:
    with pytest.raises(UserError, match="an empty question"):
        solving.main(["model.path=builtin:tiny", " "])
    assert not solving._is_setting("x=3") and not solving._is_setting("2+2=?")
    assert solving._is_setting("eval.seed=3") and solving._is_setting("+task.x=3")
