"""The axes of recycling in small real runs: whose rollouts are judged, when, and at what cost."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest
from rich.console import Console
from tiny_spark import Notebook, small, trainer_of

from spark_lab.tracking.jsonl import write_rollouts
from spark_lab.tracking.rollout_view import Filter, show

SOURCES = {
    "on_policy": [],
    "lagged": ["recycle=lagged", "recycle.lag_windows=6"],
    "frozen": ["recycle=frozen", "recycle.frozen_windows=2"],
    "fresh": ["recycle=fresh"],
}
STEPS = 7


class Run(Notebook):
    """What a run wrote, and the first weights at which each of its windows was sampled."""

    def __init__(self, folder: Path, *overrides: str):
        super().__init__()
        config = small(f"budget.limit={STEPS}", *overrides)
        trainer, notebook = trainer_of(config, folder)
        plan, self.sums = trainer.loop.plan, []

        def watched() -> list[str]:
            self.sums.append(float(next(trainer.model.parameters()).detach().double().sum()))
            return plan()

        trainer.loop.plan = watched
        trainer.train()
        self.rows, self.rollout_rows = notebook.rows, notebook.rollout_rows

    def of(self, phase: str) -> list[dict]:
        return [row for row in self.rollout_rows if row["phase"] == phase]

    def judged(self) -> list[dict]:
        return [row for row in self.rollout_rows if row["objective"] != "solve"]

    def ages(self) -> list[int]:
        return [row["window"] - row["source_window"] for row in self.judged()]

    def questions(self, phase: str) -> list[int]:
        rows = [row for row in self.of(phase) if row["objective"] == "solve"]
        return [row["question"] for row in rows[::4]]

    def windows(self, phase: str) -> set[int]:
        return {row["window"] for row in self.of(phase)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    return {
        name: Run(tmp_path_factory.mktemp(name), *overrides) for name, overrides in SOURCES.items()
    }


def test_on_policy_items_come_from_the_runs_own_questions(runs):
    run = runs["on_policy"]
    assert run.windows("extra") == set() and min(run.ages()) == 1


def test_lagged_items_are_old_enough_and_everything_else_stays(runs):
    run = runs["lagged"]
    assert run.judged() and 6 <= min(run.ages()) <= 7  # judge windows are two apart
    assert not any(row.get("recycle/age_windows") for row in run.rows[:3])
    assert run.rows[0]["recycle/waiting"] == run.rows[0]["recycle/produced"]


def test_frozen_items_come_from_the_starting_model_and_grow_old(runs):
    run = runs["frozen"]
    assert run.windows("extra") == {0, 1}
    assert {row["source_window"] for row in run.judged()} == {0, 1}
    # Both extra windows, and the two windows of the first update, are the starting model's.
    assert len(set(run.sums[:4])) == 1 and run.sums[4] != run.sums[0]
    assert {row["window"] for row in run.judged()} == set(range(3, 2 * STEPS + 2, 2))
    ages = [row["recycle/age_windows"] for row in run.rows]
    assert ages == sorted(ages) and ages[-1] > 2 * (STEPS - 1)
    sizes = {row["recycle/size"] for row in run.rows}
    assert len(sizes) == 1, "what is used goes back"


def test_fresh_items_come_from_extra_rollouts_that_nothing_is_trained_on(runs):
    run = runs["fresh"]
    extra = run.windows("extra")
    assert len(extra) >= 3
    assert {row["source_window"] for row in run.judged()} <= extra
    assert not extra & run.windows("train")
    # An extra window and the judge window after it are sampled from the same weights.
    assert all(run.sums[window] == run.sums[window + 1] for window in extra)


@pytest.mark.parametrize("name", SOURCES)
def test_every_rollout_is_paid_for_and_extra_ones_are_not_trained_on(runs, name):
    run, last = runs[name], runs[name].rows[-1]
    tokens = {phase: sum(row["tokens"] for row in run.of(phase)) for phase in ("train", "extra")}
    assert last["compute/rollouts"] == len(run.rollout_rows)
    assert last["compute/generated_tokens"] == tokens["train"] + tokens["extra"]
    assert last["compute/trained_tokens"] == tokens["train"]
    extra = sum(row.get("recycle/extra_rollouts", 0) for row in run.rows)
    assert extra == len(run.of("extra"))
    counted = sum(row.get(f"train/{o}/count", 0) for row in run.rows for o in ("solve", "reflect"))
    assert counted == sum(row["objective"] in ("solve", "reflect") for row in run.of("train"))


def test_a_reader_is_told_which_rollouts_nothing_was_trained_on(
    runs, tmp_path: Path, capsys: pytest.CaptureFixture
):
    extra = [row for row in runs["fresh"].of("extra") if row["step"] == 1]
    folder = tmp_path / "rollouts"
    folder.mkdir()
    write_rollouts(folder, "train", 1, extra)
    show(tmp_path, Filter(phase="train"), 1, Console())
    assert f"solve · for judging only · step 1 · question {extra[0]['question']}" in (
        capsys.readouterr().out
    )


def test_all_sources_train_on_the_same_questions_in_the_same_order(runs):
    asked = {name: run.questions("train")[:24] for name, run in runs.items()}
    assert len(asked["on_policy"]) == 24
    assert all(questions == asked["on_policy"] for questions in asked.values())
    for name in ("frozen", "fresh"):
        assert runs[name].questions("extra")[:8] != asked[name][:8]


def test_the_label_share_is_that_of_the_judgements_trained_on(runs):
    for run in runs.values():
        for row in run.rows:
            labels = [
                one["source_correct"]
                for one in run.judged()
                if one["objective"] == "pointwise" and one["step"] == row["step"]
            ]
            if labels:
                assert row["recycle/label_share"] == sum(labels) / len(labels)
            else:
                assert "recycle/label_share" not in row


def test_a_reflection_is_recycled_exactly_once_more(tmp_path: Path):
    # Everything can be shown and kept, so each group of first reflections gives one further item.
    reflect = ["chain=true", "keep_share=1", "forms=[verify_first]", "material=working"]
    overrides = [f"objective.reflect.{key}" for key in reflect]
    settings = ["recycle.capacity=99", "schedule=alternate", "trainer.group_size=2"]
    run = Run(tmp_path, "objective=reflect", "budget.limit=14", *overrides, *settings)
    solved = {row["window"] for row in run.rollout_rows if row["objective"] == "solve"}
    groups: dict[int, Counter[bool]] = defaultdict(Counter)
    for row in run.judged()[::2]:
        groups[row["window"]][row["source_window"] not in solved] += 1
    assert sum(count[True] for count in groups.values()) >= 4, "second reflections must take place"
    for window, row in enumerate(run.rows):
        lost = row.get("recycle/dropped_too_long", 0) if window in groups else 0
        assert row.get("recycle/chained", 0) == groups[window][False] - lost


def test_shares_and_weights_follow_the_budget_in_a_run(tmp_path: Path):
    changes = ["weight_schedule=linear", "weight_end=0", "share_schedule=competence", "share_end=0"]
    run = Run(tmp_path, *(f"objective.reflect.{change}" for change in changes))
    for row in run.rows:
        assert row["train/reflect/weight"] == pytest.approx(1 - row["fraction"])
    assert run.rows[0]["train/reflect/share"] <= 1 > run.rows[-1]["train/reflect/share"]
