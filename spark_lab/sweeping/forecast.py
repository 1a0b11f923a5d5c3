"""`dry_run=true` of a multirun: which runs, which of them are done, and what the rest would take."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from spark_lab import runs
from spark_lab.errors import UserError
from spark_lab.models.sizes import size_of
from spark_lab.schema import Config
from spark_lab.sweeping.plan import Plan, PlannedRun
from spark_lab.tracking import words

# A checkpoint holds the weights and AdamW's two moments.
_COPIES = 3
# The run folder at the end: that many checkpoints at once while one is written.
_WRITING = 1
_LOG_BYTES = 2e6
# So many of the latest runs say how fast this machine is now.
_LATEST = 20


@dataclass(frozen=True)
class Cost:
    """What one run takes. None where nothing tells; `measured` on a finished run of the same arm."""

    rollouts: float | None
    tokens: float | None
    seconds: float | None
    bytes: float | None
    measured: bool

    def __str__(self) -> str:
        about = "" if self.measured else "at most "
        parts = [
            None if self.rollouts is None else f"{words.count(self.rollouts)} rollouts",
            None if self.tokens is None else f"{about}{words.count(self.tokens)} tokens",
            None if self.seconds is None else words.duration(self.seconds),
            None if self.bytes is None else f"{words.count(self.bytes)}B",
        ]
        return ", ".join(part for part in parts if part)


def text(plan: Plan, workers: int | None) -> str:
    """The plan as lines: a head, each run, and the sum over the runs that are not done."""
    root = plan.runs[0].config.root
    arms, seeds = len(plan.arms), len(plan.seeds)
    states = [_state(run) for run in plan.runs]
    costs = {arm: cost_of_arm(plan, arm) for arm in plan.arms}
    width = max(map(len, plan.arms))
    lines = [
        f"{plan.name}: {words.number(arms, 'arm')} x {words.number(seeds, 'seed')}",
        f"  {plan.folder}",
    ]
    lines += [""]
    lines += [
        f"  {run.arm:<{width}}  seed {run.seed}  {run.hash}  {state:<8} {costs[run.arm]}"
        for run, state in zip(plan.runs, states, strict=True)
    ]
    left = [run for run, state in zip(plan.runs, states, strict=True) if state != "done"]
    lines += ["", f"{len(plan.runs) - len(left)} of {len(plan.runs)} are done."]
    if left:
        lines[-1] += f" To do: {_total([costs[run.arm] for run in left], workers)}"
        if not all(costs[run.arm].measured for run in left):
            lines += ["Arms without a finished run are bounded roughly, from budget and sizes."]
        if any(costs[run.arm].seconds is None for run in left):
            lines += [
                f"How long they take is not known before a run of the model is done in {root}."
            ]
    return "\n".join(lines)


def cost_of_arm(plan: Plan, arm: str) -> Cost:
    """Measured on the arm's finished runs, or else bounded by its budget."""
    mine = [run for run in plan.runs if run.arm == arm]
    finished = [run.folder for run in mine if _state(run) == "done"]
    return measured(finished) if finished else bound(mine[0].config)


def measured(folders: list[Path]) -> Cost:
    """The mean of finished runs."""
    last = [_last_row(folder / "metrics.jsonl") for folder in folders]
    sums = [
        sum(row.get(key, 0.0) for row in last)
        for key in ("compute/rollouts", "compute/generated_tokens")
    ]
    seconds = sum(runs.read_status(folder).get("seconds", 0.0) for folder in folders)
    size = sum(_size(folder) for folder in folders)
    rollouts, tokens, seconds, size = (total / len(folders) for total in (*sums, seconds, size))
    return Cost(rollouts, tokens, seconds, size, measured=True)


def bound(config: Config) -> Cost:
    """From budget and sizes: every completion as long as allowed, at the pace of earlier runs."""
    budget, trainer = config.budget, config.trainer
    rows = trainer.prompts_per_window * trainer.group_size
    windows = 2 if config.schedule.kind == "joint" and runs.arm(config.objective) != "none" else 1
    per_step = rows * windows / (trainer.updates_per_window * trainer.num_iterations)
    rollouts = {"steps": budget.limit * per_step, "rollouts": budget.limit}.get(budget.unit)
    tokens = budget.limit if budget.unit == "generated_tokens" else None
    if rollouts is not None:
        tokens = rollouts * trainer.max_completion_length
    seconds = budget.limit if budget.unit == "seconds" else None
    if tokens is not None and (known := pace(config)) is not None:
        seconds = tokens * known
    return Cost(rollouts, tokens, seconds, _bytes_of(config), measured=False)


def pace(config: Config) -> float | None:
    """Seconds for a generated token in the latest finished runs of the same model below the root,
    evaluations included; None where there is none."""
    found = sorted(Path(config.root).glob("*/*/seed*-*/status.json"), key=os.path.getmtime)
    same = [file.parent for file in found[-_LATEST:] if _is_of(file.parent, config.model.path)]
    costs = [measured([folder]) for folder in same]
    tokens = sum(cost.tokens for cost in costs)
    return sum(cost.seconds for cost in costs) / tokens if tokens else None


def _is_of(folder: Path, model: str) -> bool:
    """Whether a run of the model is done; a damaged folder tells nothing."""
    try:
        done = runs.read_status(folder).get("state") == "done"
        return done and runs.read_config(folder)["model"]["path"] == model
    except (UserError, KeyError):
        return False


def _bytes_of(config: Config) -> float | None:
    """Trained weights are in float32, however they are published, unless model.dtype is bfloat16."""
    size, trainer = size_of(config.model.path), config.trainer
    if size is None or config.model.lora is not None:
        return None
    weights = size.parameters * (2 if config.model.dtype == "bfloat16" else 4)
    kept = trainer.keep_checkpoints + _WRITING if trainer.save_every else _WRITING
    return weights * _COPIES * kept + _LOG_BYTES


def _total(costs: list[Cost], workers: int | None) -> str:
    def add(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) if len(known) == len(values) else None

    seconds = add([cost.seconds for cost in costs])
    total = Cost(
        add([cost.rollouts for cost in costs]),
        add([cost.tokens for cost in costs]),
        None if seconds is None else seconds / min(workers or 1, len(costs)),
        add([cost.bytes for cost in costs]),
        measured=all(cost.measured for cost in costs),
    )
    at_once = f" with {words.number(workers, 'worker')}" if workers else ""
    return f"{words.number(len(costs), 'run')}{at_once}, {total}"


def _state(run: PlannedRun) -> str:
    state = run.status.get("state")
    # Nothing of this command runs yet.
    return {None: "new", "running": "torn"}.get(state, state)


def _last_row(path: Path) -> dict[str, float]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return json.loads(lines[-1]) if lines else {}


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
