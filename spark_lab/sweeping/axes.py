"""What a command sweeps over: values of keys, and arms that are named one by one."""

from __future__ import annotations

import re
import typing
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from spark_lab.config import compose_node
from spark_lab.errors import Problem, UserError, unknown
from spark_lab.preflight import split
from spark_lab.schema import QuestionConfig
from spark_lab.sweeping import launchers, question

_BASIC = "BasicSweeper"
_NAME = re.compile(r"[\w+=,-][\w.+=,-]*")
# Where results go and how they come about: without a mark on them.
_PLUMBING = ("root", "tracking", "dry_run", "force", "reuse", "retry", "trainer.threads")
# Of a search: where and by how many, and not what it asks. An address may hold a password.
_SEARCHED_BY = ("hydra.sweeper.storage", "hydra.sweeper.workers", "hydra.sweeper.max_failures")
# Of no interest to a sweep's name.
_UNNAMED = (*_PLUMBING, "name", "question", "seed", "arm")
# Of a sweep's file, beside the settings of its runs.
SECTIONS = ("arms", "question")


@dataclass(frozen=True)
class Axis:
    """A key and the values it takes, each as it is typed after KEY=."""

    key: str
    values: tuple[str, ...]

    def override(self, value: str) -> str:
        return f"{self.key}={value}"

    def __str__(self) -> str:
        return f"{self.key}={','.join(self.values)}"


@dataclass(frozen=True)
class Arm:
    """A named set of overrides; `same_as` names the arm that it repeats on purpose."""

    name: str
    overrides: tuple[str, ...]
    same_as: str | None = None


@dataclass(frozen=True)
class Axes:
    """A multirun command taken apart.

    `fixed` holds for every run; `settings` are those of it that were typed and can change results.
    `name` is name=... or the name in the sweep's file. `workers` is as of `launchers.workers`.
    `command` is what to type for the same results, wherever and however they are made.
    """

    config_name: str
    launcher: tuple[str, ...]
    fixed: tuple[str, ...]
    settings: tuple[str, ...]
    swept: tuple[Axis, ...]
    arms: tuple[Arm, ...]
    name: str | None
    name_is_typed: bool
    workers: int | None
    question: QuestionConfig | None
    command: tuple[str, ...]

    @property
    def seeds(self) -> tuple[str, ...]:
        """The seeds as typed; none where the command does not sweep over them."""
        return next((axis.values for axis in self.swept if axis.key == "seed"), ())

    @property
    def factors(self) -> tuple[Axis, ...]:
        """The axes that make arms: all but the seed."""
        return tuple(axis for axis in self.swept if axis.key != "seed")


def read(config_name: str, overrides: list[str], multirun: bool) -> Axes | None:
    """The axes of a multirun; None for a single run, and for another sweeper than Hydra's basic one.

    Raises UserError where the command or the arms of the sweep's file can't be read.
    """
    fixed, swept = split(overrides)
    if not (multirun or config_name != "config"):
        return None
    node = compose_node(fixed, config_name)
    section = node.hydra
    if not (multirun or section.mode == RunMode.MULTIRUN):
        return None
    if not str(section.sweeper.get("_target_")).endswith(_BASIC):
        return None
    launchers.check(section.launcher)
    _refuse_intervals(overrides, fixed, swept)
    typed = {parsed.key_or_group for parsed in swept} | {key_of(text) for text in fixed}
    params = {key: v for key, v in (section.sweeper.params or {}).items() if key not in typed}
    more_fixed, more_swept = split([f"{key}={value}" for key, value in params.items()])
    ours = [text for text in fixed + more_fixed if not is_hydra(text)]
    ours = [text for text in ours if key_of(text).partition(".")[0] not in ("name", *SECTIONS)]
    # A run knows nothing of the sections that are the sweep's.
    ours += [f"~{name}" for name in SECTIONS if in_file(name, node, overrides)]
    return Axes(
        config_name=config_name,
        launcher=tuple(text for text in fixed if is_hydra(text)),
        fixed=tuple(ours),
        settings=settings_of(fixed),
        swept=tuple(_axis(parsed) for parsed in (*more_swept, *swept)),
        arms=_arms(node),
        name=node.get("name"),
        name_is_typed="name" in typed,
        workers=launchers.workers(section.launcher),
        question=question.read(node),
        command=command_of(config_name, overrides, multirun),
    )


def command_of(config_name: str, overrides: list[str], multirun: bool) -> tuple[str, ...]:
    """What gives the same results when it is typed, without what only says how and where."""
    named = () if config_name == "config" else ("-cn", config_name)
    kept = [text for text in overrides if not _among((*_PLUMBING, *_SEARCHED_BY), text)]
    kept = [text for text in kept if not is_hydra(text) or _is_of_search(text)]
    return ("spark-lab", *named, *(("-m",) if multirun else ()), *kept)


def in_file(section: str, node: DictConfig, overrides: list[str]) -> bool:
    """Whether the sweep's file, not the command line, holds a section."""
    return f"~{section}" in overrides or (
        section in node and not any(text.startswith(f"+{section}=") for text in overrides)
    )


def settings_of(fixed: list[str]) -> tuple[str, ...]:
    """Those of typed overrides that can change results."""
    return tuple(text for text in fixed if not _among(_UNNAMED, text) and not is_hydra(text))


def _among(keys: tuple[str, ...], override: str) -> bool:
    """Whether an override sets one of these keys, or one below them."""
    return f"{key_of(override)}.".startswith(tuple(f"{key}." for key in keys))


def _axis(parsed: Override) -> Axis:
    return Axis(parsed.get_key_element(), tuple(map(str, parsed.sweep_string_iterator())))


def key_of(override: str) -> str:
    """What an override sets."""
    return override.lstrip("+~").partition("=")[0]


def is_hydra(override: str) -> bool:
    """Whether an override is about Hydra itself."""
    return key_of(override).partition(".")[0].partition("/")[0] == "hydra"


def _is_of_search(override: str) -> bool:
    """Whether an override says what is searched, and how: hydra/sweeper/sampler=gp."""
    return key_of(override).replace("/", ".").startswith("hydra.sweeper")


def _refuse_intervals(overrides: list[str], fixed: list[str], swept: list[Override]) -> None:
    read = {*fixed, *(parsed.input_line for parsed in swept)}
    problems = [
        Problem(
            text,
            "an interval",
            "values one by one: this sweeper tries every combination",
            f"{key_of(text)}=VALUE,VALUE, or hydra/sweeper=optuna, which searches it",
        )
        for text in overrides
        if text not in read
    ]
    if problems:
        raise UserError(*problems)


def _arms(node: DictConfig) -> tuple[Arm, ...]:
    """The `arms` of a sweep's file: NAME: [OVERRIDE, ...], or NAME: NAME of an arm to repeat."""
    stored = node.get("arms")
    if stored is None:
        return ()
    stored = OmegaConf.to_container(stored) if OmegaConf.is_config(stored) else stored
    if not isinstance(stored, dict) or not stored:
        example = "arms: {spark: [], no_pointwise: ['objective=[pairwise,reflect]']}"
        raise UserError(Problem("arms", repr(stored), "names and lists of overrides", example))
    problems: list[Problem] = []
    found = [_arm(str(name), value, stored, problems) for name, value in stored.items()]
    if problems:
        raise UserError(*problems)
    return tuple(found)


def _arm(name: str, value: Any, stored: dict[Any, Any], problems: list[Problem]) -> Arm:
    if not _NAME.fullmatch(name):
        fix = "letters, digits and . _ + - = only"
        problems.append(Problem(f"arms.{name}", repr(name), "the name of one folder", fix))
    if isinstance(value, str) and "=" not in value:
        if isinstance(stored.get(value), list):
            return Arm(name, tuple(typing.cast(list[str], stored[value])), same_as=value)
        others = [str(key) for key, held in stored.items() if isinstance(held, list)]
        problems.append(unknown(f"arms.{name}", value, others or ["an arm with overrides"]))
        return Arm(name, ())
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
        return Arm(name, tuple(texts))
    problems.append(
        Problem(
            f"arms.{name}",
            repr(value),
            "a list of overrides, or the name of an arm to repeat",
            f"{name}: ['objective=[pairwise,reflect]']",
        )
    )
    return Arm(name, ())
