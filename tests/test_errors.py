"""Bad command lines: the message says what to type, the exit code is 2, nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

COMMAND_LINES = {
    "a key with a typo": (["trainer.lerning_rate=1"], "did you mean trainer.learning_rate?"),
    "a top-level key with a typo": (["sead=1"], "did you mean seed?"),
    "a group with a typo": (["objectiv=pointwise"], "did you mean objective?"),
    "a nested group with a typo": (["model/lor=default"], "did you mean model/lora?"),
    "an option with a typo": (["objective=pontwise"], "did you mean objective=pointwise?"),
    "one of several options": (["objective=[pointwise,reflct]"], "did you mean objective=reflect?"),
    "a typo behind +": (["+trainer.lerning_rate=1"], "did you mean trainer.learning_rate?"),
    "a typo behind ++": (["++trainer.lerning_rate=1"], "did you mean trainer.learning_rate?"),
    "a typo in a slot": (["+objective.pointwise.fractoin=1"], "objective.pointwise.forms"),
    "+ before a known key": (["+trainer.beta=0.1"], "fix       trainer.beta=0.1"),
    "+ missing": (["trainer.grpo.delta=4"], "fix       '+trainer.grpo.delta=4'"),
    "text for a number": (["trainer.beta=high"], "expected  a number"),
    "a fraction for a count": (["eval.every=1.5"], "expected  a whole number"),
    "text for yes or no": (["dry_run=maybe"], "expected  true or false"),
    "text for a list": (["objective.pointwise.forms=yes_no"], "expected  a list"),
    "null where a value is needed": (["seed=null"], "got       null"),
    "a value for a section": (["task.chain_sums=3"], "expected  a section of keys"),
    "a value that is not given": (["model=local"], "add model.path=VALUE"),
    "a deleted key": (["~trainer.beta"], "add trainer.beta=VALUE"),
    "a slot that is off": (["objective=reflect", "objective.pairwise.share=1"], "switched off"),
    "adapters that are off": (["model.lora.rank=4"], "add model/lora=default"),
    "several values without -m": (["objective=none,spark"], "-m objective=none,spark"),
    "several numbers without -m": (["seed=0,1"], "-m seed=0,1"),
    "a bracket that is not closed": (["objective=[spark"], "quote special signs"),
    "a command that is not there": (["rums"], "did you mean spark-lab runs?"),
    "a word without =": (["seed=1", "force"], "KEY=VALUE"),
    "a sweep that is not there": (["-cn", "smoek"], "did you mean -cn smoke?"),
    "a preset that is not there": (["preset=paper"], "did you mean preset=paper_spark?"),
    "a value with a typo": (["schedule.kind=joit"], "did you mean schedule.kind=joint?"),
    "a form with a typo": (["objective.reflect.forms=[told_wrng]"], "told_wrong?"),
    "no form at all": (["objective.pointwise.forms=[]"], "at least one form"),
    "a material with a typo": (["objective.pairwise.material=answers"], "material=answer?"),
    "one rollout a group": (["trainer.group_size=1"], "expected  at least 2"),
    "no budget": (["budget.limit=0"], "expected  above 0"),
    "a budget that is not a number": (["budget.limit=nan"], "expected  above 0"),
    "greedy rollouts": (["trainer.temperature=0"], "expected  above 0"),
    "a share below 0": (["objective.reflect.share=-1"], "expected  at least 0"),
    "no samples": (["eval.samples=0"], "expected  at least 1"),
    "no threads": (["trainer.threads=0"], "expected  at least 1"),
    "a name that is a path": (["name=../elsewhere"], "the name of one folder"),
    "an MLflow store without scheme": (["tracking.mlflow_uri=x.db"], "sqlite:///"),
    "rows that updates don't divide": (
        ["schedule=alternate", "trainer.updates_per_window=3"],
        "trainer.updates_per_window=2",
    ),
    "rows that micro-batches don't divide": (
        ["trainer.micro_batch_size=10"],
        "trainer.micro_batch_size=8",
    ),
    "judges without rollouts": (["recycle=off"], "recycle=on_policy, or objective=none"),
    "judges without items": (["recycle.judge_cap=0"], "pointwise or pairwise without items"),
    "pairs that are never made": (["recycle.pairwise_share=0"], "pairwise without items"),
    "a mixed window without items": (
        ["schedule=mixed", "schedule.fraction=0.01"],
        "at least one question and one recycled item",
    ),
    "a fraction of 1": (["schedule=mixed", "schedule.fraction=1"], "above 0 and below 1"),
    "joint with several updates": (["trainer.updates_per_window=2"], "schedule=alternate"),
    "joint with several iterations": (["trainer.num_iterations=2"], "schedule=alternate"),
    "a buffer below a window": (
        ["schedule=alternate", "objective=reflect", "recycle.capacity=8"],
        "recycle.capacity=16",
    ),
    "right answers called wrong": (["objective.reflect.forms=[told_wrong]"], "verify_first"),
    "no shares": (["objective=pairwise", "objective.pairwise.share=0"], "share above 0"),
    "a clip range upside down": (["trainer.epsilon_high=0.1"], "at least epsilon"),
    "a loss that needs another ratio": (["trainer.loss_type=luspo"], "importance_sampling_level"),
    "a TRL field that is ours": (
        ["+trainer.grpo.num_generations=4"],
        "set trainer.group_size instead",
    ),
    "a TRL field that is not there": (
        ["+trainer.grpo.detla=4"],
        "did you mean +trainer.grpo.delta?",
    ),
    "two tasks": (["+task.data.train_path=a"], "task"),
    "too few questions": (["task.chain_sums.train_size=4"], "train_size=16 or more"),
    "terms upside down": (["task.chain_sums.min_terms=6"], "terms"),
    "completions longer than the context": (
        ["trainer.max_completion_length=100000"],
        "the model's context",
    ),
    "a verifier with a typo": (["task.verifier=exakt"], "exact"),
    "templates that are not there": (["model.templates=ters"], "did you mean terse?"),
    "a shipped model that is not there": (["model.path=builtin:tini"], "builtin:tiny"),
    "a kernel that is not installed": (["model.attention=flash_attention_2"], "flash-attn"),
    "a chat template that is not there": (["model.chat_template=/no/file"], "a file"),
    "a bad arm of a sweep": (["-m", "objective=none,spark", "recycle=off"], "with objective"),
    "a bad seed of a sweep": (["-m", "seed=0,one"], "a whole number"),
}


@pytest.mark.parametrize("name", COMMAND_LINES)
def test_command_line(name: str, refused: Callable[..., str], tmp_path: Path) -> None:
    words, said = COMMAND_LINES[name]
    root = [] if words[0] in ("rums",) else [f"root={tmp_path / 'runs'}"]
    assert said in refused(*words, *root)
    assert not (tmp_path / "runs").exists()
