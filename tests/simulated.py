"""Run folders with known truth, in the format of real ones: for tests of viewing and analysis.

`simulate_run` draws every held-out outcome from per-question probabilities whose mean over the
questions' difficulties is the level asked for, so what an analysis should find is known.
`record_run` writes outcomes that were drawn elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from simulated_world import Levels, Questions, Row, level_at, rollout_row, solved_row

from spark_lab import runs
from spark_lab.tracking.jsonl import RunLog

START = 1_780_000_000.0
SECONDS_PER_STEP = 1.2
TOKENS_PER_STEP = 9_000
GROUP = 8
_LEVELS = {"solve": "policy", "pointwise": "judge", "pairwise": "pairwise", "reflect": "fix"}


def simulate_run(
    root: Path,
    arm: str = "pointwise+pairwise+reflect",
    seed: int = 0,
    levels: Levels | None = None,
    *,
    sweep: str = "single",
    questions: int = 100,
    evaluations: int = 6,
    steps: int = 60,
    samples: int = 4,
    difficulty_spread: float = 1.0,
    seed_spread: float = 0.15,
    world: int = 0,
    state: str = "done",
    rollouts: Iterable[str] = ("train", "eval"),
    tokens_per_step: int = TOKENS_PER_STEP,
    overrides: tuple[str, ...] = (),
) -> Path:
    """Writes one run folder below `root` and returns it.

    `difficulty_spread` and `seed_spread` are standard deviations in logits; difficulties depend on
    `world` alone, so arms and seeds share them. A run that is not done ends at 60 % of its steps.
    """
    config = _config(root, arm, seed, sweep, questions, steps, samples)
    folder = root / sweep / arm / f"seed{seed}-{runs.identity(config)}"
    folder.mkdir(parents=True)
    _describe(folder, config, overrides)
    rng = np.random.default_rng([world, seed, *arm.encode()])
    questioned = Questions(
        np.random.default_rng(world).normal(0.0, difficulty_spread, questions),
        difficulty_spread,
        rng.normal(0.0, seed_spread),
        samples,
        levels or Levels(),
        rng,
    )
    last = steps if state == "done" else int(0.6 * steps)
    due = sorted({round(step) for step in np.linspace(0, steps, evaluations)})
    with RunLog(folder) as log:
        for step in range(last + 1):
            clock = _clock(step, steps, tokens_per_step)
            if step in due:
                rows, metrics = questioned.evaluate(step, step / steps)
                log.evaluation(clock | {"questions": _fingerprint(world, questions)} | metrics)
                if "eval" in rollouts:
                    log.rollouts("eval", step, rows)
            if step:
                log.step(clock | _step_metrics(arm, step / steps, levels or Levels(), rng))
            if step and "train" in rollouts and (step == 1 or step % 20 == 0 or step == last):
                log.rollouts("train", step, _train_rows(arm, step, levels or Levels(), rng))
    _conclude(folder, state, last, last / steps)
    return folder


def record_run(root: Path, arm: str, seed: int, right: np.ndarray, *, sweep: str) -> Path:
    """Writes a finished run that answered the held-out questions as `right` [questions] says.

    As little as a report needs for its verdicts: one step, and the evaluation after it.
    """
    config = _config(root, arm, seed, sweep, len(right), 1, 1)
    folder = root / sweep / arm / f"seed{seed}-{runs.identity(config)}"
    folder.mkdir(parents=True)
    _describe(folder, config, ())
    clock = _clock(1, 1, TOKENS_PER_STEP)
    rows = [solved_row(1, question, 0, bool(one)) for question, one in enumerate(right)]
    accuracy = {"policy/accuracy": float(right.mean())}
    with RunLog(folder) as log:
        log.evaluation(clock | {"questions": _fingerprint(0, len(right))} | accuracy)
        log.rollouts("eval", 1, rows)
        log.step(clock)
    _conclude(folder, "done", 1, 1.0)
    return folder


def _config(
    root: Path, arm: str, seed: int, sweep: str, questions: int, steps: int, samples: int
) -> dict[str, Any]:
    on = {"share": 1.0, "weight": 1.0, "templates": "terse", "material": "answer"}
    trained = arm.split("+")
    return {
        "objective": {
            name: dict(on) if name in trained else None
            for name in ("pointwise", "pairwise", "reflect")
        },
        "recycle": {"source": "on_policy", "label_balance": "none", "take": "fifo"},
        "schedule": {"kind": "joint", "fraction": 0.5},
        "task": {"verifier": "exact", "chain_sums": {"eval_size": questions}, "data": None},
        "model": {"path": "builtin:tiny", "lora": None},
        "trainer": {
            "prompts_per_window": 16,
            "group_size": GROUP,
            "learning_rate": 3e-4,
            "beta": 0.0,
            "loss_type": "dapo",
        },
        "budget": {"unit": "steps", "limit": float(steps)},
        "eval": {"every": 10, "samples": samples, "seed": 0},
        "tracking": {"mlflow": True, "experiment": "spark-lab"},
        "root": str(root),
        "name": None if sweep == "single" else sweep,
        "seed": seed,
    }


def _describe(folder: Path, config: dict[str, Any], overrides: tuple[str, ...]) -> None:
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (folder / "overrides.yaml").write_text(yaml.safe_dump(list(overrides)))
    environment = {"git": {"commit": "0" * 40, "dirty": False}, "packages": {"torch": "2.13.0"}}
    (folder / "env.json").write_text(json.dumps(environment))


def _conclude(folder: Path, state: str, step: int, fraction: float) -> None:
    evaluations = [json.loads(line) for line in (folder / "eval.jsonl").open()]
    status = {
        "state": state,
        "step": step,
        "fraction": fraction,
        "started": START,
        "updated": START + SECONDS_PER_STEP * step,
        "seconds": SECONDS_PER_STEP * step,
        "pid": 1,
        "attempt": 1,
        "error": "RuntimeError: out of memory" if state == "failed" else None,
        "start": _measured(evaluations[0]),
        "final": _measured(evaluations[-1]) if state == "done" else {},
    }
    (folder / "status.json").write_text(json.dumps(status, indent=2))


def _measured(row: Row) -> dict[str, float]:
    return {k: v for k, v in row.items() if "/" in k and not k.startswith("compute/")}


def _fingerprint(world: int, questions: int) -> str:
    return f"{world * 1000003 + questions:08x}"


def _clock(step: int, steps: int, tokens: int) -> Row:
    return {
        "step": step,
        "time": START + SECONDS_PER_STEP * step,
        "fraction": step / steps,
        "compute/rollouts": 256 * step,
        "compute/generated_tokens": tokens * step,
        "compute/trained_tokens": tokens * step,
        "compute/updates": step,
        "compute/flops": 6.0 * 460_000 * tokens * step,
        "compute/seconds": SECONDS_PER_STEP * step,
    }


def _trained(arm: str) -> list[str]:
    """An arm of another name (a trial, say) is plain GRPO."""
    return ["solve", *(name for name in arm.split("+") if name in _LEVELS)]


def _level_of(levels: Levels, objective: str) -> tuple[float, float]:
    return getattr(levels, _LEVELS[objective])


def _step_metrics(arm: str, fraction: float, levels: Levels, rng: np.random.Generator) -> Row:
    row: Row = {
        "loss": float(rng.normal(0, 0.02)),
        "grad_norm": float(rng.gamma(4, 0.1)),
        "learning_rate": 3e-4,
        "entropy": float(0.6 - 0.4 * fraction),
    }
    for objective in _trained(arm):
        level = level_at(_level_of(levels, objective), fraction)
        reward = rng.binomial(128, level) / 128
        row |= {
            f"train/{objective}/reward_mean": reward,
            f"train/{objective}/reward_std": float(np.sqrt(reward * (1 - reward))),
            f"train/{objective}/zero_std_fraction": rng.binomial(16, level**GROUP) / 16,
            f"train/{objective}/parse_failure_rate": rng.binomial(
                128, level_at(levels.unreadable, fraction)
            )
            / 128,
            f"train/{objective}/truncated_fraction": 0.0,
            f"train/{objective}/count": 128,
            f"train/{objective}/length": float(rng.normal(22, 1)),
        }
    if arm != "none":
        row |= {"recycle/size": 400, "recycle/age_windows": 2.5 + fraction}
        row |= {"recycle/produced": 40, "recycle/dropped": 0}
    return row


def _train_rows(arm: str, step: int, levels: Levels, rng: np.random.Generator) -> list[Row]:
    rows = []
    for objective in _trained(arm):
        for group in range(2):
            for _ in range(GROUP):
                right = bool(rng.random() < _level_of(levels, objective)[1])
                label = {"pointwise": "Yes", "pairwise": "A"}.get(objective, "17")
                wrong = {"pointwise": "No", "pairwise": "B"}.get(objective, "18")
                answer = label if right else wrong
                rows.append(
                    rollout_row(
                        step,
                        "train",
                        objective,
                        question=group,
                        prompt=f"{objective.title()} 7+1+9",
                        completion=f"7+1=8; 8+9={answer} \\boxed{{{answer}}}",
                        label=label,
                        answer=answer,
                        right=right,
                    )
                )
    return rows
