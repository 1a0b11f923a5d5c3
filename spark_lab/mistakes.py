"""What is wrong with a command line that Hydra could not compose, in the user's words."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, OverrideType
from hydra.errors import OverrideParseException

from spark_lab.errors import Problem, unknown
from spark_lab.schema import Config

_SLOTS = {
    "objective": "objective=[pointwise,pairwise,reflect] (those you want)",
    "task": "task=NAME",
    "model.lora": "model/lora=default",
}


def explain(
    loader: ConfigLoader, config_name: str, overrides: list[str], error: Exception
) -> list[Problem]:
    """All mistakes that can be told from the overrides, or else Hydra's own words."""
    names = loader.get_group_options("", ObjectType.CONFIG)
    sweeps = sorted(name for name in names if not name.startswith("_"))
    if config_name not in sweeps:
        return [unknown(f"-cn {config_name}", config_name, sweeps, "-cn ")]
    problems = [found for text in overrides for found in _mistakes(loader, overrides, text)]
    return problems or [_unexplained(error)]


def _unexplained(error: Exception) -> Problem:
    causes = [str(error)]
    while error.__cause__ is not None:
        error = error.__cause__
        causes.append(str(error).splitlines()[0])
    return Problem(
        "command line",
        "\n    ".join(causes),
        "overrides that can be composed: GROUP=OPTION or KEY=VALUE",
        "spark-lab --help lists the groups, spark-lab --cfg job the keys",
    )


def _mistakes(loader: ConfigLoader, overrides: list[str], text: str) -> list[Problem]:
    try:
        [parsed] = OverridesParser.create(config_loader=loader).parse_overrides([text])
    except OverrideParseException:
        return [_unreadable(text)]
    key = parsed.key_or_group
    if loader.get_group_options(key):
        return _wrong_options(loader, parsed, key)
    if key == "hydra" or key.startswith(("hydra.", "hydra/")):
        return []
    if parsed.is_sweep_override():
        return [_several_values(text, parsed)]
    if "/" in key:
        return [unknown(text, key, _groups(loader))]
    return _wrong_key(loader, parsed, key, overrides)


def _wrong_options(loader: ConfigLoader, parsed: Override, group: str) -> list[Problem]:
    options = sorted(loader.get_group_options(group, ObjectType.CONFIG))
    text = typing.cast(str, parsed.input_line)
    wrong = [name for name in _names(parsed.value()) if name not in options]
    problems = [unknown(text, name, options, f"{group}=") for name in wrong]
    if problems:
        return problems
    if parsed.is_sweep_override():
        return [_several_values(text, parsed)]
    return [_superfluous_plus(text)] if parsed.type is OverrideType.ADD else []


def _names(value: Any) -> list[str]:
    """The option names in a choice, a list of choices, or a sweep over either."""
    if isinstance(value, ChoiceSweep):
        value = value.list
    if isinstance(value, list):
        return [name for part in value for name in _names(part)]
    return [] if value is None else [str(value)]


def _wrong_key(
    loader: ConfigLoader, parsed: Override, key: str, overrides: list[str]
) -> list[Problem]:
    text = typing.cast(str, parsed.input_line)
    section: Any = Config
    path: list[str] = []
    for name in key.split("."):
        if not dataclasses.is_dataclass(section):
            return _inside_a_value(parsed, path, text)
        hints = typing.get_type_hints(section)
        if name not in hints:
            known = [".".join([*path, hint]) for hint in hints]
            if not path:
                known += _groups(loader)
            return [unknown(text, key, sorted(set(known)))]
        path.append(name)
        section = _plain(hints[name])
    if dataclasses.is_dataclass(section) and len(path) == 1 and parsed.type is OverrideType.CHANGE:
        return []
    if parsed.type is OverrideType.ADD:
        return [_superfluous_plus(text)]
    return _switched_off(path, text, overrides)


def _inside_a_value(parsed: Override, path: list[str], text: str) -> list[Problem]:
    if path == ["trainer", "grpo"]:
        return (
            [Problem(text, "a new key", "a + before a key that is not there yet", f"'+{text}'")]
            if parsed.type is OverrideType.CHANGE
            else []
        )
    where = ".".join(path)
    return [Problem(text, f"a key inside {where}", f"{where} is a single value", f"{where}=VALUE")]


def _switched_off(path: list[str], text: str, overrides: list[str]) -> list[Problem]:
    """A key of a slot that this command does not switch on composes to nothing."""
    for slot, fix in _SLOTS.items():
        parts = slot.split(".")
        if path[: len(parts)] != parts or len(path) < 3:
            continue
        name = ".".join(path[: max(len(parts), 2)])
        if not _chosen(path, parts, overrides):
            return [Problem(text, f"{name} is switched off", f"{name} switched on", f"add {fix}")]
    return []


def _chosen(path: list[str], slot: list[str], overrides: list[str]) -> bool:
    """Whether the command could switch the slot on. The default objective has all three."""
    group = "/".join(slot)
    typed = [text.partition("=")[2] for text in overrides if text.startswith(f"{group}=")]
    if len(slot) == 2:
        return bool(typed) and typed[-1] != "none"
    name = path[1]
    if slot == ["objective"]:
        return not typed or name in typed[-1] or "spark" in typed[-1]
    return name == "chain_sums" if not typed else name in typed[-1]


def _several_values(text: str, parsed: Override) -> Problem:
    key = parsed.get_key_element()
    fix = f"-m {text} for one run each, or '{key}=[{text.partition('=')[2]}]' for all at once"
    return Problem(text, "several values", "one value, or -m", fix)


def _superfluous_plus(text: str) -> Problem:
    return Problem(text, "a + before a known name", "no +", text.lstrip("+"))


def _unreadable(text: str) -> Problem:
    if text.startswith("-"):
        return Problem(text, "an unknown flag", "KEY=VALUE", "spark-lab --help lists the flags")
    if "=" not in text:
        return Problem(text, "a word without =", "KEY=VALUE or a command", "spark-lab --help")
    key, _, value = text.partition("=")
    quoted = f"'{key}=\"{value}\"'"
    return Problem(
        text, "a value that can't be read", "KEY=VALUE", f"quote special signs: {quoted}"
    )


def _groups(loader: ConfigLoader) -> list[str]:
    return sorted({*loader.list_groups(""), "model/lora"} - {"hydra"})


def _plain(hint: Any) -> Any:
    kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
    return kinds[0] if type(None) in typing.get_args(hint) else hint
