"""What a report says about its sources: the set-up, what is missing, where the numbers are from."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from spark_lab.analysis.report import plan
from spark_lab.analysis.report.arms import Arm
from spark_lab.analysis.report.contrasts import Comparison
from spark_lab.analysis.report.table import Cell, Column, Table
from spark_lab.tracking import words

MANY = "differs between arms"
# Below it a model can hold no language.
TOY_PARAMETERS = 50e6


def setup(arms: Sequence[Arm]) -> list[tuple[str, str]]:
    """The set-up in a few facts that hold for all arms, or that they differ in it."""
    configs = [arm.config for arm in arms if arm.config]
    seeds = sorted({seed for arm in arms for seed in arm.seeds})
    sweeps = list(dict.fromkeys(arm.sweep for arm in arms))
    facts = [
        ("sweep" if len(sweeps) == 1 else "sweeps", ", ".join(sweeps)),
        ("model", _common(config.get("model.path") for config in configs)),
        ("task", _common(_task(config) for config in configs)),
        ("verifier", _common(config.get("task.verifier") for config in configs)),
        ("budget of a run", _common(_budget(config) for config in configs)),
        ("arms and seeds", f"{_plural(len(arms), 'arm')}, seeds {', '.join(map(str, seeds))}"),
        ("evaluation questions", _common(_questions(arm) for arm in arms)),
    ]
    return [(name, value) for name, value in facts if value]


def made_by(arms: Sequence[Arm]) -> list[str]:
    """What was typed for each sweep, as far as its plan tells."""
    folders = dict.fromkeys(arm.sweep_folder for arm in arms)
    return [shlex.join(command) for folder in folders if (command := plan.command(folder))]


def limits(arms: Sequence[Arm]) -> str:
    """How far the results carry, in one sentence: from the size of the model and what was asked."""
    configs = [arm.config for arm in arms if arm.config]
    model = _common(_model_words(config) for config in configs) or "an unknown model"
    task = _common(_task(config) for config in configs) or "an unknown task"
    # A run that was torn early doesn't say its size.
    told = {_json(run.folder / "env.json").get("parameters") for arm in arms for run in arm.runs}
    sizes = told - {None}
    size = sizes.pop() if len(sizes) == 1 else None
    if not isinstance(size, int):
        return f"Measured on {model} and {task} alone: others may answer otherwise."
    if size < TOY_PARAMETERS:
        return (
            f"A toy of {_parameters(size)} parameters ({model}) on {task}: it shows what the method"
            " does there, and nothing about language models of a useful size or other questions."
        )
    return (
        f"Measured on {model} ({_parameters(size)} parameters) and {task} alone: other models and"
        " questions may answer otherwise."
    )


def missing(arms: Sequence[Arm], found: Comparison, unread: Sequence[str]) -> list[str]:
    """Everything that a reader would assume to be there and is not, by name; no repeats.

    `unread` names rollouts that could not be used.
    """
    said: list[str] = []
    for folder in dict.fromkeys(arm.sweep_folder for arm in arms):
        said += _not_run(folder, [arm for arm in arms if arm.sweep_folder == folder])
    for arm in arms:
        for run in arm.runs:
            said += [f"{run.name}: {problem}" for problem in run.problems]
        if not arm.finished:
            said.append(f"{arm.name} has no finished run: it is in no table of results")
            said.append(f"{arm.name}: its curves are those of unfinished runs")
    said += unread
    said += [verdict.line for verdict in found.verdicts if verdict.tag == "refused"]
    said += _budgets(found)
    known = "has no final evaluation"
    said += [note for note in found.notes if known not in note]
    return list(dict.fromkeys(said))


def provenance(arms: Sequence[Arm]) -> Table:
    """A row per run: state, code, packages, model and data, and what was typed."""
    columns = tuple(
        Column(key, head)
        for key, head in (
            ("run", "run"),
            ("folder", "folder"),
            ("state", "state"),
            ("code", "code"),
            ("packages", "packages"),
            ("model", "model"),
            ("questions", "questions"),
            ("overrides", "overrides"),
        )
    )
    rows = []
    for arm in arms:
        for run in arm.runs:
            facts = _json(run.folder / "env.json")
            rows.append(
                (
                    Cell(run.name),
                    Cell("/".join(run.folder.parts[-3:])),
                    Cell(run.state),
                    Cell(_code(facts)),
                    Cell(_packages(facts)),
                    Cell(_model(run.config, facts)),
                    Cell(run.questions or "unknown"),
                    Cell(" ".join(_yaml(run.folder / "overrides.yaml")) or "none"),
                )
            )
    caption = "Code is the commit of the checkout; questions are the digest of the held-out set."
    return Table("provenance", "Where the numbers are from", caption, columns, tuple(rows))


def _not_run(sweep: Path, arms: Sequence[Arm]) -> list[str]:
    """Planned runs without a folder; without a plan, seeds that only other arms have."""
    meant = plan.planned(sweep)
    every = sorted({seed for arm in arms for seed in arm.seeds} | {seed for _, seed in meant})
    wanted = {arm.folder: [] for arm in arms} | {name: [] for name, _ in meant}
    for name in wanted:
        wanted[name] = [seed for one, seed in meant if one == name] or every
    said = []
    for name, seeds in wanted.items():
        have = {seed for arm in arms if arm.folder == name for seed in arm.seeds}
        absent = [str(seed) for seed in seeds if seed not in have]
        if absent:
            said.append(f"{name} has no run of seed {', '.join(absent)}")
    return said


def _budgets(found: Comparison) -> list[str]:
    return [
        f"{arm} and {found.baseline} had budgets that differ by over {match.tolerance:.0%}:"
        " no winner is named between them".replace("%", " %")
        for arm, match in found.budgets.items()
        if not match.matched
    ]


def _common(values: Iterable[Any]) -> str:
    distinct = list(dict.fromkeys(str(value) for value in values if value is not None))
    return "" if not distinct else distinct[0] if len(distinct) == 1 else MANY


def _task(config: dict[str, Any]) -> str | None:
    slots = {
        key.split(".")[1]
        for key, value in config.items()
        if key.startswith("task.") and key.count(".") == 2 and value is not None
    }
    path = config.get("task.data.train_path")
    if path is not None:
        return f"the questions of {Path(str(path)).name}"
    generator = config.get("task.reasoning_gym.generator")
    if generator is not None:
        return f"{generator} of reasoning-gym"
    return " and ".join(sorted(slots)).replace("_", " ") or None


def _model_words(config: dict[str, Any]) -> str | None:
    """A shipped model by what it is, another one by the end of its path."""
    path = config.get("model.path")
    if not isinstance(path, str):
        return None
    shipped = path.removeprefix("builtin:")
    return f"the shipped {shipped} model" if shipped != path else path.rstrip("/").split("/")[-1]


def _parameters(count: int) -> str:
    return words.count(count).replace("G", "B")


def _budget(config: dict[str, Any]) -> str | None:
    unit, limit = config.get("budget.unit"), config.get("budget.limit")
    return words.budget(unit, float(limit)) if unit and limit is not None else None


def _questions(arm: Arm) -> str | None:
    digests = {run.questions for run in arm.runs if run.questions}
    sizes = [value for key, value in arm.config.items() if key.endswith(".eval_size") and value]
    count = f"{sizes[0]} held-out questions, " if sizes else ""
    return f"{count}digest {digests.pop()}" if len(digests) == 1 else MANY if digests else None


def _code(facts: dict[str, Any]) -> str:
    git = facts.get("git")
    if not isinstance(git, dict) or not git.get("commit"):
        return "unknown"
    return str(git["commit"])[:10] + (" with changes" if git.get("dirty") else "")


def _packages(facts: dict[str, Any]) -> str:
    packages = facts.get("packages")
    known = packages if isinstance(packages, dict) else {}
    named = ("spark-lab", "torch", "trl", "transformers")
    return " ".join(f"{name} {known[name]}" for name in named if name in known) or "unknown"


def _model(config: dict[str, Any], facts: dict[str, Any]) -> str:
    path = str(config.get("model", {}).get("path", "unknown"))
    digest = facts.get("model_sha256")
    if commit := facts.get("model_commit"):
        return f"{path} commit {str(commit)[:10]}"
    return f"{path} sha256 {str(digest)[:10]}" if digest else path


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _yaml(path: Path) -> list[str]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return []
    return [str(word) for word in found] if isinstance(found, list) else []


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
