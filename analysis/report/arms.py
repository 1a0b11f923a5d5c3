"""Runs as arms: which runs are seeds of the same thing, what to call it, and what it differs in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spark_lab.analysis.load import RunData
from spark_lab.analysis.report import plan
from spark_lab.errors import Problem, UserError
from spark_lab.runs import in_identity
from spark_lab.schema import QuestionConfig

BASELINES = ("baseline", "none")
OBJECTIVES = ("pointwise", "pairwise", "reflect")
_ABSENT = "\N{EN DASH}"


@dataclass(frozen=True, eq=False)
class Arm:
    """Runs of one configuration, a seed each; `config` is flat ("trainer.beta": 0.0)."""

    name: str
    sweep: str
    runs: tuple[RunData, ...]
    config: dict[str, Any]

    @property
    def folder(self) -> str:
        return self.runs[0].folder.parent.name

    @property
    def sweep_folder(self) -> Path:
        return self.runs[0].folder.parents[1]

    @property
    def trained(self) -> tuple[str, ...]:
        """The objectives beside GRPO on the questions; by the folder's name if the config is lost."""
        if not self.config:
            return tuple(name for name in OBJECTIVES if name in self.folder.split("+"))
        on = {key.split(".")[1] for key, value in self.config.items() if _is_slot(key, value)}
        return tuple(name for name in OBJECTIVES if name in on)

    @property
    def finished(self) -> tuple[RunData, ...]:
        return tuple(run for run in self.runs if run.final is not None)

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(run.seed for run in self.runs)

    @property
    def shown(self) -> tuple[RunData, ...]:
        """The runs whose curves are drawn: the finished ones, or all where none is."""
        return self.finished or self.runs


def group(runs: Iterable[RunData]) -> list[Arm]:
    """Arms in a reading order: the baseline, then as planned, or else fewer objectives first.

    Runs of one objective that differ in anything but their seed are different arms, named by what
    differs. Arms of several sweeps carry the sweep's name.

    Raises UserError where two sweeps have one name, so that their arms could not be told apart.
    """
    runs = list(runs)
    _refuse_namesakes(runs)
    found: dict[tuple[str, str, str], list[RunData]] = {}
    for run in runs:
        config = json.dumps(_flat(run.config), sort_keys=True, default=str)
        found.setdefault((run.sweep, run.arm, config), []).append(run)
    # A damaged config.yaml can't say what it is: such runs stay with their folder's other runs.
    arms = [
        Arm(arm, sweep, tuple(sorted(members, key=lambda run: run.seed)), json.loads(config))
        for (sweep, arm, config), members in found.items()
    ]
    return sorted(_named(_with_damaged(arms)), key=_order(arms))


def _refuse_namesakes(runs: Iterable[RunData]) -> None:
    folders: dict[str, Path] = {}
    for run in runs:
        folder = run.folder.parents[1]
        other = folders.setdefault(run.sweep, folder)
        if other != folder:
            fix = f"rename one of the folders, such as mv {folder} {folder}-2"
            got = f"two sweeps of one name: {other} and {folder}"
            raise UserError(Problem(run.sweep, got, "sweeps whose names differ", fix))


def questions(arms: Iterable[Arm]) -> dict[str, QuestionConfig]:
    """What their sweeps ask, by the sweep's name; plain multiruns ask nothing."""
    folders = dict.fromkeys(arm.sweep_folder for arm in arms)
    found = {folder.name: plan.question(folder) for folder in folders}
    return {name: question for name, question in found.items() if question is not None}


def baseline_of(arms: list[Arm]) -> Arm:
    """The arm that the sweep's question names, or else one that is called so, or else plain GRPO
    (no judge objective), or else the first arm."""
    for sweep, question in questions(arms).items():
        for arm in arms:
            if (arm.sweep, arm.folder) == (sweep, question.baseline):
                return arm
    called = [arm for name in BASELINES for arm in arms if arm.folder == name]
    plain = [arm for arm in arms if not arm.trained]
    return (called or plain or arms)[0]


def differences(arms: list[Arm]) -> dict[str, list[str]]:
    """Keys whose values differ between arms, each with its value in every arm.

    A slot (an objective) is "on" or "off"; what is in it counts only among the arms that have it.
    """
    table = {}
    for key in sorted({key for arm in arms for key in _keys(arm.config)}):
        values = [_said(arm.config, key) for arm in arms]
        if len({value for value in values if value != _ABSENT}) > 1:
            table[key] = values
    return table


def _keys(config: dict[str, Any]) -> set[str]:
    slots = {key.rsplit(".", 1)[0] for key in config if key.count(".") > 1}
    return set(config) | slots


def _said(config: dict[str, Any], key: str) -> str:
    if key not in config:
        return "on" if any(name.startswith(f"{key}.") for name in config) else _ABSENT
    value = config[key]
    if value is None:
        return "off"
    return value if isinstance(value, str) else json.dumps(value)


def _with_damaged(arms: list[Arm]) -> list[Arm]:
    whole = [arm for arm in arms if arm.config]
    for damaged in (arm for arm in arms if not arm.config):
        same = [arm for arm in whole if (arm.sweep, arm.name) == (damaged.sweep, damaged.name)]
        same = [arm for arm in same if not set(arm.seeds) & set(damaged.seeds)]
        if len(same) == 1:
            runs = sorted((*same[0].runs, *damaged.runs), key=lambda run: run.seed)
            whole[whole.index(same[0])] = replace(same[0], runs=tuple(runs))
        else:
            whole.append(damaged)
    return whole


def _named(arms: list[Arm]) -> list[Arm]:
    several = len({arm.sweep for arm in arms}) > 1
    crowded = Counter((arm.sweep, arm.name) for arm in arms)
    named = []
    for arm in arms:
        name = arm.name
        if crowded[arm.sweep, arm.name] > 1:
            siblings = [one for one in arms if (one.sweep, one.name) == (arm.sweep, arm.name)]
            name += f" {_what_differs(arm, siblings)}"
        if several:
            name = f"{arm.sweep}: {name}"
        runs = tuple(replace(run, arm=name) for run in arm.runs)
        named.append(replace(arm, name=name, runs=runs))
    return named


def _what_differs(arm: Arm, siblings: list[Arm]) -> str:
    changed = differences(siblings)
    mine = siblings.index(arm)
    columns = list(zip(*changed.values(), strict=True))
    if not changed or columns.count(columns[mine]) > 1:
        return f"(configuration {mine + 1})"
    short = {key: key.rsplit(".", 1)[-1] for key in changed}
    doubled = {name for name, count in Counter(short.values()).items() if count > 1}
    return ", ".join(
        f"{key if short[key] in doubled else short[key]}={values[mine]}"
        for key, values in changed.items()
    )


def _order(arms: list[Arm]) -> Callable[[Arm], tuple[Any, ...]]:
    folders = dict.fromkeys(arm.sweep_folder for arm in arms)
    places = {
        (folder, name): place
        for folder in folders
        for place, (name, _) in reversed(list(enumerate(plan.planned(folder))))
    }
    asked = {sweep: question.baseline for sweep, question in questions(arms).items()}

    def order(arm: Arm) -> tuple[Any, ...]:
        first = (asked[arm.sweep],) if asked.get(arm.sweep) else BASELINES
        called = first.index(arm.folder) if arm.folder in first else len(first)
        place = places.get((arm.sweep_folder, arm.folder), len(places))
        known = [OBJECTIVES.index(name) for name in arm.trained]
        return (arm.sweep, called, place, len(known), known, arm.name)

    return order


def _is_slot(key: str, value: Any) -> bool:
    return key.startswith("objective.") and value is not None


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        path = f"{prefix}{key}"
        if path == "seed" or not in_identity(path):
            continue
        flat |= _flat(value, f"{path}.") if isinstance(value, Mapping) and value else {path: value}
    return flat
