"""What a multirun command becomes: arms, seeds, names, hashes, and what is refused."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from spark_lab import runs
from spark_lab.config import compose
from spark_lab.errors import UserError
from spark_lab.sweeping import ending, forecast, plan
from spark_lab.sweeping.labels import plain, short_keys
from spark_lab.sweeping.sweep import planned
from tests.simulated import simulate_run

# Searches (tune_...) have trials instead of arms: test_tuning_errors.py.
SWEEPS = sorted(
    path.stem
    for path in (Path(__file__).parent.parent / "sweeps").glob("*.yaml")
    if not path.stem.startswith("tune_")
)


def sweep(*overrides: str, config_name: str = "config") -> plan.Plan:
    found = planned(config_name, list(overrides), True)
    assert found is not None
    return found


def refusal(*overrides: str, config_name: str = "config") -> str:
    with pytest.raises(UserError) as caught:
        sweep(*overrides, config_name=config_name)
    return str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "name", "arms"),
    [
        (["objective=none,[pointwise,reflect]"], "objective", ["none", "pointwise+reflect"]),
        (["objective=spark,paper_spark"], "objective", ["spark", "paper_spark"]),
        (["trainer.learning_rate=1e-4,0.0003"], "lr", ["lr=1e-4", "lr=3e-4"]),
        (["schedule=joint,mixed"], "schedule", ["schedule=joint", "schedule=mixed"]),
        (
            ["objective.pointwise.weight=1,2", "objective.reflect.weight=1,2"],
            "pointwise.weight+reflect.weight",
            [f"pointwise.weight={a},reflect.weight={b}" for a in (1, 2) for b in (1, 2)],
        ),
        (
            ["model.revision=a/main,b/main,v1"],
            "revision",
            ["revision=main-1179", "revision=main-cd11", "revision=v1"],
        ),
        (["seed=range(3)"], "seeds", ["pointwise+pairwise+reflect"]),
        (
            ["objective=none,reflect", "trainer.beta=0,0.01", "seed=3,4"],
            "objective+beta",
            ["none,beta=0", "none,beta=0.01", "reflect,beta=0", "reflect,beta=0.01"],
        ),
    ],
)
def test_arms_are_called_by_what_differs(overrides: list[str], name: str, arms: list[str]) -> None:
    found = sweep(*overrides)
    assert (found.name, list(found.arms)) == (name, arms)


def test_a_run_of_a_sweep_is_the_run_that_its_overrides_give_alone() -> None:
    for run in sweep("objective=none,[pairwise,reflect]", "seed=0,1", "budget.limit=7").runs:
        alone = compose(list(run.overrides))
        assert alone == run.config
        assert runs.folder_of(alone) == run.folder
        typed = [text for text in run.overrides if not text.startswith(("name=", "arm="))]
        assert runs.identity(asdict(compose(typed))) == run.hash
        assert run.folder.parts[-2:] == (run.arm, f"seed{run.seed}-{run.hash}")


def test_pairs_are_complete_early() -> None:
    found = sweep("seed=0,1", "objective=none,pairwise")
    assert [run.name for run in found.runs] == [
        "none seed0",
        "pairwise seed0",
        "none seed1",
        "pairwise seed1",
    ]


def test_a_key_may_follow_the_seed() -> None:
    found = sweep("task.chain_sums.seed=${seed}", "seed=4,5", "objective=none,pairwise")
    assert [run.config.task.chain_sums.seed for run in found.runs] == [4, 4, 5, 5]


def test_a_key_of_one_arm_may_follow_the_seed() -> None:
    found = sweep("+arms={a: [], b: ['task.chain_sums.seed=${seed}']}", "seed=4,5")
    made = {run.name: run.config.task.chain_sums.seed for run in found.runs}
    assert made == {"a seed4": 0, "a seed5": 0, "b seed4": 4, "b seed5": 5}


def test_what_is_typed_besides_makes_another_sweep_and_plumbing_does_not() -> None:
    plain_name = sweep("objective=none,pairwise").name
    short = sweep("objective=none,pairwise", "budget.limit=3").name
    assert short.startswith(f"{plain_name}-") and short != plain_name
    assert sweep("objective=none,reflect", "budget.limit=3", "seed=1,2").name == short
    assert sweep("objective=none,pairwise", "budget.limit=4").name != short
    assert sweep("objective=none,pairwise", "tracking=off", "root=/tmp/x").name == plain_name
    assert sweep("objective=none,pairwise", "budget.limit=3", "name=mine").name == "mine"


def test_the_smoke_sweep_is_named_by_its_file_and_takes_a_typed_seed() -> None:
    found = sweep("seed=5", config_name="smoke")
    assert (found.name, found.seeds) == ("smoke", (5,))


@pytest.mark.parametrize("name", SWEEPS)
def test_every_named_sweep_says_what_it_asks_and_can_be_planned(name: str) -> None:
    found = planned(name, [], False)
    assert found is not None and found.name == name
    assert len(found.runs) == len(found.arms) * len(found.seeds)
    head = (Path(__file__).parent.parent / f"sweeps/{name}.yaml").read_text()
    for word in ("Arms", "Budget"):
        assert f"# {word}" in head
    assert found.question is not None and found.question.baseline in found.arms
    units = {run.config.budget.unit for run in found.runs}
    limits = {run.config.budget.limit for run in found.runs}
    assert len(units) == len(limits) == 1
    assert units == ({"steps"} if name == "smoke" else {"generated_tokens"})


def test_named_arms_change_what_they_say() -> None:
    found = sweep(config_name="leave_one_out")
    trained = {run.arm: runs.arm(run.config.objective) for run in found.runs}
    assert trained == {
        "spark": "pointwise+pairwise+reflect",
        "no_pointwise": "pairwise+reflect",
        "no_pairwise": "pointwise+reflect",
        "no_reflect": "pointwise+pairwise",
        "none": "none",
    }


def test_named_arms_are_multiplied_with_typed_axes() -> None:
    found = sweep("trainer.beta=0,0.01", "seed=0", config_name="leave_one_out")
    assert found.arms[:3] == ("spark,beta=0", "spark,beta=0.01", "no_pointwise,beta=0")
    assert len(set(run.hash for run in found.runs)) == 10


def test_the_same_arm_twice_is_a_control_where_it_is_said() -> None:
    found = sweep(config_name="seeds_aa")
    first, second = found.runs[:2]
    assert (first.arm, second.arm, first.hash) == ("first", "second", second.hash)
    assert first.folder != second.folder
    assert plan.as_data(found)["repeats"] == {"second": "first"}


@pytest.mark.parametrize(
    ("overrides", "where", "got"),
    [
        (["trainer.threads=1,2"], "trainer.threads=1,2", "1 and 2 resolve to the same"),
        (["objective=none,reflect", "eval.seed=0,0"], "eval.seed=0,0", "a value twice"),
        (
            ["objective=spark,[pointwise,pairwise,reflect]"],
            "objective=spark,[pointwise,pairwise,reflect]",
            "axis would be dropped",
        ),
        (["seed=0,1,0"], "seed=0,1,0", "seed 0 twice"),
        (["trainer.beta=interval(0,1)"], "trainer.beta=interval(0,1)", "an interval"),
    ],
)
def test_arms_that_are_one_are_refused(overrides: list[str], where: str, got: str) -> None:
    said = refusal(*overrides)
    assert said.startswith(f"{where}\n") and got in said


@pytest.mark.parametrize(
    ("arms", "where", "got"),
    [
        ("{a: [], b: []}", "arms.b", "the same configuration as a"),
        ("{a: [], b: c}", "arms.b", "c"),
        ("{a: [], b: 3}", "arms.b", "3"),
        ("{a/b: []}", "arms.a/b", "'a/b'"),
        ("[]", "arms", "[]"),
        ("{a: ['objective=refect']}", "objective=refect", "refect"),
    ],
)
def test_bad_named_arms_are_refused(arms: str, where: str, got: str) -> None:
    said = refusal(f"+arms={arms}")
    assert said.startswith(f"{where}\n") and got in said


def test_named_arms_may_be_typed() -> None:
    found = sweep("+arms={long: ['budget.limit=9'], short: 'budget.limit=3'}", "name=typed")
    assert {run.arm: run.config.budget.limit for run in found.runs} == {"long": 9, "short": 3}
    assert compose(list(found.runs[0].overrides)) == found.runs[0].config


def test_mistakes_behind_mistakes_are_told_together() -> None:
    said = refusal("objective=none,spak", "trainer.lerning_rate=1", "budget.limit=-1")
    for wrong in ("spak", "lerning_rate", "budget.limit"):
        assert wrong in said


def test_an_arm_never_holds_two_configurations_of_a_seed(tmp_path: Path) -> None:
    simulate_run(tmp_path, "none", 1, sweep="objective", evaluations=2, steps=2, questions=4)
    said = refusal("objective=none,pairwise", "seed=0,1", f"root={tmp_path}")
    assert "runs of another configuration (none, seed 1)" in said and "name=NAME" in said
    assert sweep("objective=none,pairwise", f"root={tmp_path}").seeds == (0,)


def test_plan_json_is_written_once_and_names_every_run(tmp_path: Path) -> None:
    found = sweep("objective=none,pairwise", "seed=0,1", f"root={tmp_path}")
    path = plan.write(found)
    before = path.stat().st_mtime_ns
    stored = json.loads(path.read_text())
    assert [(run["arm"], run["seed"], run["hash"]) for run in stored["runs"]] == [
        (run.arm, run.seed, run.hash) for run in found.runs
    ]
    assert stored["runs"][0]["config"] == asdict(found.runs[0].config)
    assert all(
        tmp_path / "objective" / r["folder"] == run.folder
        for r, run in zip(stored["runs"], found.runs, strict=True)
    )
    plan.write(sweep("objective=none,pairwise", "seed=0,1", f"root={tmp_path}"))
    assert path.stat().st_mtime_ns == before


def test_a_single_run_is_no_sweep() -> None:
    assert planned("config", ["objective=none"], False) is None


def test_short_keys_and_values() -> None:
    assert short_keys(["trainer.learning_rate", "model/lora"]) == {
        "trainer.learning_rate": "lr",
        "model/lora": "lora",
    }
    assert [plain(text) for text in ("0.0001", "12000000", "0.25", "[a, b]", "null", "8")] == [
        "1e-4",
        "1.2e7",
        "0.25",
        "a+b",
        "null",
        "8",
    ]


def test_the_forecast_bounds_what_is_new(tmp_path: Path) -> None:
    found = sweep("objective=none,pairwise", "budget=steps", "budget.limit=10", f"root={tmp_path}")
    rows = found.runs[0].config.trainer
    size = rows.prompts_per_window * rows.group_size * 10
    plain_arm, spark_arm = (forecast.cost_of_arm(found, arm) for arm in found.arms)
    assert (plain_arm.rollouts, spark_arm.rollouts) == (size, 2 * size)
    assert plain_arm.tokens == size * rows.max_completion_length
    assert plain_arm.seconds is None and not plain_arm.measured
    text = forecast.text(found, 1)
    assert "0 of 2 are done" in text and "bounded roughly" in text
    assert "is not known before a run of the model is done" in text
    assert list(tmp_path.iterdir()) == []


def test_the_forecast_knows_finished_runs(tmp_path: Path) -> None:
    found = sweep("objective=none,pairwise", "seed=0,1", f"root={tmp_path}")
    done = simulate_run(tmp_path / "made", "none", 0, evaluations=2, steps=4, questions=4)
    done.parent.mkdir(exist_ok=True)
    found.runs[0].folder.parent.mkdir(parents=True)
    done.rename(found.runs[0].folder)
    cost = forecast.cost_of_arm(found, "none")
    assert cost.measured and cost.rollouts == 4 * 256 and cost.seconds == pytest.approx(4.8)
    bound = forecast.cost_of_arm(found, "pairwise")
    assert not bound.measured and bound.tokens > cost.tokens
    assert bound.seconds == pytest.approx(cost.seconds * bound.tokens / cost.tokens)
    text = forecast.text(found, 2)
    assert "1 of 4 are done" in text and "is not known" not in text
    (found.runs[0].folder / "status.json").write_text("{")
    assert forecast.bound(found.runs[0].config).seconds is None, "damage tells nothing"


def test_the_last_table_breaks_no_name_within_a_word(tmp_path: Path) -> None:
    found = sweep("objective=none,spark", f"root={tmp_path}")
    arms = ("labelled_only_at_first", "pointwise+pairwise+reflect")
    found = replace(
        found, runs=[replace(run, arm=arm) for run, arm in zip(found.runs, arms, strict=True)]
    )
    terminal = Console(width=80, record=True, file=StringIO())
    terminal.print(ending._arms(found))
    lines = [line.split()[0] for line in terminal.export_text().splitlines() if line.strip()]
    assert lines[-3:] == ["labelled_only_at_first", "pointwise+pairwise+", "reflect"]
