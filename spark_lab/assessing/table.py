"""What an evaluation found, as a table on the terminal: shares with 95 % intervals over questions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from spark_lab.analysis import test_time
from spark_lab.analysis.intervals import Estimate
from spark_lab.analysis.skills import wilson
from spark_lab.assessing.store import Result
from spark_lab.tracking import words
from spark_lab.tracking.jsonl import read_rows, rollout_files

PIPED_WIDTH = 160
WORTH = {"pays": "#009E73", "costs more than it gives": "#D55E00"}


class Line(NamedTuple):
    """`count` gives how many independent trials are behind a share; None: it is no share."""

    words: str
    metric: str
    count: Callable[[pd.DataFrame], float] | None


def show(result: Result, folder: Path) -> None:
    """Prints everything from the files of `folder` and its result."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPED_WIDTH)
    rows = pd.DataFrame(_rows(folder, "eval"))
    head = (
        f"{words.count(result['generated_tokens'])} tokens in {words.duration(result['seconds'])}"
    )
    console.print()
    console.print(
        Text.assemble((f"  {result['title']}", "bold"), (f" · {head}", "dim")), soft_wrap=True
    )
    console.print()
    console.print(Padding(_skills(result["metrics"], rows), (0, 2), expand=False))
    outcomes = pd.DataFrame(_rows(folder, "test_time"))
    found = test_time.scaling({0: outcomes})
    if found is not None:
        console.print()
        console.print(Padding(_scaling(found), (0, 2), expand=False))
        console.print(Text(f"  {_NOTE}", style="dim"))
    console.print()
    short = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    console.print(Text.assemble(("  Files  ", "bold"), f"{short}/"), soft_wrap=True)
    reading = f"spark-lab rollouts {short} --set test_time"
    console.print(Text(f"  {reading}", style="#56B4E9"), soft_wrap=True)
    console.print()


_NOTE = (
    "Tokens are generated ones. Gain: accuracy minus that of a majority vote with as many tokens a\n"
    "  question (a dash: no vote that large was measured; eval.test_time_samples=N draws more)."
)


def _rows(folder: Path, phase: str) -> list[dict]:
    files = rollout_files(folder, phase)
    return read_rows(list(files.values())[-1]).rows if files else []


def _skills(metrics: dict[str, float], rows: pd.DataFrame) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("held-out questions", no_wrap=True)
    for head in ("", "95 % interval", "of"):
        table.add_column(head, justify="right", no_wrap=True)
    for section, lines in _sections(metrics):
        measured = [line for line in lines if line.metric in metrics]
        if measured:
            table.add_row(Text(section, style="bold"))
        for line in measured:
            cells = _cells(metrics[line.metric], line, rows)
            table.add_row(Text(f"  {line.words}"), *cells, end_section=line is measured[-1])
    return table


def _cells(value: float, line: Line, rows: pd.DataFrame) -> tuple[Text, Text, Text]:
    if line.count is None:
        return Text(f"{value:.3f}", style="bold"), Text(), Text()
    count = line.count(rows)
    low, high = wilson(np.array(value), count) if count else (value, value)
    spread = f"{100 * float(low):.1f} to {100 * float(high):.1f}"
    return (
        Text(words.percent(value), style="bold"),
        Text(spread, style="dim"),
        Text(f"{count:.0f}", style="dim"),
    )


def _sections(metrics: dict[str, float]) -> list[tuple[str, tuple[Line, ...]]]:
    passes = sorted(name for name in metrics if name.startswith("policy/pass_at_"))
    reasoning = (
        Line("right answers", "policy/accuracy", _answers),
        Line("right answers, greedy", "policy/greedy_accuracy", _answers),
        *(Line(f"pass@{name.rpartition('_')[2]}", name, _answers) for name in passes),
        Line("unreadable", "policy/parse_failure_rate", _answers),
        Line("cut off", "policy/truncated_rate", _answers),
    )
    sections = [("Reasoning", reasoning)]
    for name, shown in (("fixed", "the run's fixed set"), ("live", "its own answers")):
        sections.append((f"Judging {shown}", _judging(name)))
        sections.append((f"Reflecting on {shown}", _reflecting(name)))
    return sections


def _judging(name: str) -> tuple[Line, ...]:
    def judged(rows: pd.DataFrame) -> pd.DataFrame:
        return rows[(rows["set"] == name) & (rows["objective"] == "pointwise")]

    def balanced(rows: pd.DataFrame) -> float:
        right = int(judged(rows)["source_correct"].astype(bool).sum())
        wrong = len(judged(rows)) - right
        return 4 / (1 / right + 1 / wrong) if right and wrong else 0

    def pairs(rows: pd.DataFrame) -> float:
        compared = rows[(rows["set"] == name) & (rows["objective"] == "pairwise")]
        return compared["question"].nunique()

    def verdicts(rows: pd.DataFrame) -> float:
        return len(judged(rows))

    return (
        Line("one answer, balanced", f"{name}/judge/pointwise_balanced_accuracy", balanced),
        Line("two answers, both orders", f"{name}/judge/pairwise_accuracy", pairs),
        Line("same choice when swapped", f"{name}/judge/swap_consistency", pairs),
        Line("says right", f"{name}/judge/yes_rate", verdicts),
        Line("is right", f"{name}/judge/label_yes_rate", verdicts),
        Line("Brier score", f"{name}/judge/brier", None),
        Line("calibration error", f"{name}/judge/ece", None),
    )


def _reflecting(name: str) -> tuple[Line, ...]:
    def shown(form: str, correct: bool) -> Callable[[pd.DataFrame], float]:
        def count(rows: pd.DataFrame) -> float:
            own = rows[(rows["set"] == name) & (rows["form"] == form)]
            return int((own["source_correct"].astype(bool) == correct).sum())

        return count

    return (
        Line("wrong ones fixed", f"{name}/reflect/fix_rate", shown("verify_first", False)),
        Line("right ones broken", f"{name}/reflect/break_rate", shown("verify_first", True)),
        Line(
            "wrong ones fixed when told",
            f"{name}/reflect/told_wrong_fix_rate",
            shown("told_wrong", False),
        ),
    )


def _answers(rows: pd.DataFrame) -> float:
    return int(((rows["objective"] == "solve") & (rows["sample"] == 0)).sum())


def _scaling(found: test_time.Scaling) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("test-time scaling", no_wrap=True)
    for head in ("tokens", "accuracy", "95 % interval", "gain over a vote", "95 % interval"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("judging")
    names = list(found.by_name)
    for name, after in zip(names, [*names[1:], ("", 0)], strict=True):
        one = test_time.gain(found, name)
        judged = name[0] not in (test_time.VOTE, test_time.ORACLE) and name != test_time.PLAIN
        gained = [Text("\N{EN DASH}", style="dim"), Text()]
        if judged and one.equal_price:
            gained = [Text(f"{100 * one.estimate.mean:+.1f}"), _spread(one.estimate)]
        table.add_row(
            Text(test_time.words(name)),
            Text(f"{one.price:.0f}", style="dim"),
            Text(words.percent(one.accuracy.mean), style="bold"),
            _spread(one.accuracy, within=(0.0, 1.0)),
            *gained,
            Text(one.worth if judged else "", style=WORTH.get(one.worth, "dim")),
            end_section=name[0] != after[0],
        )
    return table


def _spread(single: Estimate, within: tuple[float, float] = (-1.0, 1.0)) -> Text:
    if np.isnan(single.low):
        return Text()
    low, high = np.clip((single.low, single.high), *within)
    return Text(f"{100 * low:.1f} to {100 * high:.1f}", style="dim")
