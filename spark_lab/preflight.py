"""Checks every run of a command before the first one starts: a bad last arm must not cost a night."""

from __future__ import annotations

import itertools

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import OverrideParseException
from hydra.types import RunMode

from spark_lab.config import blames, compose, compose_node
from spark_lab.errors import Problem, UserError
from spark_lab.schema import Config


def check_command(config_name: str, overrides: list[str], multirun: bool) -> None:
    """Raises UserError with every mistake of every run that the command would start."""
    fixed, swept = split(overrides)
    if swept or multirun or config_name != "config":
        section = compose_node(fixed, config_name).hydra
        if multirun or section.mode == RunMode.MULTIRUN:
            params = section.sweeper.get("params") or {}
            typed = {parsed.key_or_group for parsed in swept}
            stored = [f"{key}={value}" for key, value in params.items() if key not in typed]
            fixed_params, swept_params = split(stored)
            compose_points(config_name, fixed + fixed_params, _points(swept + swept_params))
            return
    compose(overrides, config_name)


def sweeper_of(config_name: str, overrides: list[str], multirun: bool) -> str | None:
    """The sweeper of a multirun command; None for a single run."""
    fixed, _ = split(overrides)
    if not (multirun or config_name != "config"):
        return None
    section = compose_node(fixed, config_name).hydra
    is_multirun = multirun or section.mode == RunMode.MULTIRUN
    return str(section.sweeper.get("_target_")) if is_multirun else None


def split(overrides: list[str]) -> tuple[list[str], list[Override]]:
    """(single values, sweeps over a list of values). Sweeps over intervals are left to the sweeper."""
    fixed, swept = [], []
    for text in overrides:
        try:
            [parsed] = OverridesParser.create().parse_overrides([text])
        except OverrideParseException:
            fixed.append(text)  # composing it says what is wrong with it
            continue
        if not parsed.is_sweep_override():
            fixed.append(text)
        elif parsed.is_discrete_sweep():
            swept.append(parsed)
    return fixed, swept


def compose_points(config_name: str, fixed: list[str], points: list[list[str]]) -> list[Config]:
    """The configuration of every run, in order.

    Raises UserError with the mistakes of all; what one run has shown to be wrong is left out of
    those after it, so that each mistake is said once.
    """
    configs: list[Config] = []
    problems: list[Problem] = []
    blamed: set[str] = set()
    for point in points:
        if blamed.intersection(point):
            continue
        texts = [text for text in fixed + point if text not in blamed]
        try:
            configs.append(compose(texts, config_name))
        except UserError as error:
            problems += [problem for problem in error.problems if problem not in problems]
            places = {problem.where for problem in error.problems}
            blamed |= {text for text in texts if blames(places, text)}
    if problems:
        raise UserError(*problems)
    return configs


def _points(swept: list[Override]) -> list[list[str]]:
    """Every combination; seeds, which can't contradict anything, are tried one by one."""
    axes = [
        [f"{parsed.get_key_element()}={value}" for value in parsed.sweep_string_iterator()]
        for parsed in swept
    ]
    short = [axis[:1] if axis[0].startswith("seed=") else axis for axis in axes]
    points = [list(point) for point in itertools.product(*short)]
    seeds = [text for axis in axes if axis[0].startswith("seed=") for text in axis[1:]]
    rest = [text for text in points[0] if not text.startswith("seed=")]
    return points + [[*rest, seed] for seed in seeds]
