"""The plan that a multirun leaves in its sweep's folder: what was meant to be run."""

from __future__ import annotations

import json
from pathlib import Path


def planned(sweep: Path) -> list[tuple[str, int]]:
    """(arm, seed) of each planned run, in the plan's order; empty without a readable plan.json."""
    try:
        plan = json.loads((sweep / "plan.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    runs = plan.get("runs") if isinstance(plan, dict) else None
    whole = [run for run in runs or [] if isinstance(run, dict) and {"arm", "seed"} <= run.keys()]
    return [(str(run["arm"]), int(run["seed"])) for run in whole]
