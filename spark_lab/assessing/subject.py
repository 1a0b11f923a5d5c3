"""Which model a command is about and how it is asked: a run's checkpoint, or any model by its path.

A run's own configuration holds, so that its checkpoints are asked as they were in training; what is
typed wins over it. A model by its path is asked as conf/ has it.
"""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from spark_lab import runs
from spark_lab.config import compose_node, to_config
from spark_lab.errors import Problem, UserError
from spark_lab.models.load import BUILTIN
from spark_lab.runs import checkpoints
from spark_lab.schema import Config
from spark_lab.viewing import find_run

# What shapes an evaluation; everything else belongs to the training.
SECTIONS = ("eval", "task", "model")
KEYS = ("root", "force", "trainer", "trainer.max_completion_length", "trainer.threads")
# For a model that isn't the tiny one: sentences as prompts, long completions, greedy answers.
REAL_MODEL = {"model": "local", "trainer": "llm", "eval": "sparse"}
ADAPTERS = "adapter_model.safetensors"


@dataclass(frozen=True)
class Subject:
    """`config.model.path` is what is loaded, and `adapters` on top of it.

    `run` and `step` are None for a model by its path. `judge_set` is the run's fixed one, None where
    other questions are put than the run's.
    """

    config: Config
    run: Path | None = None
    step: int | None = None
    adapters: Path | None = None
    judge_set: Path | None = None

    @property
    def title(self) -> str:
        if self.run is None:
            return self.config.model.path
        return f"{self.run.parent.name} · {self.run.name} · step {self.step}"

    def blind_for(self, asked: str) -> Problem:
        """It sees no images, and something is asked about some."""
        got = f"{self.config.model.path}, a model of text alone, for {asked}"
        fix = "suite=paper_llm, or a model that sees images"
        return Problem("model.path", got, "a model that sees images", fix)


def find(words: Sequence[str], command: str, evaluation: str | None = None) -> Subject:
    """The subject of `run=PATH [step=N]` or `model.path=PATH`, with overrides among the words.

    `evaluation` is the option of `eval` for any model but the tiny one, unless another is typed; None:
    a run's own. Raises UserError with what is missing, unknown or contradictory. No model is loaded.
    """
    own = {"run": "", "step": ""}
    overrides = []
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key in own:
            own[key] = value
        else:
            overrides.append(word)
    typed = [_key(text) for text in overrides]
    problems = [_foreign(text, command) for text in overrides if not _concerns(_key(text))]
    problems += _contradictions(own, typed, command)
    if problems:
        raise UserError(*problems)
    if own["run"]:
        return _of_run(own["run"], own["step"], overrides, command, evaluation)
    return Subject(_of_model(overrides, typed, evaluation))


def _of_model(overrides: list[str], typed: list[str], evaluation: str | None) -> Config:
    [path] = [text.partition("=")[2] for text in overrides if _key(text) == "model.path"][-1:]
    if path in BUILTIN:
        return to_config(compose_node(overrides))
    usual = REAL_MODEL | ({"eval": evaluation} if evaluation else {})
    chosen = [f"{group}={name}" for group, name in usual.items() if group not in typed]
    return to_config(compose_node(chosen + overrides))


def _of_run(
    name: str, step: str, overrides: list[str], command: str, evaluation: str | None
) -> Subject:
    root = [text.partition("=")[2] for text in overrides if _key(text) == "root"]
    folder = find_run(name, Path((root or ["runs"])[-1]), f"spark-lab {command} run=")
    number = _step(folder, step, command)
    checkpoint = checkpoints.path_of(folder, number)
    checkpoints.verify(checkpoint)
    stored = runs.read_config(folder)
    typed = [_key(text) for text in overrides]
    if evaluation and "eval" not in typed and stored["model"]["path"] not in BUILTIN:
        overrides = [f"eval={evaluation}", *overrides]
    config = _laid_over(stored, overrides)
    other_questions = any(_key(text).split(".")[0] == "task" for text in overrides)
    adapters = checkpoint if (checkpoint / ADAPTERS).is_file() else None
    if adapters is None:
        config = replace(config, model=replace(config.model, path=str(checkpoint), revision=None))
    judge_set = None if other_questions else folder / "judge_set.jsonl"
    return Subject(config, folder, number, adapters, judge_set)


def _laid_over(stored: dict[str, Any], overrides: list[str]) -> Config:
    """The run's configuration with what was typed, each key or a whole group, in its place.

    Keys that the run's version did not have yet are as conf/ has them.
    """
    slots = [name for name, slot in (stored.get("task") or {}).items() if isinstance(slot, dict)]
    typed = {_key(text) for text in overrides}
    chosen = [f"task={slots[0]}"] if slots and "task" not in typed else []
    composed = compose_node(chosen + overrides)
    own = OmegaConf.masked_copy(composed, [key for key in composed if key != "hydra"])
    merged = OmegaConf.create(typing.cast(dict, OmegaConf.to_container(own, resolve=True)))
    for key in stored.keys() - typed:
        OmegaConf.update(merged, key, stored[key], merge=isinstance(stored[key], dict))
    for key in typed - stored.keys():
        OmegaConf.update(merged, key, OmegaConf.select(own, key), merge=False)
    return to_config(merged)


def _step(folder: Path, typed: str, command: str) -> int:
    steps = checkpoints.complete(folder)
    if not steps:
        fix = "wait for its first one, or train with trainer.save_every=N"
        raise UserError(Problem(str(folder), "no whole checkpoint", "at least one", fix))
    if not typed:
        return steps[-1]
    if not typed.isdigit() or int(typed) not in steps:
        kept = ", ".join(map(str, steps))
        fix = f"step={steps[-1]}; trainer.keep_checkpoints=N keeps more of them"
        raise UserError(Problem(f"step={typed}", "no such checkpoint", f"one of {kept}", fix))
    return int(typed)


def _key(text: str) -> str:
    return text.lstrip("+~").partition("=")[0]


def _concerns(key: str) -> bool:
    return key in KEYS or key.replace("/", ".").split(".")[0] in SECTIONS


def _foreign(text: str, command: str) -> Problem:
    return Problem(
        text,
        "nothing that a model is asked by",
        f"run, step, or keys of {', '.join(SECTIONS)}; {', '.join(KEYS)}",
        f"leave it out, or see spark-lab {command} --help",
    )


def _contradictions(own: dict[str, str], typed: list[str], command: str) -> list[Problem]:
    where = f"spark-lab {command}"
    if not own["run"] and "model.path" not in typed:
        fix = f"{where} run=runs/single/ARM/SEED, or {where} model.path=builtin:tiny"
        return [Problem(where, "no model", "run=PATH or model.path=PATH", fix)]
    if own["step"] and not own["run"]:
        fix = f"{where} run=PATH step={own['step']}"
        return [Problem(f"step={own['step']}", "no run", "run=PATH beside it", fix)]
    others = [
        key for key in typed if key in ("model", "model.path", "model.revision", "model/lora")
    ]
    if own["run"] and others:
        fix = "leave out one of the two"
        got = f"{others[0]} beside run={own['run']}"
        return [Problem(where, got, "one model", fix)]
    return []
