"""What a search says on the terminal: its plan, a trial in a line, and where it got to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from spark_lab.analysis.search import Searched, Trial
from spark_lab.sweeping import forecast, labels
from spark_lab.tracking import words
from spark_lab.tuning import storage
from spark_lab.tuning.search import Search
from spark_lab.tuning.settings import Settings

if TYPE_CHECKING:
    from optuna import Study

_SHOWN = 5


def ended(study: Study) -> int:
    """Trials that count: finished or pruned."""
    from optuna.trial import TrialState

    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))


def plan_text(search: Search) -> str:
    """`dry_run=true`: what would be searched and what it would take at most."""
    chosen = search.settings
    bound = forecast.bound(search.example)
    runs_left = search.n_trials * len(search.seeds)
    fresh = len(search.fresh_seeds) * (1 if search.untuned is None else 2)
    goal = ", ".join(f"{way} {m}" for way, m in zip(chosen.directions, chosen.metrics, strict=True))
    facts = [
        ("goal", goal),
        ("within", ", ".join(chosen.constraints)),
        ("asked by", _option(chosen.sampler)),
        ("given up by", _option(chosen.pruner)),
        ("seeds", ", ".join(map(str, search.seeds))),
        ("kept in", storage.shown(search.storage)),
    ]
    lines = [f"{search.name}: {words.number(search.n_trials, 'trial')}", f"  {search.folder}", ""]
    lines += [f"  {text}" for text in str(search.space).splitlines()] + [""]
    lines += [f"  {name:<12}{value}" for name, value in facts if value]
    lines += [
        "",
        f"At most {words.number(runs_left, 'run')} of {bound}, {search.workers} at a time",
        f"then {words.number(fresh, 'run')} on fresh seeds"
        if fresh
        else "and none on fresh seeds (hydra.sweeper.revalidate=0)",
    ]
    return "\n".join(lines)


def _option(section: dict[str, Any]) -> str:
    rest = ", ".join(f"{key} {value}" for key, value in section.items() if key != "kind")
    return f"{section['kind']} ({rest})" if rest else section["kind"]


def settings_words(params: dict[str, Any]) -> str:
    """ "lr=3e-4, share=1.52": as short as the keys allow."""
    short = labels.short_keys(list(params))
    return ", ".join(f"{short[key]}={value_words(value)}" for key, value in params.items())


def value_words(value: Any) -> str:
    if isinstance(value, float):
        return labels.plain(f"{value:.3g}")
    return labels.plain(str(value)) if isinstance(value, str) else str(value)


def score_words(metric: str, value: float) -> str:
    """A share as per cent, an amount as such."""
    return words.count(value) if metric.startswith("compute/") else f"{100 * value:.1f} %"


def scores(metrics: Sequence[str], values: Sequence[float]) -> str:
    return ", ".join(score_words(m, v) for m, v in zip(metrics, values, strict=True))


def best_of(settings: Settings, values: Sequence[tuple[int, float]]) -> tuple[int, float] | None:
    """The best of (number, value) of a search for one metric; None without any."""
    pick = max if settings.directions[0] == "maximize" else min
    return pick(values, key=lambda one: one[1]) if values else None


def say(search: Search, found: Searched, terminal: Console) -> None:
    """The best trials, or the front, with the chosen one marked."""
    shown: list[Trial] = list(found.front)
    if len(found.metrics) == 1:
        sign = -1 if found.maximized[0] else 1
        shown = sorted(found.feasible, key=lambda t: (sign * t.values[0], t.number))[:_SHOWN]
    counts = {
        state: sum(trial.state == name for trial in found.trials)
        for name, state in (("COMPLETE", "finished"), ("PRUNED", "pruned"), ("FAIL", "failed"))
    }
    text = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
    terminal.print(f"\n{search.name}: {text or 'no trial has ended'}", markup=False)
    if not shown:
        if counts["finished"]:
            terminal.print("No trial keeps to the constraints.")
        return
    chosen = found.chosen
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("trial", style="bold", no_wrap=True)
    for metric in found.metrics:
        table.add_column(metric, justify="right", no_wrap=True)
    table.add_column("found", overflow="fold")
    for trial in shown:
        mark = " *" if trial is chosen else ""
        cells = [score_words(m, v) for m, v in zip(found.metrics, trial.values, strict=True)]
        table.add_row(f"{trial.number}{mark}", *cells, settings_words(trial.params))
    terminal.print(Padding(table, (1, 2), expand=False))
    why = "the best" if len(found.metrics) == 1 else "the compromise of the Pareto front"
    terminal.print(f"  * {why}; its score is too good, as it was picked by it.", markup=False)
