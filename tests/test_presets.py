"""Every preset composes, plans, and trains; each is what its name says."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_spark import Notebook, small, trainer_of

from spark_lab import cli
from spark_lab.config import compose, compose_node, typed

PRESETS = sorted(path.stem for path in Path(__file__).parent.parent.glob("conf/preset/*.yaml"))
# What a recipe for large models needs beside SMALL to be tried on the tiny one.
ROOM = ["trainer.max_completion_length=40", "trainer.updates_per_window=1", "budget.limit=3"]
# The paper's models and data are those of the hub.
PAPER = {name: ["model=tiny", "task=chain_sums"] for name in PRESETS if name[-1] == "b"}
# And what a window of four groups needs.
FITTING = {
    **{name: [*words, "trainer.micro_batch_size=4"] for name, words in PAPER.items()},
    "paper_spark": ["trainer.micro_batch_size=4"],
    "policy_and_reward": ["recycle.frozen_windows=2"],
    "reward_only": ["recycle.frozen_windows=2"],
    "rise": ["schedule.fraction=0.25"],
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Notebook]:
    """Three updates of each preset."""
    notebooks = {}
    for name in PRESETS:
        config = small(f"preset={name}", *ROOM, *FITTING.get(name, []), "recycle.capacity=64")
        trainer, notebooks[name] = trainer_of(config, tmp_path_factory.mktemp(name))
        trainer.train()
    return notebooks


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_trains_what_it_names(name: str, trained: dict[str, Notebook]) -> None:
    rows = trained[name].rows
    assert len(rows) == 3 and max(row["grad_norm"] for row in rows) > 0
    seen = {key.split("/")[1] for row in rows for key in row if key.endswith("/count")}
    judges, all_three = {"pointwise", "pairwise"}, {"pointwise", "pairwise", "reflect"}
    wanted = {
        "policy_only": ({"solve"}, {"solve"}),
        "reward_only": ({"pointwise"}, judges),
        "policy_and_reward": ({"solve", "pointwise"}, judges | {"solve"}),
        "spark": ({"solve", "reflect"}, all_three | {"solve"}),
        "paper_spark": ({"solve", "reflect"}, all_three | {"solve"}),
        **{paper: ({"solve", "reflect"}, all_three | {"solve"}) for paper in PAPER},
        "rise": ({"solve", "pointwise"}, {"solve", "pointwise"}),
        "self_verify": ({"solve"}, {"solve"}),  # its first judge window is the sixth
        "sft_aux": ({"solve", "reflect"}, all_three | {"solve"}),
    }
    least, most = wanted[name]
    assert least <= seen <= most


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_what_it_follows_and_plans_without_a_model(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    file = Path(__file__).parent.parent / f"conf/preset/{name}.yaml"
    head = " ".join(file.read_text().replace("#", "").split())
    assert name == "policy_only" or "arXiv" in head or "third-party port" in head
    assert name in ("policy_only", "paper_spark") or "Known differences" in head
    words = [f"preset={name}", "trainer.max_completion_length=40", "dry_run=true"]
    words += PAPER.get(name, [])
    monkeypatch.setattr(sys, "argv", ["spark-lab", *words, f"root={tmp_path}"])
    cli.main()
    assert "budget" in capsys.readouterr().out and not list(tmp_path.iterdir())


def test_judging_alone_trains_on_no_question(trained: dict[str, Notebook]) -> None:
    rollouts = trained["reward_only"].rollout_rows
    solved = {row["window"] for row in rollouts if row["objective"] == "solve"}
    judged = [row for row in rollouts if row["objective"] != "solve"]
    assert max(solved) < min(row["window"] for row in judged)
    assert {row["source_window"] for row in judged} <= solved
    assert trained["reward_only"].rows[0]["recycle/extra_rollouts"] == len(solved) * 16


def test_self_verify_judges_every_sixth_window_with_balanced_labels() -> None:
    config = compose(["preset=self_verify"])
    assert (config.schedule.kind, config.schedule.judge_every) == ("alternate", 5)
    assert (config.recycle.label_balance, config.recycle.all_wrong) == ("half", "drop")
    assert config.recycle.order == "hardest"


def test_a_preset_gives_way_to_what_is_typed() -> None:
    config = compose(["preset=rise", "objective=none", "schedule=joint"])
    assert config.objective.pointwise is None and config.schedule.kind == "joint"


def test_the_papers_models_have_the_settings_of_their_scripts() -> None:
    expected = {
        "paper_spark_vl_7b": ("Qwen/Qwen2.5-VL-7B-Instruct", 768, 592),
        "paper_spark_vl_32b": ("Qwen/Qwen2.5-VL-32B-Instruct", 1024, 750),
        "paper_spark_7b": ("Qwen/Qwen2.5-7B-Instruct", 768, 2 * 25_000 / 64),
    }
    assert set(expected) == set(PAPER)
    for name, (path, length, windows) in expected.items():
        # The data are on the hub, which the tests don't ask.
        config = typed(compose_node([f"preset={name}"]))
        assert (config.model.path, config.model.templates) == (path, "full")
        assert config.trainer.max_completion_length == length
        assert config.recycle.max_prompt_tokens == 8192
        assert config.budget.limit == pytest.approx(windows * 8 * 2, abs=16)
        words = ["trainer.max_completion_length=40", "model.templates=full"]
        plain = compose(["preset=paper_spark", *words])
        assert config.objective == plain.objective and config.schedule == plain.schedule
        assert replace(config.trainer, max_completion_length=40) == plain.trainer
        assert replace(config.recycle, max_prompt_tokens=None) == plain.recycle
    data = typed(compose_node(["preset=paper_spark_vl_32b"])).task.data
    assert data.train_path.endswith("24k_h.json") and data.question_form == "chat"
