"""The section hydra.sweeper of a search: types, ranges and rules of its keys."""

from __future__ import annotations

import dataclasses
import re
import typing
from dataclasses import dataclass
from typing import Any, Literal, Optional

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from spark_lab.errors import Problem, UserError, unknown
from spark_lab.tuning import samplers

_CONSTRAINT = re.compile(r"\s*([\w./-]+)\s*(<=|>=)\s*(-?[\d.]+(?:[eE][-+]?\d+)?)\s*")
_SMALLEST = {"n_trials": 1, "max_failures": 1, "rungs": 2, "workers": 1, "revalidate": 0, "seed": 0}


@dataclass(frozen=True)
class Constraint:
    """`metric` of a trial must be at most, or at least, `bound`."""

    metric: str
    sign: Literal["<=", ">="]
    bound: float

    def excess(self, value: float) -> float:
        """How far a value is beyond the bound: above 0 where it is broken."""
        return value - self.bound if self.sign == "<=" else self.bound - value

    def __str__(self) -> str:
        return f"{self.metric}{self.sign}{self.bound:g}"


@dataclass
class Settings:
    """As in conf/hydra/sweeper/optuna.yaml, which explains each key."""

    _target_: str
    n_trials: int
    maximize: list[str]
    minimize: list[str]
    constraints: list[str]
    params: dict[str, Any]
    when: list[str]
    sampler: dict[str, Any]
    pruner: dict[str, Any]
    seed: int
    rungs: int
    revalidate: int
    max_failures: int
    workers: Optional[int]
    storage: Optional[str]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those that the search is for: the maximized ones first."""
        return (*self.maximize, *self.minimize)

    @property
    def directions(self) -> tuple[str, ...]:
        return ("maximize",) * len(self.maximize) + ("minimize",) * len(self.minimize)

    @property
    def bounds(self) -> tuple[Constraint, ...]:
        return tuple(_constraint(text) for text in self.constraints)


def read(section: DictConfig) -> Settings:
    """Raises UserError with everything that is wrong with single keys."""
    held = {str(key): value for key, value in OmegaConf.to_container(section, resolve=True).items()}
    hints = typing.get_type_hints(Settings)
    problems = [
        unknown(f"hydra.sweeper.{key}", key, sorted(hints), "hydra.sweeper.")
        for key in held
        if key not in hints
    ]
    for spec in dataclasses.fields(Settings):
        problems += _mistyped(spec.name, held)
    if problems:
        raise UserError(*problems)
    settings = Settings(**held)
    problems = [*_ranges(settings), *_constraints(settings)]
    for group in ("sampler", "pruner"):
        problems += samplers.check(getattr(settings, group), group)
    if problems:
        raise UserError(*problems)
    return settings


def _mistyped(name: str, held: dict[str, Any]) -> list[Problem]:
    where = f"hydra.sweeper.{name}"
    if name not in held:
        return [Problem(where, "nothing", "a value", "hydra/sweeper=optuna sets it")]
    try:
        OmegaConf.merge(OmegaConf.structured(Settings), {name: held[name]})
    except OmegaConfBaseException as error:
        return [Problem(where, repr(held[name]), str(error).splitlines()[0], f"{where}=VALUE")]
    return []


def _ranges(settings: Settings) -> list[Problem]:
    found = []
    for name, low in _SMALLEST.items():
        value = getattr(settings, name)
        if value is not None and value < low:
            where = f"hydra.sweeper.{name}"
            found.append(Problem(where, str(value), f"at least {low}", f"{where}={max(low, 1)}"))
    return found


def _constraints(settings: Settings) -> list[Problem]:
    fix = "'fixed/judge/parse_failure_rate<=0.02'"
    expected = "METRIC<=NUMBER or METRIC>=NUMBER"
    return [
        Problem("hydra.sweeper.constraints", repr(text), expected, fix)
        for text in settings.constraints
        if _CONSTRAINT.fullmatch(text) is None
    ]


def _constraint(text: str) -> Constraint:
    matched = _CONSTRAINT.fullmatch(text)
    assert matched is not None, "checked by read"
    return Constraint(matched[1], typing.cast(Any, matched[2]), float(matched[3]))
