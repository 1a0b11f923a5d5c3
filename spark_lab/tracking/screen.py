"""How a run looks on the terminal: the live picture, the plain lines and the closing table."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from spark_lab.tracking import words
from spark_lab.tracking.progress import Progress
from spark_lab.tracking.skills import SKILLS, Skill

BLOCKS = "▁▂▃▄▅▆▇█"
TREND_WIDTH = 24


class Outcome(NamedTuple):
    """A line of the closing table; `better` is +1 where more is better, -1 where less is."""

    words: str
    metric: str
    better: int = 1


OUTCOMES: tuple[tuple[str, tuple[Outcome, ...]], ...] = (
    (
        "Policy",
        (
            Outcome("accuracy", "policy/accuracy"),
            Outcome("accuracy of greedy answers", "policy/greedy_accuracy"),
            Outcome("pass@{k}", "policy/pass_at_{k}"),
            Outcome("accuracy after judging and reflecting", "tts/accuracy"),
        ),
    ),
    (
        "Judge",
        (
            Outcome("pointwise balanced accuracy", "fixed/judge/pointwise_balanced_accuracy"),
            Outcome(
                "pointwise balanced accuracy, own answers", "live/judge/pointwise_balanced_accuracy"
            ),
            Outcome("pairwise accuracy, both orders", "fixed/judge/pairwise_accuracy"),
            Outcome("same verdict when swapped", "fixed/judge/swap_consistency"),
        ),
    ),
    (
        "Reflection",
        (
            Outcome("wrong answers fixed", "fixed/reflect/fix_rate"),
            Outcome("right answers broken", "fixed/reflect/break_rate", -1),
        ),
    ),
    (
        "Unreadable answers",
        (
            Outcome("of the policy", "policy/parse_failure_rate", -1),
            Outcome("of the judge", "fixed/judge/parse_failure_rate", -1),
        ),
    ),
)


def live(
    title: str, limit: str, note: str, progress: Progress, trained: set[str]
) -> RenderableType:
    """The picture while training: head line, bar over the budget, one line per objective."""
    head = Table.grid(expand=True)
    head.add_column()
    head.add_column(justify="right")
    head.add_row(Text(title, style="bold"), Text(_pace(progress) or note, style="dim"))
    bar = Table.grid(expand=True, padding=(0, 1))
    bar.add_column(ratio=1)
    bar.add_column(justify="right", no_wrap=True)
    bar.add_row(
        ProgressBar(
            total=1.0,
            completed=progress.fraction,
            complete_style="#56B4E9",
            finished_style="#009E73",
        ),
        f"{100 * progress.fraction:3.0f} % of {limit}",
    )
    parts = [head, bar, "", _objectives(progress, trained)]
    return Padding(Group(*parts), (1, 2))


def plain_step(progress: Progress) -> str:
    """One line for a log file: where the run is, how fast, and the rewards."""
    rewards = "  ".join(
        f"{skill.objective} {progress.reward(skill.objective):.2f}"
        for skill in SKILLS
        if progress.reward(skill.objective) is not None
    )
    parts = [f"step {progress.step}", f"{100 * progress.fraction:.0f} %", _pace(progress), rewards]
    return " | ".join(part for part in parts if part)


def plain_evaluation(row: dict[str, Any]) -> str:
    """One line for a log file: the held-out skills of an evaluation."""
    measured = [
        f"{skill.words} {words.percent(row[skill.metric])}"
        for skill in SKILLS
        if skill.metric in row
    ]
    return f"step {row['step']} | held-out | " + "  ".join(measured)


def outcome(start: dict[str, float], final: dict[str, float]) -> Table:
    """Start -> end of every headline metric that was measured, changes in percentage points."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("held-out questions")
    for name in ("start", "end", "points"):
        table.add_column(name, justify="right", no_wrap=True)
    for section, lines in OUTCOMES:
        rows = [row for line in lines for row in _outcome_rows(line, start, final)]
        if rows:
            table.add_row(Text(section, style="bold"))
        for row in rows:
            table.add_row(*row, end_section=row is rows[-1])
    return table


def next_steps(folder: Path, commands: list[tuple[str, str]]) -> list[Text]:
    """Where the files are and what to type next, as (command, purpose), a line each to copy."""
    lines = [Text.assemble(("Files  ", "bold"), f"{folder}/"), Text(), Text("Next", style="bold")]
    for command, purpose in commands:
        lines += [Text(f"  {command}", style="#56B4E9"), Text(f"      {purpose}", style="dim")]
    return lines


def _pace(progress: Progress) -> str:
    speed, left = progress.tokens_per_second(), progress.seconds_left()
    parts = [f"{words.count(progress.tokens)} tokens"] if progress.tokens else []
    parts += [] if speed is None else [f"{words.count(speed)} tokens/s"]
    parts += [] if left is None else [f"{words.duration(left)} left"]
    return " · ".join(parts)


def _objectives(progress: Progress, trained: set[str]) -> Table:
    table = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "left", "right", "left", "right"):
        table.add_column(justify=justify, no_wrap=True)  # type: ignore[arg-type]
    held_out = f"held-out, step {progress.latest['step']}" if progress.latest else ""
    heads = ("", "reward", "so far", "unreadable", held_out, "")
    table.add_row(*(Text(head, style="dim") for head in heads))
    for skill in SKILLS:
        if skill.objective in trained or skill.metric in progress.latest:
            table.add_row(*_objective(skill, progress, skill.objective in trained))
    return table


def _objective(skill: Skill, progress: Progress, trained: bool) -> list[Text]:
    reward = progress.reward(skill.objective)
    failures = progress.parse_failures(skill.objective)
    cells = progress.trend(skill.objective, TREND_WIDTH)
    trend = "".join(BLOCKS[min(7, int(8 * max(0.0, cell)))] for cell in cells)
    start, now = progress.first.get(skill.metric), progress.latest.get(skill.metric)
    moved = Text()
    if now is not None:
        moved.append(f"{words.percent(start):>7}", style="dim")
        moved.append(" → ", style="dim")
        moved.append(f"{words.percent(now):>7}", style="bold" if trained else "")
    return [
        Text(skill.objective, style=f"bold {skill.colour}" if trained else "dim"),
        Text("" if reward is None else f"{reward:.2f}"),
        Text(
            f"{trend:<{TREND_WIDTH}}" if trained else "not trained",
            style=skill.colour if trained else "dim",
        ),
        Text("" if failures is None else words.percent(failures), style="dim"),
        Text(skill.words if now is not None else "", style="" if trained else "dim"),
        moved,
    ]


def _outcome_rows(
    line: Outcome, start: dict[str, float], final: dict[str, float]
) -> list[tuple[Text, ...]]:
    before, placeholder, after = line.metric.partition("{k}")
    names = {line.metric: line.words}
    if placeholder:
        ks = [key.removeprefix(before) for key in final if key.startswith(before)]
        names = {f"{before}{k}{after}": line.words.format(k=k) for k in ks}
    return [
        _outcome_row(label, start.get(name), final[name], line.better)
        for name, label in names.items()
        if name in final
    ]


def _outcome_row(label: str, start: float | None, end: float, better: int) -> tuple[Text, ...]:
    change = None if start is None else 100 * (end - start)
    style = "dim"
    if change is not None and abs(change) >= 0.05:
        style = "#009E73" if change * better > 0 else "#D55E00"
    return (
        Text(f"  {label}"),
        Text(words.percent(start), style="dim"),
        Text(words.percent(end), style="bold"),
        Text("" if change is None else f"{change:+.1f}" if style != "dim" else "0.0", style=style),
    )
