"""One search, top to bottom: study, trials, the chosen one on fresh seeds, report, last lines."""

from __future__ import annotations

import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock
from rich.console import Console

from spark_lab import runs
from spark_lab.analysis import search as searched
from spark_lab.analysis.search import TUNED, UNTUNED
from spark_lab.schema import QuestionConfig
from spark_lab.sweeping import ending, launch, plan, record, sweep
from spark_lab.sweeping import progress as sweep_progress
from spark_lab.sweeping.plan import Plan, PlannedRun
from spark_lab.sweeping.worker import ME
from spark_lab.tracking import words
from spark_lab.tracking.store import Store
from spark_lab.tuning import lines, snapshot, storage
from spark_lab.tuning import study as studies
from spark_lab.tuning.progress import Watch
from spark_lab.tuning.search import Search
from spark_lab.tuning.worker import work

if TYPE_CHECKING:
    from optuna import Study

DONE, INCOMPLETE = 0, 1


def run(search: Search, command: list[str]) -> int:
    """Runs what is not done yet; the exit code. `command` is what was typed after spark-lab.

    Raises UserError where the folder, the storage or MLflow's store can't be used, or the storage
    holds another search.
    """
    if search.example.dry_run:
        print(lines.plan_text(search))
        return DONE
    terminal = Console(highlight=False)
    study = studies.open_study(search)
    stores = _open_stores(search)
    try:
        _search(search, study, terminal)
    finally:
        snapshot.write(search, study)
    found = searched.read(search.folder)
    assert found is not None
    # Commands that share a search end at the same time, and each run can be trained by one only.
    with FileLock(search.folder / ".conclude.lock"):
        errors, report = _conclude(search, found, terminal)
        record.copy_trials(search.folder, stores)
    return _say(search, found, errors, report, command, terminal)


def _open_stores(search: Search) -> list[Store]:
    return record.open_stores(_as_plan(search, [_example(search)]))


def _example(search: Search) -> PlannedRun:
    return PlannedRun(runs.trial_arm(0), search.seeds[0], search.example, ())


def _as_plan(search: Search, planned: list[PlannedRun]) -> Plan:
    return Plan(search.axes, search.name, tuple(planned), _question(search))


def _question(search: Search) -> QuestionConfig:
    """The file's, or what every search asks."""
    baseline = None if search.untuned is None or not search.fresh_seeds else UNTUNED
    asked = search.axes.question
    if asked is not None:
        return replace(asked, baseline=baseline)
    return QuestionConfig(
        asks="Has the search found something better than the untuned configuration?",
        primary=search.settings.metrics[0],
        baseline=baseline,
        answer="An interval of (tuned minus untuned), on fresh seeds, that leaves out zero.",
    )


def _search(search: Search, study: Study, terminal: Console) -> None:
    left = search.n_trials - lines.ended(study)
    if left <= 0:
        return
    size = words.number(search.n_trials, "trial")
    seeds = f" of {words.number(len(search.seeds), 'seed')}" if len(search.seeds) > 1 else ""
    done = f", {search.n_trials - left} done before" if left < search.n_trials else ""
    terminal.print(
        f"{search.name}: {size}{seeds}, {left} to run{done}, {search.workers} at a time",
        markup=False,
        soft_wrap=True,
    )
    with Watch(search, terminal):
        _train(search, min(search.workers, left), terminal)


def _train(search: Search, count: int, terminal: Console) -> None:
    """Where a worker is killed, new ones take over; not for ever, as a trial may be what kills them."""
    job = partial(work, search=search, main_process=ME)
    for _ in range(search.settings.max_failures):
        try:
            launch.launch_jobs(search.axes, job, count, search.example.root)
            return
        except launch.WorkerLost as lost:
            terminal.print(f"{lost}: others take over", markup=False, soft_wrap=True)
        except launch.LaunchError as error:  # what the workers have told is kept
            terminal.print(f"{search.name}: {error}", markup=False, soft_wrap=True)
            return


def _conclude(
    search: Search, found: searched.Searched, terminal: Console
) -> tuple[dict[str, str], Path | None]:
    """(errors by run, report). The chosen trial on fresh seeds beside the untuned configuration,
    once the search has all its trials."""
    chosen = found.chosen
    if chosen is None or found.ended < search.n_trials:
        return {}, None
    wanted = validation(search, chosen)
    plan.write(wanted)
    due = [run for run in wanted.runs if not run.done]
    errors = _validate(search, wanted, due, terminal) if due else {}
    stale = _is_older(search.folder / "report/report.html", search.folder / snapshot.NAME)
    return errors, sweep.conclude(wanted, fresh=bool(due) or stale)


def _is_older(report: Path, than: Path) -> bool:
    return not report.exists() or report.stat().st_mtime_ns < than.stat().st_mtime_ns


def validation(search: Search, chosen: searched.Trial) -> Plan:
    """The chosen parameters and the untuned configuration, paired by fresh seeds; without fresh
    seeds the chosen trial itself."""
    if not search.fresh_seeds:
        own = [search.trial_run(chosen.number, chosen.params, seed) for seed in search.seeds]
        return _as_plan(search, own)
    arms = [(f"{TUNED}-{chosen.number:03d}", chosen.params)]
    if search.untuned is not None:
        arms.insert(0, (UNTUNED, {}))
    fresh = [(arm, params, seed) for seed in search.fresh_seeds for arm, params in arms]
    return _as_plan(search, [search.run(*one) for one in fresh])


def _validate(
    search: Search, wanted: Plan, due: list[PlannedRun], terminal: Console
) -> dict[str, str]:
    seeds = words.number(len(search.fresh_seeds), "fresh seed")
    terminal.print(
        f"{search.name}: {' and '.join(wanted.arms)} on {seeds}, {len(due)} to run",
        markup=False,
        soft_wrap=True,
    )
    mode = search.example.tracking.console
    with sweep_progress.Watch(wanted.name, wanted.runs, due, mode, terminal):
        outcomes = launch.launch(search.axes, due)
    return {
        run.name: outcome.error
        for run, outcome in zip(due, outcomes, strict=True)
        if outcome.error is not None
    }


def _say(
    search: Search,
    found: searched.Searched,
    errors: dict[str, str],
    report: Path | None,
    command: list[str],
    terminal: Console,
) -> int:
    lines.say(search, found, terminal)
    chosen = found.chosen
    if chosen is not None and found.ended >= search.n_trials:
        complete = ending.say(validation(search, chosen), errors, report, command, terminal)
        return DONE if complete else INCOMPLETE
    terminal.print(
        f"\n{found.ended} of {search.n_trials} trials have ended ({storage.shown(search.storage)})."
        "\nThe same command goes on:\n  " + shlex.join(["spark-lab", *command]),
        markup=False,
        soft_wrap=True,
    )
    return INCOMPLETE
