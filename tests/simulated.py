"""Run folders with known truth, in the format of real ones: for tests of viewing and analysis.

`simulate_run` draws every held-out outcome from per-question probabilities whose mean over the
questions' difficulties is the level asked for, so what an analysis should find is known.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from spark_lab import runs
from spark_lab.tracking.jsonl import RunLog

START = 1_780_000_000.0
SECONDS_PER_STEP = 1.2
TOKENS_PER_STEP = 9_000
GROUP = 8
Row = dict[str, Any]


@dataclass(frozen=True)
class Levels:
    """True mean skill at the (start, end) of training; in between it follows 1 - exp(-t)."""

    policy: tuple[float, float] = (0.40, 0.92)
    judge: tuple[float, float] = (0.66, 0.86)
    pairwise: tuple[float, float] = (0.62, 0.85)
    fix: tuple[float, float] = (0.42, 0.82)
    broken: tuple[float, float] = (0.20, 0.05)
    unreadable: tuple[float, float] = (0.06, 0.004)


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
    questioned = _Questions(
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
        "task": {"verifier": "exact", "chain_sums": {"eval_size": questions}, "jsonl": None},
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
        "tracking": {"console": "auto", "mlflow": True, "mlflow_uri": None},
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


def level_at(level: tuple[float, float], fraction: float) -> float:
    """The true level after `fraction` of the training."""
    start, end = level
    return start + (end - start) * (1 - np.exp(-3 * fraction)) / (1 - np.exp(-3))


@cache
def _offset(level: float, spread: float) -> float:
    """The logit whose mean success over normal difficulties of this spread is `level`."""
    from scipy.stats import norm

    difficulty = spread * norm.ppf((np.arange(200) + 0.5) / 200)
    low, high = -20.0, 20.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if _sigmoid(middle - difficulty).mean() < level else (low, middle)
        )
    return low


def _sigmoid(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))


class _Questions:
    """The held-out questions and what a run of this seed gets right about them."""

    def __init__(
        self,
        difficulty: np.ndarray,
        spread: float,
        shift: float,
        samples: int,
        levels: Levels,
        rng: np.random.Generator,
    ):
        self._difficulty = difficulty
        self._spread = spread
        self._shift = shift
        self._samples = samples
        self._levels = levels
        self._rng = rng

    def evaluate(self, step: int, fraction: float) -> tuple[list[Row], dict[str, float]]:
        solved = self._draw("policy", fraction, 1 + self._samples)
        rows = [
            self._solve(step, fraction, question, sample, bool(solved[question, sample]))
            for question in range(len(self._difficulty))
            for sample in range(1 + self._samples)
        ]
        metrics = _policy_metrics(rows, self._samples)
        for judge_set in ("fixed", "live"):
            judged = self._judged(step, fraction, judge_set)
            rows += judged
            metrics |= _judge_metrics(judged, judge_set)
        return rows, metrics

    def _draw(self, skill: str, fraction: float, columns: int) -> np.ndarray:
        level = level_at(getattr(self._levels, skill), fraction)
        chance = _sigmoid(_offset(round(level, 6), self._spread) + self._shift - self._difficulty)
        return self._rng.random((len(chance), columns)) < chance[:, None]

    def _solve(self, step: int, fraction: float, question: int, sample: int, right: bool) -> Row:
        read = right or self._rng.random() >= level_at(self._levels.unreadable, fraction)
        gold = 10 + question % 30
        answer = gold if right else gold + 1
        text = f"7+1=8; 8+{gold - 8}={answer} \\boxed{{{answer}}}" if read else "7+1=8; 8+5="
        return _row(
            step,
            "eval",
            "solve",
            set="heldout",
            question=question,
            prompt=f"Solve 7+1+{gold - 8}",
            completion=text,
            label=str(gold),
            answer=str(answer) if read else None,
            right=right,
            sample=sample,
        )

    def _judged(self, step: int, fraction: float, judge_set: str) -> list[Row]:
        verdicts = self._draw("judge", fraction, 2)
        pairs = self._draw("pairwise", fraction, 2)
        fixed = self._draw("fix", fraction, 1)[:, 0]
        broken = self._rng.random(len(fixed)) < level_at(self._levels.broken, fraction)
        rows = []
        for question in range(len(fixed)):
            gold = 10 + question % 30
            common: Row = {"set": judge_set, "question": question}
            for column, shown_right in enumerate((True, False)):
                right = bool(verdicts[question, column])
                label, says = ("Yes", "No") if shown_right else ("No", "Yes")
                shown = gold if shown_right else gold + 1
                yes = self._rng.beta(5, 2) if shown_right == right else self._rng.beta(2, 5)
                rows.append(
                    _row(
                        step,
                        "eval",
                        "pointwise",
                        prompt=f"Judge 7+1+{gold - 8}={shown}?",
                        completion=f"{gold} ? {shown} \\boxed{{{label if right else says}}}",
                        label=label,
                        answer=label if right else says,
                        right=right,
                        form="yes_no",
                        source_correct=shown_right,
                        p_yes=float(yes),
                        **common,
                    )
                )
            for swapped in (False, True):
                right = bool(pairs[question, int(swapped)])
                label = "B" if swapped else "A"
                answer = label if right else ("A" if swapped else "B")
                rows.append(
                    _row(
                        step,
                        "eval",
                        "pairwise",
                        prompt=f"Compare 7+1+{gold - 8} A:{gold} B:{gold + 1}",
                        completion=f"{gold} \\boxed{{{answer}}}",
                        label=label,
                        answer=answer,
                        right=right,
                        swapped=swapped,
                        **common,
                    )
                )
            for shown_right in (False, True):
                right = bool(not broken[question] if shown_right else fixed[question])
                answer = str(gold if right else gold + 2)
                rows.append(
                    _row(
                        step,
                        "eval",
                        "reflect",
                        prompt=f"Check 7+1+{gold - 8}={gold if shown_right else gold + 1}",
                        completion=f"7+1=8; 8+{gold - 8}={answer} \\boxed{{{answer}}}",
                        label=str(gold),
                        answer=answer,
                        right=right,
                        form="verify_first",
                        source_correct=shown_right,
                        **common,
                    )
                )
        return rows


def _row(step: int, phase: str, objective: str, *, right: bool, **fields: Any) -> Row:
    row: Row = {
        "step": step,
        "phase": phase,
        "set": None,
        "window": step,
        "objective": objective,
        "form": None,
        "material": None if objective == "solve" else "answer",
        "reward": float(right),
        "correct": right,
        "parsed": fields["answer"] is not None,
        "tokens": len(fields["completion"]) // 2,
        "truncated": fields["answer"] is None,
        "source_correct": None,
        "source_window": None,
        "p_yes": None,
        "swapped": None,
        "sample": None,
    }
    return row | fields


def _policy_metrics(rows: list[Row], samples: int) -> dict[str, float]:
    greedy = [row for row in rows if row["sample"] == 0]
    sampled = [row for row in rows if row["sample"]]
    solved = {row["question"] for row in sampled if row["correct"]}
    found = {
        "policy/accuracy": _mean([row["reward"] for row in greedy]),
        "policy/parse_failure_rate": _mean([not row["parsed"] for row in greedy]),
        "policy/truncated_rate": _mean([row["truncated"] for row in greedy]),
        "policy/tokens": _mean([row["tokens"] for row in greedy]),
    }
    if sampled:
        found["policy/sampled_accuracy"] = _mean([row["reward"] for row in sampled])
        found[f"policy/pass_at_{samples}"] = len(solved) / len(greedy)
    return found


def _judge_metrics(rows: list[Row], judge_set: str) -> dict[str, float]:
    pointwise = [row for row in rows if row["objective"] == "pointwise"]
    pairwise = [row for row in rows if row["objective"] == "pairwise"]
    reflect = [row for row in rows if row["objective"] == "reflect"]
    right = [row["reward"] for row in pointwise if row["source_correct"]]
    wrong = [row["reward"] for row in pointwise if not row["source_correct"]]
    first = [row["correct"] for row in pairwise if not row["swapped"]]
    second = [row["correct"] for row in pairwise if row["swapped"]]
    brier = _mean([(row["p_yes"] - row["source_correct"]) ** 2 for row in pointwise])
    found = {
        "judge/pointwise_balanced_accuracy": (_mean(right) + _mean(wrong)) / 2,
        "judge/pointwise_accuracy": _mean(right + wrong),
        "judge/yes_rate": _mean([row["answer"] == "Yes" for row in pointwise]),
        "judge/label_yes_rate": 0.5,
        "judge/brier": brier,
        "judge/pairwise_accuracy": _mean([row["reward"] for row in pairwise]),
        "judge/swap_consistency": _mean([a == b for a, b in zip(first, second, strict=True)]),
        "judge/parse_failure_rate": _mean([not row["parsed"] for row in rows]),
        "reflect/fix_rate": _mean([r["reward"] for r in reflect if not r["source_correct"]]),
        "reflect/break_rate": 1 - _mean([r["reward"] for r in reflect if r["source_correct"]]),
    }
    return {f"{judge_set}/{key}": value for key, value in found.items()}


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _trained(arm: str) -> list[str]:
    return ["solve", *(name for name in arm.split("+") if name != "none")]


def _level_of(levels: Levels, objective: str) -> tuple[float, float]:
    names = {"solve": "policy", "pointwise": "judge", "pairwise": "pairwise", "reflect": "fix"}
    return getattr(levels, names[objective])


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
                    _row(
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
