"""The plan that a multirun leaves in its sweep's folder: what was meant to be run, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spark_lab.schema import QuestionConfig

_TEXTS = ("asks", "answer")
_NAMES = ("primary", "baseline")


def planned(sweep: Path) -> list[tuple[str, int]]:
    """(arm, seed) of each planned run, in the plan's order; empty without a readable plan.json."""
    runs = read(sweep).get("runs")
    listed = runs if isinstance(runs, list) else []
    whole = [run for run in listed if isinstance(run, dict) and {"arm", "seed"} <= run.keys()]
    return [(str(run["arm"]), int(run["seed"])) for run in whole]


def question(sweep: Path) -> QuestionConfig | None:
    """What a named sweep asks; None for a plain multirun, or without a readable plan.json."""
    stored = read(sweep).get("question")
    if not isinstance(stored, dict):
        return None
    texts = {key: stored.get(key) for key in _TEXTS}
    names = {key: stored.get(key) for key in _NAMES}
    whole = all(isinstance(text, str) for text in texts.values())
    whole &= all(isinstance(name, str | None) for name in names.values())
    return QuestionConfig(**texts, **names) if whole else None


def command(sweep: Path) -> list[str]:
    """What was typed to run the sweep; empty without a readable plan.json."""
    words = read(sweep).get("command")
    return [str(word) for word in words] if isinstance(words, list) else []


def read(sweep: Path) -> dict[str, Any]:
    """plan.json as it is; empty where there is none that can be read."""
    try:
        plan = json.loads((sweep / "plan.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return plan if isinstance(plan, dict) else {}
