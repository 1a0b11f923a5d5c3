"""From conf/*.yaml and command-line overrides to a checked `Config`. Imports hydra, nothing heavy."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from spark_lab import mistakes, plugins, validation
from spark_lab.errors import Problem, UserError, unknown
from spark_lab.schema import Config

_MODULE = "spark_lab.conf"
_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
_EXAMPLES = {str: "TEXT", int: "8", float: "0.5", bool: "true"}


def compose(overrides: list[str], config_name: str = "config") -> Config:
    """The configuration that `spark-lab OVERRIDES` would run.

    Raises UserError with every mistake in the overrides and in the values they set, all at once.
    """
    try:
        return to_config(compose_node(overrides, config_name))
    except UserError as error:
        raise UserError(*_all_problems(error, overrides, config_name)) from None


def _all_problems(error: UserError, overrides: list[str], config_name: str) -> list[Problem]:
    """One mistake hides others, so what is left without the blamed overrides is checked again."""
    problems = list(error.problems)
    blamed = {problem.where for problem in problems}
    rest = [text for text in overrides if not blames(blamed, text)]
    if len(rest) < len(overrides):
        try:
            compose(rest, config_name)
        except UserError as further:
            problems += [problem for problem in further.problems if problem.where not in blamed]
    return problems


def blames(places: set[str], override: str) -> bool:
    """Whether a problem's place is this override or the key that it sets."""
    return override in places or override.lstrip("+~").partition("=")[0] in places


def compose_node(overrides: list[str], config_name: str = "config") -> DictConfig:
    """Composed but not yet typed or checked; it holds Hydra's own section, too.

    Raises UserError naming each override that can't be composed.
    """
    plugins.register()
    GlobalHydra.instance().clear()
    with initialize_config_module(_MODULE, version_base="1.3"):
        try:
            return hydra_compose(config_name, overrides, return_hydra_config=True)
        except (HydraException, OmegaConfBaseException) as error:
            loader = GlobalHydra.instance().config_loader()
            raise UserError(*mistakes.explain(loader, config_name, overrides, error)) from None


def shown(node: DictConfig, *, resolve: bool) -> str:
    """The composed YAML without Hydra's section."""
    return OmegaConf.to_yaml(_own(node), resolve=resolve)


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
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Config), plain)
        if not problems:
            return typing.cast(Config, OmegaConf.to_object(merged))
    except OmegaConfBaseException:  # it names the first mismatch only
        problems += mismatches(Config, plain, "")
    raise UserError(*problems)


def _own(node: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(node, [key for key in node if key != "hydra"])


def _resolved(node: DictConfig) -> tuple[dict[str, Any], list[Problem]]:
    kept = _own(node)
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


def mismatches(schema: type, values: Any, path: str) -> list[Problem]:
    """Unknown, missing and mistyped keys of a section and of those below it."""
    if not isinstance(values, dict):
        return [Problem(path, repr(values), "a section of keys", f"{path}.KEY=VALUE")]
    hints = typing.get_type_hints(schema)
    problems = [
        unknown(f"{path}{key}", str(key), sorted(hints), path) for key in values if key not in hints
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
            problems += mismatches(typing.cast(type, kind), value, f"{where}.")
        else:
            problems += _mistyped(schema, spec.name, value, where)
    return problems


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
