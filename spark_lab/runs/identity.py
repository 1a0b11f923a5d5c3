"""A run is named by its resolved configuration: equal ones share a folder, others never do."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from spark_lab.errors import Problem, UserError
from spark_lab.schema import Config, ObjectiveConfig

# What does not change a run's results, and so not its identity.
_NOT_IDENTITY = ("root", "name", "arm", "dry_run", "force", "reuse", "retry", "tracking")
_TRIAL = re.compile(r"trial-(\d{3,})")
_NOT_IDENTITY_TRAINER = ("threads", "save_every", "keep_checkpoints")
# Plain values only; libyaml's own is ten times as fast.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def arm(objective: ObjectiveConfig) -> str:
    """The name of a choice of objectives, such as "pointwise+reflect" or "none"."""
    active = [name for name, slot in asdict(objective).items() if slot is not None]
    return "+".join(active) or "none"


def arm_of(config: Config) -> str:
    """The arm that a run belongs to: its given name, or else its objectives."""
    return config.arm or arm(config.objective)


def trial_arm(number: int) -> str:
    """The arm of a trial of a search: "trial-007"."""
    return f"trial-{number:03d}"


def trial_of(arm: str) -> int | None:
    """The number of the trial that an arm is; None for any other arm."""
    found = _TRIAL.fullmatch(arm)
    return None if found is None else int(found[1])


def identity(config: dict[str, Any]) -> str:
    """First 8 hex digits of the sha256 of everything in a resolved config that shapes results."""
    kept = {key: value for key, value in config.items() if key not in _NOT_IDENTITY}
    trainer = kept.get("trainer")
    if isinstance(trainer, dict):
        kept["trainer"] = {k: v for k, v in trainer.items() if k not in _NOT_IDENTITY_TRAINER}
    canonical = json.dumps(kept, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]


def folder_of(config: Config) -> Path:
    """<root>/<name or "single">/<arm>/seed<k>-<identity>"""
    leaf = f"seed{config.seed}-{identity(asdict(config))}"
    return Path(config.root).absolute() / (config.name or "single") / arm_of(config) / leaf


def read_config(folder: Path) -> dict[str, Any]:
    """The resolved configuration of a run as plain values. UserError if damaged."""
    path = folder / "config.yaml"
    config = _plain(path)
    if isinstance(config, dict):
        return config
    detail = str(config).splitlines()[0] if isinstance(config, Exception) else "no keys"
    raise UserError(
        Problem(
            str(path),
            f"not a configuration ({detail})",
            "the resolved configuration of this run",
            "restore the file, or move the folder away to start the run over",
        )
    )


def read_overrides(folder: Path) -> list[str]:
    """What was typed for a run, nothing where the folder does not say. UserError if damaged."""
    path = folder / "overrides.yaml"
    typed = _plain(path) if path.exists() else []
    if isinstance(typed, list) and all(isinstance(word, str) for word in typed):
        return typed
    fix = "restore the file, or delete it: it only says what to show beside the key settings"
    raise UserError(Problem(str(path), "not a list of words", "what was typed for this run", fix))


def _plain(path: Path) -> Any:
    """The plain values in a YAML file, or the error that reading it raises."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return error


def refuse_other(folder: Path, config: Config) -> None:
    stored, wanted = read_config(folder), asdict(config)
    if identity(stored) == identity(wanted):
        return
    raise UserError(
        Problem(
            str(folder / "config.yaml"),
            "the configuration of another run:\n    " + "\n    ".join(changes(stored, wanted)),
            "the configuration that you asked for",
            "choose another root or name, or move the folder away",
        )
    )


def changes(stored: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """What differs between a folder's configuration and another one, of what shapes results."""
    before, after = _flat(stored), _flat(wanted)
    return [
        f"{key}: {before.get(key, 'absent')} in the folder, {after.get(key, 'absent')} now"
        for key in sorted(before | after)
        if before.get(key, "absent") != after.get(key, "absent") and in_identity(key)
    ]


def in_identity(key: str) -> bool:
    """Whether a key, such as "trainer.beta", shapes a run's results."""
    first, _, rest = key.partition(".")
    return first not in _NOT_IDENTITY and not (first == "trainer" and rest in _NOT_IDENTITY_TRAINER)


def _flat(config: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(config, dict) or not config:
        return {prefix: config}
    flat = {}
    for key, value in config.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flat
