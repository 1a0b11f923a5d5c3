"""Held-out questions of known difficulty, and what a model of known skill makes of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.stats import norm

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


def level_at(level: tuple[float, float], fraction: float) -> float:
    """The true level after `fraction` of the training."""
    start, end = level
    return start + (end - start) * (1 - np.exp(-3 * fraction)) / (1 - np.exp(-3))


@cache
def _offset(level: float, spread: float) -> float:
    """The logit whose mean success over normal difficulties of this spread is `level`."""
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


class Questions:
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
        return solved_row(step, question, sample, right, read)

    def _judged(self, step: int, fraction: float, judge_set: str) -> list[Row]:
        verdicts = self._draw("judge", fraction, 2)
        pairs = self._draw("pairwise", fraction, 2)
        fixed = self._draw("fix", fraction, 1)[:, 0]
        kept = self._rng.random(len(fixed)) >= level_at(self._levels.broken, fraction)
        rows = []
        for question in range(len(fixed)):
            common: Row = {"step": step, "set": judge_set, "question": question}
            for column, shown_right in enumerate((True, False)):
                right = bool(verdicts[question, column])
                rows.append(_pointwise_row(common, shown_right, right, self._rng))
            for column, swapped in enumerate((False, True)):
                rows.append(_pairwise_row(common, swapped, bool(pairs[question, column])))
            rows.append(_reflect_row(common, False, bool(fixed[question])))
            rows.append(_reflect_row(common, True, bool(kept[question])))
        return rows


def _pointwise_row(common: Row, shown_right: bool, right: bool, rng: np.random.Generator) -> Row:
    gold = 10 + common["question"] % 30
    shown = gold if shown_right else gold + 1
    label, other = ("Yes", "No") if shown_right else ("No", "Yes")
    answer = label if right else other
    return rollout_row(
        **common,
        phase="eval",
        objective="pointwise",
        prompt=f"Judge 7+1+{gold - 8}={shown}?",
        completion=f"{gold} ? {shown} \\boxed{{{answer}}}",
        label=label,
        answer=answer,
        right=right,
        form="yes_no",
        source_correct=shown_right,
        p_yes=float(rng.beta(5, 2) if answer == "Yes" else rng.beta(2, 5)),
    )


def _pairwise_row(common: Row, swapped: bool, right: bool) -> Row:
    gold = 10 + common["question"] % 30
    label, other = ("B", "A") if swapped else ("A", "B")
    answer = label if right else other
    return rollout_row(
        **common,
        phase="eval",
        objective="pairwise",
        prompt=f"Compare 7+1+{gold - 8} A:{gold + swapped} B:{gold + 1 - swapped}",
        completion=f"{gold} \\boxed{{{answer}}}",
        label=label,
        answer=answer,
        right=right,
        swapped=swapped,
    )


def _reflect_row(common: Row, shown_right: bool, right: bool) -> Row:
    gold = 10 + common["question"] % 30
    answer = str(gold if right else gold + 2)
    return rollout_row(
        **common,
        phase="eval",
        objective="reflect",
        prompt=f"Check 7+1+{gold - 8}={gold if shown_right else gold + 1}",
        completion=f"7+1=8; 8+{gold - 8}={answer} \\boxed{{{answer}}}",
        label=str(gold),
        answer=answer,
        right=right,
        form="verify_first",
        source_correct=shown_right,
    )


def solved_row(step: int, question: int, sample: int, right: bool, read: bool = True) -> Row:
    gold = 10 + question % 30
    answer = gold if right else gold + 1
    text = f"7+1=8; 8+{gold - 8}={answer} \\boxed{{{answer}}}" if read else "7+1=8; 8+5="
    return rollout_row(
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


def rollout_row(step: int, phase: str, objective: str, *, right: bool, **fields: Any) -> Row:
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
