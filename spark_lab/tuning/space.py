"""What a search may change, in Hydra's own grammar, and how Optuna asks for a point of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from spark_lab.errors import Problem, UserError, unknown

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.distributions import BaseDistribution

Value = str | int | float
_CONDITION = re.compile(r"(\S+) if (\S+?)=(.+)")
_GRAMMAR = "a,b,c or interval(LOW,HIGH), int(interval(LOW,HIGH)), tag(log,interval(LOW,HIGH)), range(START,STOP,STEP)"
# A step of 0.1 taken three times is not 0.3 to the last digit, and would be typed in full.
_DIGITS = 12


@dataclass(frozen=True)
class Condition:
    """Only trials whose `key` has one of these values, as typed, ask for what it belongs to."""

    key: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.key}={','.join(self.values)}"


@dataclass(frozen=True)
class Dimension:
    """A key and what it may be: `choices` as typed, or numbers from `low` to `high`."""

    key: str
    typed: str
    kind: Literal["choice", "int", "float"]
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    when: Condition | None = None

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import (
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )

        if self.kind == "choice":
            return CategoricalDistribution(self.choices)
        if self.kind == "int":
            return IntDistribution(
                int(self.low), int(self.high), self.log, 1 if self.step is None else int(self.step)
            )
        return FloatDistribution(self.low, self.high, self.log, self.step)

    def override(self, value: Value) -> str:
        """As it is typed."""
        return (
            f"{self.key}={round(value, _DIGITS) if self.step and self.kind == 'float' else value}"
        )

    def ends(self) -> tuple[Value, ...]:
        """The values between which all others lie."""
        if self.kind == "choice":
            return self.choices
        number = int if self.kind == "int" else float
        return tuple(dict.fromkeys((number(self.low), number(self.high))))

    def grid(self) -> tuple[Value, ...] | None:
        """Every value there is; None where there are too many to try."""
        if self.kind == "choice":
            return self.choices
        if self.step is None:
            return None
        count = int((self.high - self.low) / self.step + 1e-9) + 1
        values = [self.low + place * self.step for place in range(count)]
        return tuple(int(v) if self.kind == "int" else round(v, _DIGITS) for v in values)


@dataclass(frozen=True)
class Space:
    """The dimensions, each after the one that its condition names."""

    dimensions: tuple[Dimension, ...]

    def ask(self, trial: Trial) -> dict[str, Value]:
        """The values of a trial; what a trial that was torn already knows is not drawn again."""
        found: dict[str, Value] = {}
        for dimension in self.dimensions:
            if _active(dimension, found):
                found[dimension.key] = trial._suggest(dimension.key, dimension.distribution())
        return found

    def overrides(self, params: dict[str, Value]) -> list[str]:
        return [d.override(params[d.key]) for d in self.dimensions if d.key in params]

    def probes(self) -> Iterator[dict[str, Value]]:
        """Points that show each end of each dimension once, the rest as at the first point."""
        for place, dimension in enumerate(self.dimensions):
            for value in dimension.ends() if place else dimension.ends()[:1]:
                yield self._point({dimension.key: value} | self._allowing(dimension))
        if self.dimensions:
            for value in self.dimensions[0].ends()[1:]:
                yield self._point({self.dimensions[0].key: value})

    def _allowing(self, dimension: Dimension) -> dict[str, Value]:
        """Values under which the dimension is asked for."""
        if dimension.when is None:
            return {}
        [parent] = [one for one in self.dimensions if one.key == dimension.when.key]
        value = next(v for v in parent.ends() if _said(parent, v) in dimension.when.values)
        return {parent.key: value} | self._allowing(parent)

    def _point(self, wanted: dict[str, Value]) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for dimension in self.dimensions:
            if _active(dimension, found):
                found[dimension.key] = wanted.get(dimension.key, dimension.ends()[0])
        return found

    def __str__(self) -> str:
        lines = [
            f"{d.key}={d.typed}" + (f"  (only if {d.when})" if d.when else "")
            for d in self.dimensions
        ]
        return "\n".join(lines)


def _active(dimension: Dimension, found: dict[str, Value]) -> bool:
    when = dimension.when
    return when is None or str(found.get(when.key)) in when.values


def _said(dimension: Dimension, value: Value) -> str:
    return dimension.override(value).partition("=")[2]


def read(
    overrides: Sequence[str], conditions: Sequence[str], settled: Mapping[str, str] | None = None
) -> Space:
    """The space of swept overrides (KEY=..., in the order typed).

    `conditions` are "KEY if OTHER=VALUE,VALUE"; `settled` are keys with one value, as typed, which
    decide a condition for all trials. Raises UserError with everything wrong with the space.
    """
    problems: list[Problem] = []
    found: dict[str, Dimension] = {}
    for text in overrides:
        dimension = _dimension(text, problems)
        if dimension is not None:
            found[dimension.key] = dimension
    for text in conditions:
        _condition(text, found, settled or {}, problems)
    ordered = [] if problems else _ordered(found, problems)
    if problems:
        raise UserError(*problems)
    return Space(tuple(ordered))


def parse(text: str) -> Override | None:
    """An override taken apart; None where it can't be read, which composing it explains."""
    try:
        [parsed] = OverridesParser.create().parse_overrides([text])
    except HydraException:
        return None
    return parsed


def _dimension(text: str, problems: list[Problem]) -> Dimension | None:
    parsed = parse(text)
    assert parsed is not None, "only readable overrides are swept"
    key, typed = parsed.get_key_element(), text.partition("=")[2]
    sweep: Any = parsed._value
    if isinstance(sweep, IntervalSweep):
        return _interval(key, typed, sweep, problems)
    tags = sorted(getattr(sweep, "tags", ()))
    if tags:
        fix = f"{key}=tag(log,interval(LOW,HIGH)), or no tag"
        problems.append(Problem(text, f"tag {tags[0]}", "tag(log,...) of an interval", fix))
    elif isinstance(sweep, RangeSweep):
        return _range(key, typed, sweep, problems)
    elif isinstance(sweep, ChoiceSweep):
        choices = tuple(map(str, parsed.sweep_string_iterator()))
        if len(set(choices)) < max(2, len(choices)):
            got = "a value twice" if len(choices) > 1 else "one value"
            problems.append(Problem(text, got, "two values or more that differ", f"{key}=a,b"))
            return None
        return Dimension(key, typed, "choice", choices)
    else:
        problems.append(Problem(text, "a pattern of names", _GRAMMAR, f"{key}=NAME,NAME"))
    return None


def _interval(
    key: str, typed: str, sweep: IntervalSweep, problems: list[Problem]
) -> Dimension | None:
    low, high, where = sweep.start, sweep.end, f"{key}={typed}"
    assert low is not None and high is not None
    log, others = "log" in sweep.tags, sorted(sweep.tags - {"log"})
    kind: Literal["int", "float"] = "int" if isinstance(low, int) else "float"
    if others:
        problems.append(unknown(where, others[0], ["log"], "tag "))
    elif not low < high:
        fix = (
            f"{key}=interval({high:g},{low:g})" if high < low else f"{key}={low:g}, a single value"
        )
        problems.append(
            Problem(where, f"an empty interval, {low:g} to {high:g}", "LOW < HIGH", fix)
        )
    elif log and low <= 0:
        fix = "a small number above 0 as LOW, or no log"
        problems.append(Problem(where, f"a logarithm of {low:g}", "LOW above 0", fix))
    else:
        return Dimension(key, typed, kind, low=low, high=high, log=log)
    return None


def _range(key: str, typed: str, sweep: RangeSweep, problems: list[Problem]) -> Dimension | None:
    values = [] if not sweep.step else sorted(sweep.range())
    if len(values) < 2:
        got = f"{len(values)} values" if len(values) != 1 else "one value"
        fix = f"{key}=range(0,10,2) is 0, 2, 4, 6, 8"
        problems.append(Problem(f"{key}={typed}", got, "two values or more, STOP left out", fix))
        return None
    kind = "int" if all(isinstance(value, int) for value in values) else "float"
    step = abs(float(sweep.step))
    return Dimension(key, typed, kind, low=values[0], high=values[-1], step=step)


def _condition(
    text: str, found: dict[str, Dimension], settled: Mapping[str, str], problems: list[Problem]
) -> None:
    where = f"hydra.sweeper.when={text}"
    matched = _CONDITION.fullmatch(text.strip())
    if matched is None:
        example = "schedule.fraction if schedule=mixed"
        problems.append(Problem(where, repr(text), "KEY if OTHER=VALUE,VALUE", f"'{example}'"))
        return
    key, other, typed = matched.groups()
    if key in settled:
        return
    missing = [name for name in (key, other) if name not in found and name not in settled]
    if missing:
        problems.extend(unknown(where, name, list(found) or ["a swept key"]) for name in missing)
        return
    parsed = parse(f"{other}={typed}")
    if parsed is None:
        problems.append(Problem(where, typed, "values as they are typed", f"{other}=VALUE,VALUE"))
        return
    single = not parsed.is_sweep_override()
    values = (typed,) if single else tuple(map(str, parsed.sweep_string_iterator()))
    if other in settled:
        if settled[other] not in values:
            del found[key]
        return
    known = found[other].grid()
    allowed = [_said(found[other], value) for value in known or ()]
    if known is None:
        expected = "a key with single values"
        problems.append(Problem(where, f"{other} is an interval", expected, "when KEY=VALUE"))
    problems.extend(unknown(where, v, allowed) for v in values if known and v not in allowed)
    found[key] = Dimension(**{**vars(found[key]), "when": Condition(other, values)})


def _ordered(found: dict[str, Dimension], problems: list[Problem]) -> list[Dimension]:
    ordered: list[Dimension] = []
    left = dict(found)
    while left:
        ready = [d for d in left.values() if d.when is None or d.when.key not in left]
        if not ready:
            circle = ", ".join(left)
            fix = "leave out one of these conditions"
            problems.append(Problem("hydra.sweeper.when", f"a circle: {circle}", "no circle", fix))
            return []
        for dimension in ready:
            ordered.append(left.pop(dimension.key))
    return ordered
