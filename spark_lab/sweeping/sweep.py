"""One multirun, top to bottom: plan, store, runs, report, last lines."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from spark_lab.config import blames
from spark_lab.errors import UserError
from spark_lab.sweeping import axes as axes_of
from spark_lab.sweeping import ending, forecast, launch, plan, record
from spark_lab.sweeping.axes import Axes
from spark_lab.sweeping.plan import Plan
from spark_lab.sweeping.progress import Watch
from spark_lab.tracking import words

DONE, INCOMPLETE = 0, 1


def planned(config_name: str, overrides: list[str], multirun: bool) -> Plan | None:
    """The plan of a multirun command; None where it is a single run, or another sweeper's.

    Raises UserError with all mistakes of the command, those that hide behind others too.
    """
    try:
        axes = axes_of.read(config_name, overrides, multirun)
        return None if axes is None else plan.make(axes)
    except UserError as error:
        problems = list(error.problems)
    blamed = {problem.where for problem in problems}
    rest = [text for text in overrides if not blames(blamed, text)]
    if len(rest) < len(overrides):
        try:
            planned(config_name, rest, multirun)
        except UserError as further:
            problems += [found for found in further.problems if found.where not in blamed]
    raise UserError(*problems)


def run(wanted: Plan, command: list[str]) -> int:
    """Runs what is not done yet; the exit code. `command` is what was typed after spark-lab.

    Raises UserError where the sweep's folder or MLflow's store can't be written.
    """
    axes = wanted.axes
    first = wanted.runs[0].config
    if first.dry_run:
        print(forecast.text(wanted, launch.workers(axes, len(wanted.runs))))
        return DONE
    plan.write(wanted)
    terminal = Console(highlight=False)
    force = first.force
    due = [run for run in wanted.runs if force or not run.done]
    errors = _train(wanted, axes, due, terminal) if due else {}
    if not due:
        terminal.print(f"{wanted.name}: nothing to do (force=true runs it again)", markup=False)
    report: Path | None = None
    try:
        report = conclude(wanted, fresh=bool(due))
    finally:
        complete = ending.say(wanted, errors, report, command, terminal)
    return DONE if complete else INCOMPLETE


def _train(
    wanted: Plan, axes: Axes, due: list[plan.PlannedRun], terminal: Console
) -> dict[str, str]:
    """Errors by run name."""
    record.open_stores(wanted)
    workers = launch.workers(axes, len(due))
    size = f"{words.number(len(wanted.arms), 'arm')} x {words.number(len(wanted.seeds), 'seed')}"
    at_once = "" if workers is None else f", {workers} at a time"
    done = len(wanted.runs) - len(due)
    skipped = f", {done} done before" if done else ""
    terminal.print(
        f"{wanted.name}: {size}, {len(due)} to run{skipped}{at_once}", markup=False, soft_wrap=True
    )
    mode = wanted.runs[0].config.tracking.console
    with Watch(wanted.name, wanted.runs, due, mode, terminal):
        outcomes = launch.launch(axes, due)
    return {
        run.name: outcome.error
        for run, outcome in zip(due, outcomes, strict=True)
        if outcome.error is not None
    }


def conclude(wanted: Plan, *, fresh: bool) -> Path | None:
    """The report and MLflow's copy of it, unless nothing has changed since they were written."""
    if not any(run.done for run in wanted.runs):
        return None
    out = wanted.folder / "report"
    report = out / "report.html"
    if fresh or not report.exists():
        # Pandas and matplotlib take a second to import: a command with nothing to do is spared.
        from spark_lab.analysis import report as reports

        print("writing the report ...", flush=True)
        report = reports.write([wanted.folder], out)
        for store in record.open_stores(wanted)[:1]:
            record.copy(wanted.folder, store)
    return report
