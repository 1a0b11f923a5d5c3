"""How a sweep goes, read from its run folders: whoever runs them, wherever."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from spark_lab.sweeping.plan import PlannedRun
from spark_lab.tracking import words

LOOK_SECONDS = 1.0
PLAIN_SECONDS = 60.0
_TAIL_BYTES = 65536
_SHOWN_RUNNING = 12
_COUNTED = ("done", "running", "failed", "waiting")


@dataclass(frozen=True)
class Standing:
    """One run as it is now: done, running, failed, stopped or waiting; `fraction` of its budget."""

    name: str
    state: str
    fraction: float


def standing(run: PlannedRun, left: float | None = None) -> Standing:
    """What a run's folder says. `left`: the time stamp that an earlier command left there. No clock
    is read, as another host's may be wrong."""
    status = run.status
    state = status.get("state", "waiting")
    old = left is not None and status.get("updated") == left
    if state == "done":
        return Standing(run.name, "waiting", 0.0) if old else Standing(run.name, state, 1.0)
    return Standing(run.name, "waiting" if old else state, fraction(run.folder / "metrics.jsonl"))


def fraction(metrics: Path) -> float:
    """The spent share of the budget in the last whole row of metrics.jsonl; 0 without one."""
    try:
        with metrics.open("rb") as file:
            file.seek(max(0, metrics.stat().st_size - _TAIL_BYTES))
            lines = file.read().splitlines(keepends=True)
    except OSError:
        return 0.0
    for line in reversed(lines):
        if line.endswith(b"\n"):
            try:
                return min(1.0, float(json.loads(line)["fraction"]))
            except (ValueError, KeyError, TypeError):
                continue
    return 0.0


def counts(standings: list[Standing]) -> str:
    """ "2 done, 1 running, 3 waiting": what there is none of is left out."""
    numbers = {state: sum(s.state == state for s in standings) for state in _COUNTED}
    return ", ".join(f"{number} {state}" for state, number in numbers.items() if number)


class Watch:
    """Shows a sweep while it runs: a picture on a terminal, else a line for each change.

    `due` are the runs that this command does; `mode` is auto, plain or off.
    """

    def __init__(
        self,
        name: str,
        planned: Sequence[PlannedRun],
        due: Sequence[PlannedRun],
        mode: str,
        terminal: Console,
    ):
        usable = terminal.is_terminal and not terminal.is_dumb_terminal
        self._mode = ("live" if usable else "plain") if mode == "auto" else mode
        self._name = name
        self._planned = planned
        self._left = {run.name: run.status.get("updated") for run in due}
        self._terminal = terminal
        self._began = time.monotonic()
        self._said: dict[str, str] = {}
        self._spoke = self._began
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._live: Live | None = None
        self._start = sum(s.fraction for s in self._look())

    def __enter__(self) -> Self:
        for now in self._look():
            self._said[now.name] = now.state
        if self._mode == "live":
            self._live = Live(console=self._terminal, auto_refresh=False, transient=True)
            self._live.start()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._finished.set()
        self._thread.join()
        if self._mode == "plain":
            self._speak(self._look())
        if self._live is not None:
            self._live.stop()

    def _watch(self) -> None:
        while not self._finished.wait(LOOK_SECONDS):
            standings = self._look()
            if self._live is not None:
                self._live.update(self._picture(standings), refresh=True)
            elif self._mode == "plain":
                self._speak(standings)

    def _look(self) -> list[Standing]:
        return [standing(run, self._left.get(run.name)) for run in self._planned]

    def _speak(self, standings: list[Standing]) -> None:
        changed = [now for now in standings if self._said[now.name] != now.state]
        for now in changed:
            self._said[now.name] = now.state
            self._line(f"{now.state:<8} {now.name} | {self._summary(standings)}")
        if changed:
            self._spoke = time.monotonic()
        elif time.monotonic() - self._spoke >= PLAIN_SECONDS:
            self._spoke = time.monotonic()
            self._line(self._summary(standings))

    def _summary(self, standings: list[Standing]) -> str:
        left = self.seconds_left(standings)
        return counts(standings) + ("" if left is None else f", {words.duration(left)} left")

    def seconds_left(self, standings: list[Standing]) -> float | None:
        """At the pace of this command so far; None until there is one."""
        reached = sum(now.fraction for now in standings)
        if reached - self._start < 0.02 or reached >= len(standings):
            return None
        spent = time.monotonic() - self._began
        return spent * (len(standings) - reached) / (reached - self._start)

    def _picture(self, standings: list[Standing]) -> RenderableType:
        head = Table.grid(expand=True)
        head.add_column()
        head.add_column(justify="right")
        head.add_row(Text(self._name, style="bold"), Text(self._summary(standings), style="dim"))
        total = sum(now.fraction for now in standings) / len(standings)
        bars = Table.grid(expand=True, padding=(0, 1))
        bars.add_column(no_wrap=True)
        bars.add_column(ratio=1)
        bars.add_column(justify="right", no_wrap=True)
        bars.add_row("", *bar(total))
        running = [now for now in standings if now.state == "running"]
        for now in running[:_SHOWN_RUNNING]:
            bars.add_row(Text(now.name), *bar(now.fraction))
        failed = [Text(f"failed {now.name}", "red") for now in standings if now.state == "failed"]
        return Padding(Group(head, bars, *failed), (1, 2))

    def _line(self, text: str) -> None:
        self._terminal.print(text, soft_wrap=True, markup=False)


def bar(fraction: float) -> tuple[ProgressBar, str]:
    bar = ProgressBar(
        total=1.0, completed=fraction, complete_style="#56B4E9", finished_style="#009E73"
    )
    return bar, f"{100 * fraction:3.0f} %"
