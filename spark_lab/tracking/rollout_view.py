"""Rollouts as people read them: panels on a terminal, plain text in a pipe.

Prompts and completions are whatever a model wrote: they are shown as data, never as markup, and
characters that would steer the terminal are spelled out.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console, Group
from rich.panel import Panel
from rich.rule import Rule
from rich.text import Text

from spark_lab.errors import Problem, UserError
from spark_lab.tracking.jsonl import Row, read_rows, rollout_files

RIGHT, WRONG = "#009E73", "#D55E00"
SETS = {
    "heldout": "held-out",
    "fixed": "fixed judge set",
    "live": "own answers",
    "test_time": "test time",
}


class Filter(NamedTuple):
    """What to show. None lets everything through; `step` is a number or "last"."""

    objective: str | None = None
    step: str = "last"
    correct: bool | None = None
    phase: str | None = None
    set: str | None = None


def show(folder: Path, wanted: Filter, limit: int, console: Console) -> None:
    """Prints at most `limit` rollouts of one run, taking turns between objectives and verdicts.

    Raises UserError where there is no such step, or nothing passes the filter.
    """
    path = _file(folder, wanted)
    found = read_rows(path)
    chosen = [row for row in found.rows if _passes(row, wanted)]
    if not chosen:
        raise UserError(_nothing(path, wanted, found.rows))
    shown = list(_taking_turns(chosen))[:limit]
    for row in shown:
        seen = [str(path.parent / str(name)) for name in row.get("images") or ()]
        if console.is_terminal:
            console.print(_panel(row, seen))
        else:
            print(_plain(row, seen), file=console.file)
    for problem in found.problems:
        console.print(problem, style="yellow", markup=False)
    tail = f"{len(shown)} of {len(chosen)} in {path}"
    more = "" if len(shown) == len(chosen) else f"   --limit {4 * limit} shows more"
    console.print(Text(tail + more, style="dim"), soft_wrap=True)


def visible(text: str) -> str:
    """Spells out control, direction and other invisible characters: ESC becomes \\x1b."""
    return "".join(map(_spelt, text.replace("\r\n", "\n")))


def _spelt(character: str) -> str:
    kind = unicodedata.category(character)
    if character in "\n\t" or not (kind.startswith("C") or kind in ("Zl", "Zp")):
        return character
    return character.encode("unicode_escape", "surrogatepass").decode()


def _file(folder: Path, wanted: Filter) -> Path:
    phases = [wanted.phase] if wanted.phase else ["eval", "train"]
    files = {phase: rollout_files(folder, phase) for phase in phases}
    steps = sorted({step for found in files.values() for step in found})
    if not steps:
        raise UserError(_no_files(folder, wanted))
    for phase in phases:
        if wanted.step == "last" and files[phase]:
            return list(files[phase].values())[-1]
        if wanted.step.isdigit() and int(wanted.step) in files[phase]:
            return files[phase][int(wanted.step)]
    listed = ", ".join(map(str, steps))
    raise UserError(
        Problem(
            where=f"--step {wanted.step}",
            got="no rollouts were saved at that step",
            expected=f"last, or one of {listed}",
            fix=f"--step {_nearest(wanted.step, steps)}",
        )
    )


def _nearest(step: str, steps: list[int]) -> int:
    return min(steps, key=lambda known: abs(known - int(step))) if step.isdigit() else steps[-1]


def _passes(row: Row, wanted: Filter) -> bool:
    return (
        wanted.objective in (None, row.get("objective"))
        and wanted.set in (None, row.get("set"))
        and wanted.correct in (None, row.get("correct"))
    )


def _taking_turns(rows: list[Row]) -> Iterator[Row]:
    kinds: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        kinds[row.get("objective"), row.get("set"), row.get("correct")].append(row)
    for turn in zip_longest(*kinds.values()):
        yield from (row for row in turn if row is not None)


def _panel(row: Row, images: list[str]) -> Panel:
    colour = RIGHT if row.get("correct") else WRONG
    body = Group(
        *(Text(f"image {visible(name)}", style="dim italic") for name in images),
        Text(visible(str(row.get("prompt"))), style="dim"),
        Rule(style="dim"),
        Text(visible(str(row.get("completion")))),
        Rule(style="dim"),
        _graded(row, colour),
    )
    title = Text(_title(row), style=f"bold {colour}")
    return Panel(body, title=title, title_align="left", border_style=colour, padding=(0, 1))


def _plain(row: Row, images: list[str]) -> str:
    return "\n".join(
        (
            f"=== {_title(row)} ===",
            *(f"image: {visible(name)}" for name in images),
            "prompt:",
            _indented(row.get("prompt")),
            "completion:",
            _indented(row.get("completion")),
            _graded(row, "").plain,
            "",
        )
    )


def _indented(text: Any) -> str:
    return "\n".join(f"  {line}" for line in visible(str(text)).split("\n"))


def _title(row: Row) -> str:
    kind = " ".join(str(row[key]) for key in ("objective", "form") if row.get(key))
    extra = row.get("phase") == "extra"
    where = SETS.get(row.get("set") or "", "for judging only" if extra else "training")
    parts = [kind, where, f"step {row.get('step')}", f"question {row.get('question')}"]
    if row.get("sample"):
        parts.append("greedy" if row["sample"] == -1 else f"sample {row['sample']}")
    return " · ".join(parts)


def _graded(row: Row, colour: str) -> Text:
    answer = "unreadable" if row.get("answer") is None else visible(str(row["answer"]))
    text = Text.assemble(
        ("right" if row.get("correct") else "wrong", f"bold {colour}".strip()),
        f"   expected {visible(str(row.get('label')))}   answered {answer}",
        f"   reward {row.get('reward'):g}   {row.get('tokens')} tokens",
    )
    if row.get("truncated"):
        text.append("   cut off")
    if row.get("p_yes") is not None:
        text.append(f"   p(correct) {row['p_yes']:.2f}")
    if row.get("source_correct") is not None:
        text.append(f"   shown solution {'right' if row['source_correct'] else 'wrong'}")
    return text


def _no_files(folder: Path, wanted: Filter) -> Problem:
    return Problem(
        where=str(folder / "rollouts"),
        got=f"no {wanted.phase or ''} rollouts".replace("  ", " "),
        expected="files named train-*.jsonl.gz or eval-*.jsonl.gz",
        fix="wait for the first evaluation; tracking.rollouts_every=N saves training rollouts too",
    )


def _nothing(path: Path, wanted: Filter, rows: list[Row]) -> Problem:
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        named = f"{row.get('objective')} ({row['set']})" if row.get("set") else row.get("objective")
        counts[str(named)][0 if row.get("correct") else 1] += 1
    asked = " ".join(
        part
        for part, given in (
            (f"--objective {wanted.objective}", wanted.objective is not None),
            (f"--set {wanted.set}", wanted.set is not None),
            ("--right" if wanted.correct else "--wrong", wanted.correct is not None),
        )
        if given
    )
    there = ", ".join(
        f"{kind}: {right} right, {wrong} wrong" for kind, (right, wrong) in counts.items()
    )
    return Problem(
        where=asked or str(path),
        got=f"nothing like that in {path.name}",
        expected=there or "an undamaged file",
        fix="leave a filter out, or choose another --step or --phase",
    )
