"""How a search goes, read from its storage and run folders: whoever trains, wherever."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from spark_lab import runs
from spark_lab.sweeping.progress import bar, fraction
from spark_lab.tracking import words
from spark_lab.tuning import lines, storage
from spark_lab.tuning.search import Search

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

LOOK_SECONDS = 2.0
PLAIN_SECONDS = 60.0
_SAID = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed"}
_SHOWN_RUNNING = 12


class Watch:
    """Shows a search while it goes on: a picture on a terminal, else a line for each ended trial."""

    def __init__(self, search: Search, terminal: Console):
        mode = search.example.tracking.console
        usable = terminal.is_terminal and not terminal.is_dumb_terminal
        self._mode = ("live" if usable else "plain") if mode == "auto" else mode
        self._search = search
        self._terminal = terminal
        self._began = self._spoke = time.monotonic()
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._live: Live | None = None
        self._said: set[int] = set()

    def __enter__(self) -> Self:
        from optuna.study import load_study

        kept = storage.open_storage(self._search.storage)
        self._study = load_study(study_name=self._search.name, storage=kept)
        self._said = {t.number for t in self._look() if t.state.is_finished()}
        self._before = len(self._said)
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
        if self._live is not None:
            self._live.stop()
        if self._mode == "plain":
            self._speak(self._look())

    def _watch(self) -> None:
        while not self._finished.wait(LOOK_SECONDS):
            trials = self._look()
            if self._live is not None:
                self._live.update(self._picture(trials), refresh=True)
            elif self._mode == "plain":
                self._speak(trials)

    def _look(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _speak(self, trials: list[FrozenTrial]) -> None:
        news = [t for t in trials if t.state.is_finished() and t.number not in self._said]
        for trial in news:
            self._said.add(trial.number)
            self._line(f"{_SAID[trial.state.name]:<8} {self._told(trial)}")
        if news or time.monotonic() - self._spoke >= PLAIN_SECONDS:
            self._spoke = time.monotonic()
            self._line(self._summary(trials))

    def _told(self, trial: FrozenTrial) -> str:
        metrics = self._search.settings.metrics
        score = lines.scores(metrics, trial.values) if trial.values else ""
        if trial.state.name == "FAIL":
            score = " ".join(str(trial.user_attrs.get("error", "")).split())[:100]
        return f"trial {trial.number:<4} {score:<10} {lines.settings_words(trial.params)}".rstrip()

    def _summary(self, trials: list[FrozenTrial]) -> str:
        ended = [t for t in trials if t.state.name in ("COMPLETE", "PRUNED")]
        text = f"{len(ended)} of {self._search.n_trials} trials"
        settings = self._search.settings
        if len(settings.metrics) == 1:
            done = [(t.number, t.values[0]) for t in ended if t.state.name == "COMPLETE"]
            best = lines.best_of(settings, done)
            if best is not None:
                text += f", best {lines.scores(settings.metrics, [best[1]])} (trial {best[0]})"
        left = self._seconds_left(len(ended))
        return text + ("" if left is None else f", {words.duration(left)} left")

    def _seconds_left(self, ended: int) -> float | None:
        """At the pace of this command so far; None until there is one."""
        now, left = ended - self._before, self._search.n_trials - ended
        return (time.monotonic() - self._began) * left / now if now > 0 and left > 0 else None

    def _picture(self, trials: list[FrozenTrial]) -> RenderableType:
        head = Table.grid(expand=True)
        head.add_column()
        head.add_column(justify="right")
        head.add_row(
            Text(self._search.name, style="bold"), Text(self._summary(trials), style="dim")
        )
        bars = Table.grid(expand=True, padding=(0, 1))
        bars.add_column(no_wrap=True)
        bars.add_column(ratio=1)
        bars.add_column(justify="right", no_wrap=True)
        ended = sum(t.state.name in ("COMPLETE", "PRUNED") for t in trials)
        bars.add_row("", *bar(ended / self._search.n_trials))
        for trial in [t for t in trials if t.state.name == "RUNNING"][:_SHOWN_RUNNING]:
            bars.add_row(Text(f"trial {trial.number}"), *bar(self._fraction(trial.number)))
        return Padding(Group(head, bars), (1, 2))

    def _fraction(self, number: int) -> float:
        """Of a trial's budget, over its seeds."""
        arm = self._search.folder / runs.trial_arm(number)
        spent = sum(fraction(path) for path in arm.glob("seed*/metrics.jsonl"))
        return spent / len(self._search.seeds)

    def _line(self, text: str) -> None:
        self._terminal.print(text, soft_wrap=True, markup=False)
