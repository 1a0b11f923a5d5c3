"""What the console knows of a run: smoothed rewards, speed, time left. No drawing."""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import Any

SMOOTHED_STEPS = 10
SPEED_WINDOW = 20


class Progress:
    """Collects the rows of one run as they are written."""

    def __init__(self) -> None:
        self.step = 0
        self.fraction = 0.0
        self.tokens = 0
        self.rewards: dict[str, list[float]] = {}
        self.first: dict[str, Any] = {}
        self.latest: dict[str, Any] = {}
        self._failures: dict[str, deque[float]] = {}
        self.seconds = 0.0
        # Since the last evaluation: (time in s, generated tokens).
        self._pace: deque[tuple[float, int]] = deque(maxlen=SPEED_WINDOW)
        # When this process made its first step: (time in s, budget fraction).
        self._began: tuple[float, float] | None = None
        self._now = 0.0

    def add_step(self, row: dict[str, Any]) -> None:
        """Takes a row of metrics.jsonl."""
        self._locate(row)
        self.seconds = row.get("compute/seconds", self.seconds)
        self._now = row["time"]
        self._began = self._began or (self._now, self.fraction)
        self._pace.append((self._now, self.tokens))
        for key, value in row.items():
            parts = key.split("/")
            if key.endswith("/reward_mean"):
                self.rewards.setdefault(parts[1], []).append(value)
            elif key.endswith("/parse_failure_rate"):
                recent = self._failures.setdefault(parts[1], deque(maxlen=SMOOTHED_STEPS))
                recent.append(value)

    def add_evaluation(self, row: dict[str, Any]) -> None:
        """Takes a row of eval.jsonl."""
        self._locate(row)
        self.first = self.first or row
        self.latest = row
        self._pace.clear()

    def forget_pace(self) -> None:
        """What was taken so far was made by an earlier process, at an earlier time."""
        self._pace.clear()
        self._began = None

    def reward(self, objective: str) -> float | None:
        """Mean reward of the last ten steps that trained the objective."""
        return _mean(self.rewards.get(objective, [])[-SMOOTHED_STEPS:])

    def parse_failures(self, objective: str) -> float | None:
        """Share of completions without a readable answer, over the last ten steps."""
        return _mean(list(self._failures.get(objective, [])))

    def tokens_per_second(self) -> float | None:
        """Generated tokens per second of training over the last twenty steps."""
        if len(self._pace) < 2:
            return None
        (began, before), (ended, after) = self._pace[0], self._pace[-1]
        return (after - before) / (ended - began) if ended > began else None

    def seconds_left(self) -> float | None:
        """Time to the end of the budget at this process's pace so far, evaluations included."""
        if self._began is None:
            return None
        began, start = self._began
        if self.fraction <= start:
            return None
        return (1.0 - self.fraction) * (self._now - began) / (self.fraction - start)

    def trend(self, objective: str, width: int) -> list[float]:
        """The rewards of the whole run so far as at most `width` means of equal stretches."""
        rewards = self.rewards.get(objective, [])
        cells = min(width, len(rewards))
        edges = [len(rewards) * cell // cells for cell in range(cells + 1)] if cells else []
        return [sum(rewards[a:b]) / (b - a) for a, b in pairwise(edges)]

    def _locate(self, row: dict[str, Any]) -> None:
        self.step = row["step"]
        self.fraction = min(1.0, row["fraction"])
        self.tokens = row.get("compute/generated_tokens", self.tokens)


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
