"""Progress on the terminal: live lines on a screen, plain lines in a log, and what to do next."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console as Terminal
from rich.live import Live
from rich.padding import Padding
from rich.text import Text

from spark_lab.tracking import screen, words
from spark_lab.tracking.progress import Progress

REDRAW_SECONDS = 0.25
# Plain lines come every five seconds at first, then every hundredth of the time, at least each minute.
PLAIN_SECONDS = (5.0, 60.0)


class Console:
    """Shows one run. `mode` is auto (live on a terminal, else plain), plain or off.

    `trained` are the objectives that get windows ("solve" always does); `unit` and `limit` are the
    budget. As a context manager it gives the terminal back however the run ends.
    """

    def __init__(
        self,
        mode: str,
        *,
        title: str,
        trained: Iterable[str],
        unit: str,
        limit: float,
        terminal: Terminal | None = None,
    ):
        self._terminal = terminal or Terminal(highlight=False)
        usable = self._terminal.is_terminal and not self._terminal.is_dumb_terminal
        self._mode = ("live" if usable else "plain") if mode == "auto" else mode
        self._title = title
        self._trained = {"solve", *trained}
        self._limit = words.budget(unit, limit)
        self._progress = Progress()
        self._note = ""
        self._drawn = -math.inf
        self._began = time.monotonic()
        self._live: Live | None = None

    def start(self, note: str = "") -> None:
        """Opens the display; `note` is shown until the first step ("resumed at step 40")."""
        if self._mode == "live":
            self._live = Live(console=self._terminal, auto_refresh=False, transient=True)
            self._live.start()
            self.say(note or "measuring the starting model")
        elif self._mode == "plain":
            self._line(f"{self._title} | {self._limit}" + (f" | {note}" if note else ""))

    def resume(
        self, steps: Iterable[dict[str, Any]], evaluations: Iterable[dict[str, Any]]
    ) -> None:
        """Takes what an interrupted run had written, so that its curves begin at its start."""
        for row in steps:
            self._progress.add_step(row)
        for row in evaluations:
            self._progress.add_evaluation(row)
        self._progress.forget_pace()

    def say(self, note: str) -> None:
        """What is going on while no step is done yet."""
        self._note = note
        self._draw(now=True)

    def step(self, row: dict[str, Any]) -> None:
        """Takes a row of metrics.jsonl."""
        self._progress.add_step(row)
        if self._mode == "plain" and time.monotonic() - self._drawn >= self._interval():
            self._drawn = time.monotonic()
            self._line(screen.plain_step(self._progress))
        self._draw()

    def evaluation(self, row: dict[str, Any]) -> None:
        """Takes a row of eval.jsonl."""
        self._progress.add_evaluation(row)
        if self._mode == "plain":
            self._line(screen.plain_evaluation(row))
        self._draw(now=True)

    def finish(
        self,
        start: dict[str, float],
        final: dict[str, float],
        folder: Path,
        commands: list[tuple[str, str]],
    ) -> None:
        """Closes the display and prints start -> end, where the files are and what to type next."""
        self.close()
        if self._mode == "off":
            return
        done = self._progress
        spent = (
            f"{done.step} steps, {words.count(done.tokens)} tokens, {words.duration(done.seconds)}"
        )
        outcome = screen.outcome(start, final)
        self._terminal.print()
        head = Text.assemble((f"  {self._title}", "bold"), (f" · done in {spent}", "dim"))
        self._terminal.print(head, soft_wrap=True)
        self._terminal.print()
        self._terminal.print(Padding(outcome, (0, 2), expand=False) if outcome.row_count else "")
        self._terminal.print()
        for line in screen.next_steps(folder, commands):
            self._terminal.print(Text("  ") + line, soft_wrap=True)
        self._terminal.print()

    def close(self) -> None:
        """Gives the terminal back. May be called twice."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _interval(self) -> float:
        shortest, longest = PLAIN_SECONDS
        return min(longest, max(shortest, (time.monotonic() - self._began) / 100))

    def _draw(self, now: bool = False) -> None:
        if self._live is None or not (now or time.monotonic() - self._drawn >= REDRAW_SECONDS):
            return
        self._drawn = time.monotonic()
        picture = screen.live(self._title, self._limit, self._note, self._progress, self._trained)
        self._live.update(picture, refresh=True)

    def _line(self, text: str) -> None:
        self._terminal.print(text, soft_wrap=True, markup=False)


def next_commands(folder: Path, root: Path, *, mlflow: bool) -> list[tuple[str, str]]:
    """What a user may want after a run, ready to paste."""
    with suppress(ValueError):
        folder = folder.relative_to(Path.cwd())
    elsewhere = "" if root == Path("runs") else f" {root}"
    commands = [
        (f"spark-lab rollouts {folder}", "read its answers, verdicts and reflections"),
        (f"spark-lab runs{elsewhere}", "all runs so far"),
    ]
    if mlflow:
        commands.append((f"spark-lab ui{elsewhere}", "curves in the browser"))
    question = "which objective helps? compares them and writes a report"
    ablation = "spark-lab -m objective=none,pointwise,pairwise,reflect seed=0,1,2"
    return [*commands, (ablation, question)]
