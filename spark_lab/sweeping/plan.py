"""Every run of a multirun, resolved before the first one starts."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from spark_lab import runs
from spark_lab.durable import is_full_disk, write_text
from spark_lab.errors import Problem, UserError
from spark_lab.preflight import compose_points
from spark_lab.schema import Config, QuestionConfig
from spark_lab.sweeping import labels, question
from spark_lab.sweeping.axes import Axes


@dataclass(frozen=True)
class PlannedRun:
    """One arm with one seed: its resolved configuration, and the overrides that give it."""

    arm: str
    seed: int
    config: Config
    overrides: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return runs.folder_of(self.config)

    @property
    def hash(self) -> str:
        return runs.identity(asdict(self.config))

    @property
    def name(self) -> str:
        return f"{self.arm} seed{self.seed}"

    @property
    def status(self) -> dict[str, Any]:
        """status.json; a damaged one is the failure of this run, not of the sweep."""
        try:
            return runs.read_status(self.folder)
        except UserError as error:
            return {"state": "failed", "error": str(error)}

    @property
    def done(self) -> bool:
        return self.status.get("state") == "done"


@dataclass(frozen=True)
class Plan:
    """A sweep: arms x seeds. Runs of one seed come together, so that pairs are complete early."""

    axes: Axes
    name: str
    runs: tuple[PlannedRun, ...]
    question: QuestionConfig | None = None

    @property
    def folder(self) -> Path:
        return self.runs[0].folder.parents[1]

    @property
    def arms(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(run.arm for run in self.runs))

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(run.seed for run in self.runs))


def make(axes: Axes) -> Plan:
    """Compose every run of a command.

    Raises UserError with all mistakes, with the arms that resolve to the same configuration, and
    where the sweep's folder holds runs of another configuration.
    """
    named = [list(arm.overrides) for arm in axes.arms] or [[]]
    points = list(itertools.product(*(axis.values for axis in axes.factors)))
    texts = [
        arm + [axis.override(value) for axis, value in zip(axes.factors, point, strict=True)]
        for arm in named
        for point in points
    ]
    points = points * len(named)
    name = labels.sweep_name(axes)
    fixed = [*axes.fixed, quoted("name", name)]
    composed = _compose(axes, fixed, texts)
    arms = labels.arm_labels(axes, points, [configs[0] for configs in composed])
    planned = [
        PlannedRun(
            arm,
            config.seed,
            replace(config, arm=arm),
            (*fixed, *text, f"seed={config.seed}", quoted("arm", arm)),
        )
        for seeds in zip(*composed, strict=True)
        for arm, text, config in zip(arms, texts, seeds, strict=True)
    ]
    _refuse_repeats(axes, points, planned)
    asked = axes.question and question.with_arms(axes.question, arms)
    plan = Plan(axes, name, tuple(planned), asked)
    _refuse_mixtures(plan)
    return plan


def write(plan: Plan) -> Path:
    """Write plan.json into the sweep's folder. Raises UserError where that can't be written."""
    path = plan.folder / "plan.json"
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(as_data(plan), indent=1) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
    except OSError as error:
        if is_full_disk(error):
            raise
        raise UserError(
            Problem(
                f"root={plan.folder.parent}",
                f"can't write there: {error.strerror}",
                "a folder that you may write to",
                "root=PATH with another folder, or change its permissions",
            )
        ) from error
    return path


def as_data(plan: Plan) -> dict[str, Any]:
    """The plan as plain values; an arm that repeats another on purpose names it."""
    axes = plan.axes
    return {
        "name": plan.name,
        "question": None if plan.question is None else asdict(plan.question),
        "command": list(axes.command),
        "config_name": axes.config_name,
        "swept": {axis.key: list(axis.values) for axis in axes.swept},
        "fixed": list(axes.fixed),
        "repeats": {arm.name: arm.same_as for arm in axes.arms if arm.same_as is not None},
        "arms": list(plan.arms),
        "seeds": list(plan.seeds),
        "runs": [
            {
                "arm": run.arm,
                "seed": run.seed,
                "hash": run.hash,
                "folder": str(run.folder.relative_to(plan.folder)),
                "overrides": list(run.overrides),
                "config": asdict(run.config),
            }
            for run in plan.runs
        ],
    }


def quoted(key: str, value: str) -> str:
    """An override whose value stays text, whatever signs are in it."""
    return f"{key}='{value}'"


def _compose(axes: Axes, fixed: list[str], texts: list[list[str]]) -> list[list[Config]]:
    """The configurations [arm][seed].

    A seed rarely touches another key (${seed}), so one arm is composed with each seed, the others
    with one.
    """
    if not axes.seeds:
        return [[config] for config in compose_points(axes.config_name, fixed, texts)]
    first, *others = [f"seed={seed}" for seed in axes.seeds]
    points = [[*text, first] for text in texts] + [[*texts[0], seed] for seed in others]
    configs = compose_points(axes.config_name, fixed, points)
    arms, seeds = configs[: len(texts)], [configs[0].seed, *(c.seed for c in configs[len(texts) :])]
    followed = any("seed}" in part for text in texts for part in text)
    if not followed and all(replace(arms[0], seed=c.seed) == c for c in configs[len(texts) :]):
        return [[replace(config, seed=seed) for seed in seeds] for config in arms]
    points = [[*text, seed] for text in texts for seed in (first, *others)]
    configs = compose_points(axes.config_name, fixed, points)
    return [configs[start : start + len(seeds)] for start in range(0, len(configs), len(seeds))]


def _refuse_repeats(axes: Axes, points: list[tuple[str, ...]], planned: list[PlannedRun]) -> None:
    """Two runs with one configuration: an axis without effect, or a value typed twice."""
    problems: dict[str, Problem] = {}
    intended = {arm.name for arm in axes.arms if arm.same_as is not None}
    met: dict[str, int] = {}
    for place, run in enumerate(planned):
        first = met.setdefault(run.hash, place)
        if first == place:
            continue
        one, other = first % len(points), place % len(points)
        arms = [_named_arm(axes, len(points), index) for index in (one, other)]
        if arms[0] != arms[1] and intended.intersection(arms):
            continue
        problem = _twice(axes, run) if one == other else _dropped(axes, points, one, other, arms)
        problems.setdefault(problem.where, problem)
    if problems:
        raise UserError(*problems.values())


def _twice(axes: Axes, run: PlannedRun) -> Problem:
    once = ",".join(dict.fromkeys(axes.seeds))
    typed = ",".join(axes.seeds)
    return Problem(f"seed={typed}", f"seed {run.seed} twice", "each seed once", f"seed={once}")


def _dropped(
    axes: Axes, points: list[tuple[str, ...]], one: int, other: int, arms: list[str | None]
) -> Problem:
    """Names the axis whose two values give the same run."""
    for axis, a, b in zip(axes.factors, points[one], points[other], strict=True):
        if a != b:
            return Problem(
                str(axis),
                f"{a} and {b} resolve to the same configuration, so this axis would be dropped",
                "values that change the run",
                f"leave out {axis.override(b)}",
            )
    if arms[0] != arms[1]:
        return Problem(
            f"arms.{arms[1]}",
            f"the same configuration as {arms[0]}",
            "arms that differ",
            f"leave it out, or say that it is meant, as a control: {arms[1]}: {arms[0]}",
        )
    twice = next(axis for axis in axes.factors if len(set(axis.values)) < len(axis.values))
    values = ",".join(dict.fromkeys(twice.values))
    return Problem(str(twice), "a value twice", "each value once", f"{twice.key}={values}")


def _named_arm(axes: Axes, count: int, index: int) -> str | None:
    return axes.arms[index * len(axes.arms) // count].name if axes.arms else None


def _refuse_mixtures(plan: Plan) -> None:
    """An arm's folder holds each seed once, or its numbers would be a mixture."""
    problems: dict[str, Problem] = {}
    for run in plan.runs:
        folder = run.folder
        for other in sorted(folder.parent.glob(f"seed{run.seed}-*")):
            if other.name == folder.name or not (other / "config.yaml").exists():
                continue
            changes = runs.changes(runs.read_config(other), asdict(run.config))
            detail = "\n    ".join(changes)
            problem = Problem(
                str(plan.folder),
                f"runs of another configuration ({run.arm}, seed {run.seed}):\n    {detail}",
                "one configuration for each arm and seed of a sweep",
                "name=NAME for a sweep of its own, or move the folder away",
            )
            problems.setdefault(detail, problem)
    if problems:
        raise UserError(*problems.values())
