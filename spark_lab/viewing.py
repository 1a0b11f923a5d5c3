"""`spark-lab runs` and `spark-lab rollouts`: looking at run folders from the terminal."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from spark_lab import runs
from spark_lab.errors import Problem, UserError
from spark_lab.tracking import words
from spark_lab.tracking.jsonl import read_rows
from spark_lab.tracking.rollout_view import Filter, show
from spark_lab.tracking.skills import SKILLS

PIPED_WIDTH = 200
# Below it the table shows where the skills are now, not where they began.
WIDE = 118
# A run on another machine is known to be alive by the files it writes.
QUIET_SECONDS = 60
HEADS = {"solve": "policy", "pointwise": "pointwise", "pairwise": "pairwise", "reflect": "fixed"}
STATE_COLOURS = {"done": "green", "running": "cyan", "failed": "red", "damaged": "red"}


def show_runs(argv: list[str]) -> None:
    """`spark-lab runs [ROOT]`: a table of all runs below ROOT.

    Raises UserError where ROOT is no folder or holds no run.
    """
    parser = argparse.ArgumentParser(prog="spark-lab runs", description="A table of all runs.")
    parser.add_argument("root", nargs="?", default="runs", help="folder of the runs (runs)")
    root = Path(parser.parse_args(argv).root)
    folders = _found(root)
    console = _console()
    damaged = []
    tables: dict[str, Table] = {}
    for folder in folders:
        sweep = folder.parents[1].name
        table = tables.setdefault(sweep, _runs_table())
        try:
            table.add_row(*_run_row(folder, brief=console.width < WIDE))
        except UserError as error:
            damaged.append(error)
            table.add_row(folder.parent.name, folder.name, Text("damaged", style="red"))
    for sweep, table in tables.items():
        count = f"{table.row_count} run{'s' * (table.row_count > 1)}"
        console.print(Text.assemble(("\n" + sweep, "bold"), (f"  {count}", "dim")))
        console.print(table)
    for error in damaged:
        console.print(Text(f"\n{error}", style="red"), soft_wrap=True)
    console.print()


def show_rollouts(argv: list[str]) -> None:
    """`spark-lab rollouts RUN [filters]`: what the model wrote and how it was graded.

    Raises UserError where RUN names no run or several, or nothing passes the filters.
    """
    args = _rollouts_parser().parse_args(argv)
    here = Path(args.run)
    # An evaluation by itself is no run, but has rollouts.
    folder = here if (here / "rollouts").is_dir() else find_run(args.run, Path(args.root))
    correct = True if args.right else False if args.wrong else None
    wanted = Filter(args.objective, args.step, correct, args.phase, args.set)
    show(folder, wanted, args.limit, _console())


def find_run(name: str, root: Path, command: str = "spark-lab rollouts ") -> Path:
    """The run folder at the path `name`, or the only one below `root` whose path contains it.

    Raises UserError where there is none or several; `command` and a path is what it says to type.
    """
    here = Path(name)
    if here.is_dir():
        below = runs.find_runs(here)
        if len(below) == 1:
            return below[0]
        raise UserError(_ambiguous(name, below, command) if below else _no_runs(here))
    folders = _found(root)
    matching = [folder for folder in folders if name in str(folder.relative_to(root))]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UserError(_ambiguous(name, matching, command))
    raise UserError(_unknown_run(name, folders, root, command))


def _found(root: Path) -> list[Path]:
    folders = runs.find_runs(root)
    if not folders:
        raise UserError(_no_runs(root))
    return folders


def _runs_table() -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    table.add_column("arm", style="bold", overflow="fold", min_width=12)
    table.add_column("run", no_wrap=True, style="dim")
    table.add_column("state", no_wrap=True)
    table.add_column("step", justify="right", no_wrap=True)
    for skill in SKILLS:
        head = Text(f"{HEADS[skill.objective]} %", style=skill.colour)
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("last written", justify="right", no_wrap=True)
    return table


def _run_row(folder: Path, *, brief: bool) -> list[str | Text]:
    status = runs.read_status(folder)
    state = _state(folder, status)
    evaluations = read_rows(folder / "eval.jsonl").rows
    first, last = (evaluations[0], evaluations[-1]) if evaluations else ({}, {})
    trained = [] if state == "done" else read_rows(folder / "metrics.jsonl").rows[-1:]
    step = max(row["step"] for row in ({"step": 0}, last or {"step": 0}, *trained))
    written = status.get("updated")
    return [
        folder.parent.name,
        folder.name,
        Text(state, style=STATE_COLOURS.get(state, "yellow")),
        str(step),
        *(_change(first.get(skill.metric), last.get(skill.metric), brief) for skill in SKILLS),
        "" if written is None else f"{words.age(max(0.0, time.time() - written))} ago",
    ]


def _change(start: float | None, end: float | None, brief: bool) -> Text:
    if start is None or end is None:
        return Text("-", style="dim")
    before = "" if brief else f"{100 * start:.1f} → "
    return Text.assemble((before, "dim"), f"{100 * end:5.1f}")


def _state(folder: Path, status: dict[str, Any]) -> str:
    """The state of status.json; "torn" where it says running but nobody is."""
    state = status.get("state", "torn")
    if state != "running" or _alive(status.get("pid")):
        return state
    log = folder / "metrics.jsonl"
    recent = log.exists() and time.time() - log.stat().st_mtime < QUIET_SECONDS
    return state if recent else "torn"


def _alive(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _rollouts_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="spark-lab rollouts",
        description="What the model wrote, with its label, verdict and reward.",
    )
    parser.add_argument("run", help="run folder, or any part of its path that only it has")
    parser.add_argument("--root", default="runs", help="folder to look for RUN in (runs)")
    names = [skill.objective for skill in SKILLS]
    parser.add_argument("--objective", choices=names, help="only these prompts")
    parser.add_argument("--step", default="last", metavar="N", help="optimizer step, or last")
    verdict = parser.add_mutually_exclusive_group()
    verdict.add_argument("--right", action="store_true", help="only those with full reward")
    verdict.add_argument("--wrong", action="store_true", help="only the others")
    parser.add_argument("--phase", choices=["train", "eval"], help="eval where there is one")
    sets = ["heldout", "fixed", "live", "test_time"]
    parser.add_argument("--set", choices=sets, help="which held-out prompts of an evaluation")
    parser.add_argument("--limit", type=_positive, default=8, metavar="N", help="at most N (8)")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPED_WIDTH)


def _no_runs(root: Path) -> Problem:
    return Problem(
        where=str(root),
        got="no run folders" if root.is_dir() else "no such folder",
        expected="a folder with runs in it",
        fix="`spark-lab` trains one into runs/, `spark-lab runs PATH` looks elsewhere",
    )


def _ambiguous(name: str, matching: list[Path], command: str) -> Problem:
    return Problem(
        where=f"RUN {name}",
        got=f"{len(matching)} runs:{_listed(matching)}",
        expected="the path of one run, or a part that only one has",
        fix=f"{command}{matching[-1]}",
    )


def _unknown_run(name: str, folders: list[Path], root: Path, command: str) -> Problem:
    near = nearest(name, folders, root)
    return Problem(
        where=f"RUN {name}",
        got=f"no such run among{_listed(folders)}",
        expected="the path of a run, or a part of it",
        fix=f"did you mean {command}{near}" if near else "spark-lab runs lists all",
    )


def nearest(name: str, folders: Iterable[Path], root: Path) -> Path | None:
    """The run whose path below `root`, or a part of that path, is most like `name`."""
    import difflib

    parts = {
        part: folder
        for folder in folders
        for part in (*folder.relative_to(root).parts, str(folder.relative_to(root)))
    }
    close = difflib.get_close_matches(name, parts, n=1)
    return parts[close[0]] if close else None


def _listed(folders: list[Path]) -> str:
    shown = [f"\n    {folder}" for folder in folders[:12]]
    more = f"\n    and {len(folders) - 12} more" if len(folders) > 12 else ""
    return "".join(shown) + more
