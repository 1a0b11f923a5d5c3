"""What a reward does to a training: what it says, and nothing else."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
import torch
from tiny_spark import SMALL, Notebook, small, trainer_of

from spark_lab import cli, runs
from spark_lab.config import compose
from spark_lab.rewards import Labels

SELF_JUDGED = ["reward=self_judge", "reward.labelled=0.5", "reward.self_judge.judgements=2"]
# All that is measured with the hidden labels.
MEASURED = {"reward/true_accuracy", "reward/hacking_gap", "reward/self_accuracy"}


def trained(folder: Path, *overrides: str):
    config = small(*overrides)
    trainer, notebook = trainer_of(config, folder)
    trainer.train()
    return trainer, notebook


def weights(trainer) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}


def equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(left[name], right[name]) for name in left)


def of(notebook: Notebook, objective: str) -> list[dict]:
    return [row for row in notebook.rollout_rows if row["objective"] == objective]


def test_noise_turns_rewards_and_recycled_labels_round_at_its_rate(tmp_path: Path) -> None:
    _, true = trained(tmp_path / "true", "budget.limit=1")
    noise = ["reward.false_positive=0.4", "reward.false_negative=0.2", "trainer.group_size=8"]
    _, noisy = trained(tmp_path / "noisy", "budget.limit=1", *noise[:2])
    before, after = of(true, "solve"), of(noisy, "solve")[: len(of(true, "solve"))]
    assert [row["completion"] for row in before] == [row["completion"] for row in after]
    assert [row["correct"] for row in before] == [row["correct"] for row in after]
    assert [row["reward"] for row in before] != [row["reward"] for row in after]
    assert not any("flip" in key for row in true.rows for key in row)

    _, long = trained(tmp_path / "long", "budget.limit=8", *noise)
    solved = [row for row in of(long, "solve") if row["parsed"]]
    for right, rate in ((False, 0.4), (True, 0.2)):
        flips = [(row["reward"] == 1.0) != right for row in solved if row["correct"] is right]
        band = 4 * math.sqrt(rate * (1 - rate) / len(flips))
        assert sum(flips) / len(flips) == pytest.approx(rate, abs=band)
    judged = of(long, "pointwise")
    told = [row["source_correct"] for row in judged]
    assert told and [row["label"] in ("Yes", "A") for row in judged] == told
    flipped = {
        (row["question"], row["answer"]) for row in solved if row["reward"] != row["correct"]
    }
    assert flipped, "some recycled rollouts were called what they are not"
    # A judgement is compared with its label, not verified: it has no noise of its own.
    assert all((row["reward"] == 1.0) == (row["answer"] == row["label"]) for row in judged)
    assert {"reward/flip_rate", "reward/false_positive_rate"} <= long.rows[-1].keys()


def test_evaluation_asks_the_true_verifier(tmp_path: Path) -> None:
    from spark_lab.build import build_evaluator, build_generator

    found = []
    for rate in ("0", "1"):
        config = small(f"reward.false_positive={rate}", f"reward.false_negative={rate}")
        trainer, _ = trainer_of(config, tmp_path / rate)
        generator = build_generator(config, trainer.model, trainer.processing_class)
        found.append(build_evaluator(config, tmp_path / f"{rate}.jsonl")(generator, step=0))
    assert found[0].metrics == found[1].metrics and found[0].rows == found[1].rows


def test_questions_without_a_label_are_left_out_unless_the_policy_judges_itself(tmp_path: Path):
    known = set(Labels(small("reward.labelled=0.25").reward, 44, seed=0).known)
    _, partial = trained(tmp_path / "partial", "reward.labelled=0.25", "budget.limit=4")
    assert {row["question"] for row in of(partial, "solve")} <= known
    _, judged = trained(tmp_path / "judged", *SELF_JUDGED[:1], "budget.limit=4")
    asked = {row["question"] for row in of(judged, "solve")}
    assert asked - known and asked & known
    recycled = [row for row in judged.rollout_rows if row["objective"] != "solve"]
    assert recycled and {row["question"] for row in recycled} <= known


def jsonl(folder: Path, poisoned: set[int]) -> list[str]:
    folder.mkdir()
    sums = [(a, b) for a in range(1, 7) for b in range(1, 7)]
    rows = [
        {"question": f"{a}+{b}", "answer": "99" if place in poisoned else str(a + b)}
        for place, (a, b) in enumerate(sums)
    ]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "eval.jsonl").write_text('{"question": "9+9", "answer": "18"}\n')
    paths = [f"task.data.{name}_path={folder}/{name}.jsonl" for name in ("train", "eval")]
    return ["task=data", *paths]


@pytest.mark.parametrize("kind", ["pointwise", "pairwise"])
def test_hidden_labels_are_never_trained_on(tmp_path: Path, kind: str) -> None:
    """Poisoned, they change what is measured and not one bit of the weights."""
    overrides = [text for text in SMALL if not text.startswith("task.")]
    overrides += [*SELF_JUDGED, f"reward.self_judge.kind={kind}", "budget.limit=4"]
    known = Labels(small(*SELF_JUDGED).reward, 36, seed=0).known
    ends = []
    for name, poisoned in (("clean", set()), ("poisoned", set(range(36)) - set(known))):
        config = compose([*overrides, *jsonl(tmp_path / name, poisoned)])
        trainer, notebook = trainer_of(config, tmp_path / f"{name} run")
        trainer.train()
        ends.append((weights(trainer), notebook))
    (clean, seen), (poisoned, seen_poisoned) = ends
    assert equal(clean, poisoned)
    for row, other in zip(seen.rows, seen_poisoned.rows, strict=True):
        assert {key for key in row if row[key] != other.get(key)} <= MEASURED
    assert any("reward/true_accuracy" in row for row in seen.rows)
    accuracies = [
        row["reward/true_accuracy"] for row in seen_poisoned.rows if MEASURED & row.keys()
    ]
    assert max(accuracies) == 0.0, "the poison reached what is measured"


def test_judgements_are_paid_for(tmp_path: Path) -> None:
    _, plain = trained(tmp_path / "plain", "objective=none", "budget.limit=1")
    judged_trainer, judged = trained(
        tmp_path / "judged", "objective=none", *SELF_JUDGED, "budget.limit=1"
    )
    assert judged_trainer.meter.trained_tokens == sum(row["tokens"] for row in judged.rollout_rows)
    extra = judged.rows[0]["compute/rollouts"] - plain.rows[0]["compute/rollouts"]
    assert extra == judged.rows[0]["reward/judgements"] > 0
    for unit in ("generated_tokens", "flops"):
        assert judged.rows[0][f"compute/{unit}"] > plain.rows[0][f"compute/{unit}"]


@pytest.mark.parametrize("judge", ["ema", "snapshot"])
def test_a_slow_judge_follows_the_policy_and_alone_judges(tmp_path: Path, judge: str) -> None:
    config = small(
        *SELF_JUDGED,
        f"reward.self_judge.judge={judge}",
        "reward.self_judge.refresh=2",
        "reward.self_judge.ema_decay=0.5",
        "trainer.learning_rate=1e-3",
        "budget.limit=3",
    )
    trainer, _ = trainer_of(config, tmp_path)
    history = [weights(trainer)]

    class Keep(type(trainer.callback_handler.callbacks[0])):
        def on_step_end(self, *_, **__):
            history.append(weights(trainer))

    trainer.add_callback(Keep())
    trainer.train()
    name = max(history[0], key=lambda one: history[0][one].numel())
    start, first, second, third = (past[name] for past in history)
    expected = second
    if judge == "ema":
        expected = ((start + first) / 2 + second) / 2
        expected = (expected + third) / 2
    with trainer.slow_judge.in_place(trainer.model):
        torch.testing.assert_close(weights(trainer)[name], expected)
        assert not torch.equal(weights(trainer)[name], third)
    assert equal(weights(trainer), history[-1]), "the policy has its own weights back"

    blank = {key: torch.zeros_like(weight) for key, weight in history[0].items()}
    trainer.slow_judge._weights = blank
    trainer.loop.drain()
    trainer._generate_and_score_completions([{}] * 16)
    metrics, _ = trainer.loop.drain()
    assert metrics["reward/judge_parse_failure_rate"] == 1.0, "the blank weights judged"
    assert metrics["train/solve/parse_failure_rate"] < 1.0, "and did not solve"


def test_a_collapsed_run_stops_says_why_and_stays_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    overrides = [*SMALL, "eval.samples=1", "budget.limit=30", f"root={tmp_path}"]
    # Without a label to compare with, any majority of verdicts is a collapse here.
    overrides += ["objective=none", "reward=self_judge", "reward.labelled=0"]
    overrides += ["reward.self_judge.stop_after=2", "reward.self_judge.same_verdict=0.51"]

    def run() -> str:
        monkeypatch.setattr(sys, "argv", ["spark-lab", *overrides])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert caught.value.code == cli.FAILED
        said = capsys.readouterr().err
        assert "Traceback" not in said
        return said

    said = run()
    assert "stopped before the end of the budget" in said
    assert "of the judge's verdicts in 2 windows" in said and "reward.self_judge.judge=ema" in said
    [folder] = runs.find_runs(tmp_path)
    status = runs.read_status(folder)
    assert status["state"] == "failed" and "Collapse" in status["error"]
    last = (folder / "metrics.jsonl").read_text().splitlines()[-1]
    evaluated = (folder / "eval.jsonl").read_text().splitlines()[-1]
    step = json.loads(last)["step"]
    assert step < 30 and json.loads(evaluated)["step"] == step
    assert (folder / "checkpoints" / f"checkpoint-{step}").is_dir()
    before = (folder / "metrics.jsonl").read_bytes()
    assert run().splitlines()[2:] == said.splitlines()[2:]
    assert (folder / "metrics.jsonl").read_bytes() == before
