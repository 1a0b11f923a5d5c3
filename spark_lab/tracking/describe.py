"""How a run folder is called and described in MLflow: name, tags, and the few parameters to show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spark_lab.runs import read_config, read_env, read_overrides, read_status, trial_of

Config = dict[str, Any]

KEY_SETTINGS = (
    "seed",
    "budget.unit",
    "budget.limit",
    "schedule.kind",
    "schedule.fraction",
    "schedule.judge_every",
    "recycle.source",
    "recycle.label_balance",
    "recycle.take",
    "recycle.order",
    "model.path",
    "model.lora.rank",
    "task.verifier",
    "task.data.train_path",
    "task.reasoning_gym.generator",
    "trainer.learning_rate",
    "trainer.prompts_per_window",
    "trainer.group_size",
    "trainer.updates_per_window",
    "trainer.num_iterations",
    "trainer.max_completion_length",
    "trainer.temperature",
    "trainer.beta",
    "trainer.loss_type",
    "trainer.scale_rewards",
)


def run_name(folder: Path) -> str:
    """What the MLflow UI shows: "pointwise+reflect seed0"."""
    return f"{folder.parent.name} seed{read_config(folder)['seed']}"


def started_ms(folder: Path) -> int | None:
    """When the run first started, in unix milliseconds."""
    started = read_status(folder).get("started")
    return None if started is None else int(started * 1000)


def tags(folder: Path) -> dict[str, str]:
    """What runs are grouped and found by: sweep, arm, seed, the number of the trial that a run
    belongs to, and the absolute run folder."""
    folder = folder.resolve()
    trial = trial_of(folder.parent.name)
    found = {
        "sweep": folder.parents[1].name,
        "arm": folder.parent.name,
        "seed": str(read_config(folder)["seed"]),
        "run_folder": str(folder),
        "mlflow.source.name": "spark-lab",
        "mlflow.source.type": "LOCAL",
        "mlflow.note.content": f"`spark-lab rollouts {folder}` reads its completions.",
    }
    if trial is not None:
        found["trial"] = str(trial)
    return found | _provenance(folder)


def params(folder: Path) -> dict[str, str]:
    """Flat parameters: the objective mix, the key settings, and whatever the user overrode."""
    config = read_config(folder)
    objectives = "+".join(_slots(config["objective"])) or "none"
    found = {"objective": objectives, "task": "+".join(_slots(config["task"]))}
    for name, objective in _slots(config["objective"]).items():
        found[f"objective.{name}.share"] = str(objective["share"])
        found[f"objective.{name}.weight"] = str(objective["weight"])
    for key in KEY_SETTINGS:
        value = lookup(config, key)
        if value is not None:
            found[key] = str(value)
    return found | _overridden(folder, config)


def lookup(config: Config, key: str) -> Any:
    """The value at a dotted key, None where any part of it is absent."""
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _slots(group: Config) -> Config:
    """The options of a group that are switched on: {"pointwise": {...}}."""
    return {name: slot for name, slot in group.items() if isinstance(slot, dict)}


def _overridden(folder: Path, config: Config) -> dict[str, str]:
    found = {}
    for override in read_overrides(folder):
        key, equals, typed = override.lstrip("+").partition("=")
        value = lookup(config, key)
        if equals and key not in ("root", "name", "arm"):
            found[key] = typed if value is None or isinstance(value, dict) else str(value)
    return found


def _provenance(folder: Path) -> dict[str, str]:
    environment = read_env(folder) if (folder / "env.json").exists() else {}
    git = environment.get("git")
    if not git:
        return {}
    return {"mlflow.source.git.commit": git["commit"], "git.dirty": str(git["dirty"])}


def experiment(folder: Path) -> str:
    """The MLflow experiment that a run asked for in its config."""
    return lookup(read_config(folder), "tracking.experiment") or "spark-lab"
