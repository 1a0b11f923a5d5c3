"""From conf/*.yaml and command-line overrides to a checked `Config`. Imports hydra, nothing heavy."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from spark_lab import mistakes, validation
from spark_lab.errors import Problem, UserError
from spark_lab.schema import Config

_MODULE = "spark_lab.conf"
_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
_EXAMPLES = {str: "TEXT", int: "8", float: "0.5", bool: "true"}


def compose(overrides: list[str], config_name: str = "config") -> Config:
    """The configuration that `spark-lab OVERRIDES` would run.

    Raises UserError with every mistake in the overrides and in the values they set, all at once.
    """
    node, problems = compose_node(overrides, config_name)
    if node is None:
        raise UserError(*problems)
    try:
        config = to_config(node)
    except UserError as error:
        raise UserError(*problems, *error.problems) from None
    if problems:
        raise UserError(*problems)
    return config


def compose_node(
    overrides: list[str], config_name: str = "config"
) -> tuple[DictConfig | None, list[Problem]]:
    """What can be composed once the overrides with a mistake are left out, and the mistakes.

    The node holds Hydra's own section, too; it is None where nothing can be composed.
    """
    GlobalHydra.instance().clear()
    with initialize_config_module(_MODULE, version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        problems = mistakes.in_config_name(loader, config_name)
        if problems:
            return None, problems
        try:
            return hydra_compose(config_name, overrides, return_hydra_config=True), []
        except (HydraException, OmegaConfBaseException) as error:
            sound, problems = mistakes.in_overrides(loader, config_name, overrides)
            if not problems:
                return None, [mistakes.unexplained(error)]
        try:
            return hydra_compose(config_name, sound, return_hydra_config=True), problems
        except (HydraException, OmegaConfBaseException):
            return None, problems


def to_config(node: DictConfig) -> Config:
    """Typed and checked. Raises UserError with all problems at once.

    Hydra's "+" adds keys past any schema, so the composed values are merged into the schema anew.
    """
    config = typed(node)
    problems = validation.check(config)
    if problems:
        raise UserError(*problems)
    return config


def typed(node: DictConfig) -> Config:
    """Names and types only; no rule that needs more than one key is checked."""
    plain, problems = _resolved(node)
    problems += _mismatches(Config, plain, "")
    if problems:
        raise UserError(*problems)
    merged = OmegaConf.merge(OmegaConf.structured(Config), plain)
    return typing.cast(Config, OmegaConf.to_object(merged))


def _resolved(node: DictConfig) -> tuple[dict[str, Any], list[Problem]]:
    kept = OmegaConf.masked_copy(node, [key for key in node if key != "hydra"])
    try:
        return typing.cast(dict, OmegaConf.to_container(kept, resolve=True)), []
    except OmegaConfBaseException as error:
        problem = Problem(
            error.full_key or "configuration",
            str(error).splitlines()[0],
            "references to keys that exist",
            "write the name of a key that `spark-lab --cfg job` shows",
        )
        return typing.cast(dict, OmegaConf.to_container(kept)), [problem]


def _mismatches(schema: type, values: Any, path: str) -> list[Problem]:
    """Unknown, missing and mistyped keys of a section and of those below it."""
    if not isinstance(values, dict):
        return [Problem(path, repr(values), "a section of keys", f"{path}.KEY=VALUE")]
    hints = typing.get_type_hints(schema)
    problems = [
        unknown_key(f"{path}{key}", hints, f"{path}{key}=...") for key in values if key not in hints
    ]
    for spec in dataclasses.fields(schema):
        where = f"{path}{spec.name}"
        if spec.name not in values:
            if spec.default is dataclasses.MISSING:
                problems.append(_absent(where))
            continue
        value, (kind, optional) = values[spec.name], _unwrap(hints[spec.name])
        if value == "???":
            problems.append(_absent(where))
        elif value is None and optional:
            continue
        elif dataclasses.is_dataclass(kind):
            problems += _mismatches(typing.cast(type, kind), value, f"{where}.")
        else:
            problems += _mistyped(schema, spec.name, value, where)
    return problems


def unknown_key(where: str, known: Iterable[str], got: str) -> Problem:
    """A key that the schema doesn't have, with the nearest one that it has."""
    known = sorted(known)
    section, _, last = where.rpartition(".")
    near = difflib.get_close_matches(last, known, n=1, cutoff=0.6)
    prefix = f"{section}." if section else ""
    fix = (
        f"did you mean {prefix}{near[0]}?" if near else f"use one of the keys of {section or 'it'}"
    )
    return Problem(where, got, f"one of {', '.join(known)}", fix)


def _absent(where: str) -> Problem:
    return Problem(where, "nothing", "a value: this key has no default", f"add {where}=VALUE")


def _unwrap(hint: Any) -> tuple[Any, bool]:
    """(type, whether null is allowed)"""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
        return kinds[0], True
    return hint, False


def _mistyped(schema: type, name: str, value: Any, where: str) -> list[Problem]:
    try:
        OmegaConf.merge(OmegaConf.structured(schema), {name: value})
    except OmegaConfBaseException:
        kind, optional = _unwrap(typing.get_type_hints(schema)[name])
        expected = _KINDS.get(kind, "a list such as [a,b]")
        if typing.get_origin(kind) is dict:
            expected = "names and values such as {name: value}"
        example = _EXAMPLES.get(kind, "[a,b]" if typing.get_origin(kind) is list else "{}")
        return [
            Problem(
                where,
                repr(value) if value is not None else "null",
                f"{expected}, or null" if optional else expected,
                f"for example {where}={example}",
            )
        ]
    return []
