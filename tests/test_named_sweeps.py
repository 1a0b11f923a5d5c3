"""Every arm of every named sweep really runs: dry first, then three windows and more."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from tiny_spark import SMALL, trainer_of

from spark_lab.sweeping import sweep

# Searches (tune_...) have trials instead of arms: test_tuning_errors.py.
SWEEPS = sorted(
    path.stem
    for path in (Path(__file__).parent.parent / "sweeps").glob("*.yaml")
    if not path.stem.startswith("tune_")
)
WINDOWS = 3
TINY = [
    *SMALL,
    # One labelled question in a hundred still fills a window.
    "task.chain_sums.train_size=1000",
    "trainer.group_size=2",
    "seed=0",
]
# A tenth of its windows is recycled items.
WIDER = {"found_mixes": ["trainer.prompts_per_window=8"]}


@pytest.fixture(scope="module")
def seen() -> set[str]:
    """The configurations that have run: many sweeps share an arm."""
    return set()


@pytest.mark.slow
@pytest.mark.parametrize("name", SWEEPS)
def test_every_arm_runs(tmp_path: Path, capsys: pytest.CaptureFixture, seen: set[str], name: str):
    words = [*TINY, *WIDER.get(name, []), f"root={tmp_path}/runs", "dry_run=true"]
    wanted = sweep.planned(name, words, True)
    assert wanted is not None and sweep.run(wanted, []) == sweep.DONE
    said = capsys.readouterr().out
    assert all(arm in said for arm in wanted.arms)
    assert not (tmp_path / "runs").exists()
    for run in wanted.runs:
        if run.hash in seen:
            continue
        seen.add(run.hash)
        objective = run.config.objective
        slots = {name for name, slot in vars(objective).items() if slot is not None}
        two = slots and run.config.schedule.kind == "joint"
        run.config.budget.limit = math.ceil(WINDOWS / (2 if two else 1))
        trainer, notebook = trainer_of(run.config, tmp_path / run.arm)
        trainer.train()
        windows = {row["window"] for row in notebook.rollout_rows}
        done = trainer.loop.state_dict()["window"]
        assert done >= WINDOWS, run.arm
        # A window whose completions are all given has no rollouts.
        given = any(slot is not None and slot.loss == "sft" for slot in vars(objective).values())
        assert windows <= set(range(done)) if given else windows == set(range(done)), run.arm
        assert all(math.isfinite(row["loss"]) for row in notebook.rows), run.arm
        judged = {row["objective"] for row in notebook.rollout_rows} - {"solve"}
        assert judged <= slots, run.arm
