"""conf/*.yaml, the schema, and how a command line becomes a Config."""

from __future__ import annotations

import dataclasses
import itertools
import typing
from pathlib import Path

import pytest
import yaml
from known_data import overrides

from spark_lab import runs
from spark_lab.answers import VERIFIERS
from spark_lab.config import compose
from spark_lab.errors import UserError
from spark_lab.schema import Config

CONF = Path(__file__).parent.parent / "conf"
SWEEPS = CONF.parent / "sweeps"
FILES = sorted(CONF.rglob("*.yaml")) + sorted(SWEEPS.glob("*.yaml"))

# What an option needs besides its name.
NEEDS = {
    "model=local": ["model.path=builtin:tiny", "model.templates=terse"],
    "task=visual_sums": ["model=tiny_vlm"],
    "recycle=off": ["objective=none"],
    "schedule=judge_only": ["recycle=frozen"],
    "trainer=llm": ["trainer.max_completion_length=40"],
    "trainer=paper_spark": [
        "trainer.max_completion_length=40",
        "recycle=paper_spark",
        "schedule=alternate",
    ],
    "preset=paper_spark": ["trainer.max_completion_length=40"],
}
LARGE = {file.stem for file in (CONF / "model").glob("*.yaml")} - {"tiny", "local"}
NEEDS |= {f"model={name}": ["trainer.max_completion_length=40"] for name in LARGE}
NEEDS |= {
    f"preset={file.stem}": [*NEEDS["preset=paper_spark"], "model=tiny", "task=chain_sums"]
    for file in (CONF / "preset").glob("paper_spark_*.yaml")
}
NEEDS["eval=benchmark"] = ["eval.max_completion_length=256"]
NEEDS |= {
    f"hydra/sweeper/{file.parent.name}={file.stem}": ["hydra/sweeper=optuna"]
    for file in (CONF / "hydra/sweeper").glob("*/*.yaml")
}


def options() -> list[str]:
    folders = [path for path in CONF.rglob("*") if path.is_dir() and path.name != "__pycache__"]
    return sorted(
        f"{folder.relative_to(CONF)}={file.stem}"
        for folder in folders
        for file in folder.glob("*.yaml")
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONF.parent)))
def test_every_key_has_a_comment_above_it(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0].startswith("#"), "the first line says what the file is for"
    for above, line in itertools.pairwise(lines):
        key, colon, value = line.strip().partition(":")
        sets_a_value = colon and value and not key.startswith(("#", "- "))
        if sets_a_value and not (path.stem == "config" and line.startswith("  ")):
            assert above.strip().startswith("#"), f"{path.name}: {key}"


def test_every_option_of_the_default_list_is_explained() -> None:
    lines = (CONF / "config.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        if line.startswith("  - ") and "_self_" not in line and "override" not in line:
            assert lines[number - 1].strip().startswith("#"), line


def test_files_set_exactly_the_fields_of_the_schema() -> None:
    """A field that no file sets has no documentation; a key without a field has no effect."""
    found: set[str] = set()
    for file in FILES:
        group = file.parent.relative_to(CONF) if file.parent != SWEEPS else Path("sweeps")
        if group.parts[:1] in (("sweeps",), ("preset",), ("hydra",)):
            continue
        text = file.read_text()
        package = "model" if "# @package model" in text else ".".join(group.parts)
        content = yaml.safe_load(text) or {}
        content = {key: content[key] for key in content if key not in ("defaults", "hydra")}
        found |= {f"{package}.{key}".lstrip(".") for key in flat(content)}
    sections = {"objective", "model.lora"}  # set to nothing where they are switched off
    known = set(schema_keys(Config))
    free = "model.chat_template_kwargs"  # what is below it is the template's
    found = {free if key.startswith(f"{free}.") else key for key in found}
    assert found - sections == known


def flat(content: dict, prefix: str = "") -> list[str]:
    keys = []
    for key, value in content.items():
        nested = isinstance(value, dict) and value
        keys += flat(value, f"{prefix}{key}.") if nested else [f"{prefix}{key}"]
    return keys


def schema_keys(section: type, prefix: str = "") -> list[str]:
    keys = []
    for name, hint in typing.get_type_hints(section).items():
        kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
        kind = kinds[0] if type(None) in typing.get_args(hint) else hint
        if dataclasses.is_dataclass(kind):
            keys += schema_keys(kind, f"{prefix}{name}.")
        else:
            keys.append(f"{prefix}{name}")
    return keys


@pytest.mark.parametrize("option", options())
def test_every_option_composes(option: str, tmp_path: Path) -> None:
    group, _, name = option.partition("=")
    if name == "reasoning_gym":
        pytest.importorskip("reasoning_gym", reason="an extra that is not installed")
    if name == "qlora":
        pytest.importorskip("bitsandbytes", reason="an extra that is not installed")
    files = overrides(name, tmp_path) if group == "task" else [option]
    assert isinstance(compose([*files, *NEEDS.get(option, [])]), Config)


def test_objectives_combine_in_any_order() -> None:
    folders: dict[frozenset[str], set[Path]] = {}
    names = ["pointwise", "pairwise", "reflect"]
    for size in (2, 3):
        for chosen in itertools.permutations(names, size):
            config = compose([f"objective=[{','.join(chosen)}]"])
            assert runs.arm(config.objective) == "+".join(n for n in names if n in chosen)
            folders.setdefault(frozenset(chosen), set()).add(runs.folder_of(config))
    assert all(len(same) == 1 for same in folders.values())
    assert len(set.union(*folders.values())) == len(folders)


def test_a_single_objective_needs_no_brackets() -> None:
    assert compose(["objective=reflect"]) == compose(["objective=[reflect]"])
    assert runs.arm(compose(["objective=none"]).objective) == "none"
    assert compose(["objective=[]"]) == compose(["objective=none"])


def test_paper_spark_is_the_reference_recipe() -> None:
    config = compose(["preset=paper_spark", "trainer.max_completion_length=40"])
    trainer, recycle = config.trainer, config.recycle
    rows = trainer.prompts_per_window * trainer.group_size
    assert (trainer.prompts_per_window, trainer.group_size, rows // 8) == (64, 8, 64)
    assert (trainer.updates_per_window, trainer.micro_batch_size) == (8, 8)
    assert (trainer.learning_rate, trainer.lr_schedule, trainer.lr_min_ratio) == (
        5e-7,
        "cosine",
        0.1,
    )
    assert (trainer.warmup_fraction, trainer.weight_decay, trainer.max_grad_norm) == (0.03, 0, 1)
    assert (trainer.adam_beta1, trainer.adam_beta2) == (0.9, 0.95)
    assert (trainer.beta, trainer.epsilon, trainer.epsilon_high) == (1e-3, 0.2, None)
    assert (trainer.loss_type, trainer.temperature, trainer.top_p) == ("bnpo", 1, 1)
    assert config.schedule.kind == "alternate"
    assert (recycle.pairwise_share, recycle.judge_cap, recycle.reflect_cap) == (0.7, 32, 32)
    assert (recycle.all_right, recycle.all_wrong, recycle.take) == (
        "pointwise",
        "pointwise",
        "fifo",
    )
    assert recycle.label_balance == "none" and recycle.capacity >= 10_000
    pointwise, pairwise = config.objective.pointwise, config.objective.pairwise
    reflect = config.objective.reflect
    assert pointwise.material == pairwise.material == "answer" and reflect.material == "both"
    assert pointwise.forms == ["yes_no", "a_b"] and reflect.keep_share == 0
    assert config.budget.limit == 592 * 8 * 2


def test_what_is_typed_wins_over_a_preset() -> None:
    config = compose(
        ["preset=paper_spark", "trainer=tiny", "objective=pairwise", "recycle.judge_cap=5"]
    )
    assert config.trainer == compose([]).trainer
    assert runs.arm(config.objective) == "pairwise"
    assert (config.recycle.judge_cap, config.recycle.reflect_cap) == (5, 32)


def test_every_verifier_can_be_chosen() -> None:
    for verifier in VERIFIERS:
        assert compose([f"task.verifier={verifier}"]).task.verifier == verifier


def test_lora_is_a_choice() -> None:
    assert compose([]).model.lora is None
    lora = compose(["model/lora=default", "model.lora.rank=4"]).model.lora
    assert (lora.rank, lora.alpha, lora.targets) == (4, 32, "all-linear")


def test_templates_follow_the_model_unless_set() -> None:
    config = compose(["model.templates=full", "objective.reflect.templates=terse"])
    assert config.objective.pointwise.templates == "full"
    assert config.objective.reflect.templates == "terse"


def test_trl_fields_reach_the_config() -> None:
    config = compose(["+trainer.grpo.delta=4.0", "+trainer.grpo.mask_truncated_completions=true"])
    assert config.trainer.grpo == {"delta": 4.0, "mask_truncated_completions": True}


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(UserError) as caught:
        compose(
            [
                "trainer.lerning_rate=1",  # a key that isn't there
                "schedule=joit",  # an option that isn't there
                "+trainer.grpo.nonsense=1",  # a field that TRL doesn't have
                "eval.every=soon",  # a wrong type
                "trainer.group_size=1",  # a wrong value
                "recycle=off",  # a contradiction
            ]
        )
    places = {problem.where for problem in caught.value.problems}
    assert places == {
        "trainer.lerning_rate=1",
        "schedule=joit",
        "trainer.grpo.nonsense",
        "eval.every",
        "trainer.group_size",
        "recycle.source",
    }
