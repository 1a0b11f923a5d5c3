"""The last lines of a multirun: what each arm reached, what is missing, and what to type."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from spark_lab.sweeping.plan import Plan, PlannedRun
from spark_lab.sweeping.worker import log_of
from spark_lab.tracking.skills import SKILLS

# Columns for the arms' names, which are broken after a plus or a comma.
_LEAST, _MOST = 12, 24
_PARTS = re.compile(r"(?<=[+,])")


def say(
    plan: Plan, errors: dict[str, str], report: Path | None, words: list[str], terminal: Console
) -> bool:
    """Prints them; whether every run is done. `errors` are by run name, `words` the command."""
    missing = [run for run in plan.runs if not run.done]
    if len(missing) < len(plan.runs):
        terminal.print()
        terminal.print(Padding(_arms(plan), (0, 2), expand=False))
    root = plan.folder.parent
    terminal.print()
    if report is not None:
        _line(terminal, f"  report   {_near(report)}")
    if any(run.config.tracking.mlflow for run in plan.runs):
        elsewhere = "" if root == Path("runs").absolute() else f" {shlex.quote(str(root))}"
        _line(terminal, f"  curves   spark-lab ui{elsewhere}")
    _line(terminal, f"  folder   {_near(plan.folder)}")
    if not missing:
        _line(terminal, f"\n{len(plan.runs)} of {len(plan.runs)} runs are done.")
        return True
    _line(
        terminal, f"\n{len(plan.runs) - len(missing)} of {len(plan.runs)} runs are done. Missing:"
    )
    for run in missing:
        _line(terminal, f"  {run.name:<24} {_reason(run, errors)}")
        if log_of(run.config).exists():
            _line(terminal, f"  {'':<24} log: {_near(log_of(run.config))}")
    _line(terminal, "\nThe same command does what is missing and nothing else:")
    _line(terminal, f"  {shlex.join(['spark-lab', *words])}")
    return False


def _reason(run: PlannedRun, errors: dict[str, str]) -> str:
    status = run.status
    error = errors.get(run.name) or status.get("error")
    text = " ".join((error or "").split())
    return f"{status.get('state', 'not started')}{': ' + text if text else ''}"


def _arms(plan: Plan) -> Table:
    """Means over the finished seeds of each arm, at the final checkpoint."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    longest = max(len(part) for arm in plan.arms for part in _PARTS.split(arm))
    width = min(max(longest, _LEAST), _MOST)
    names = {arm: _broken(arm, width) for arm in plan.arms}
    table.add_column("arm", style="bold", overflow="fold", min_width=width)
    table.add_column("seeds", justify="right", no_wrap=True)
    for skill in SKILLS:
        table.add_column(Text(f"{skill.words}, %", style=skill.colour), justify="right")
    for arm in plan.arms:
        finals = [run.status.get("final", {}) for run in plan.runs if run.arm == arm and run.done]
        cells = [_mean([f[skill.metric] for f in finals if skill.metric in f]) for skill in SKILLS]
        planned = sum(run.arm == arm for run in plan.runs)
        count = f"{len(finals)}" if len(finals) == planned else f"{len(finals)} of {planned}"
        table.add_row(names[arm], count, *cells)
    return table


def _broken(name: str, width: int) -> str:
    """A long name in lines, broken after a plus or a comma."""
    lines = [""]
    for part in _PARTS.split(name):
        if lines[-1] and len(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _mean(values: list[float]) -> str:
    return f"{100 * sum(values) / len(values):.1f}" if values else "-"


def _near(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _line(terminal: Console, text: str) -> None:
    terminal.print(text, soft_wrap=True, markup=False)
