"""What a launcher's worker does for one run: skip it, or run it in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from spark_lab import runs
from spark_lab.errors import UserError
from spark_lab.schema import Config
from spark_lab.sweeping import child, slots

# Imported once by each worker and shared by its runs. Not where there are GPUs: a process that is
# forked after CUDA was asked about can't use it.
_SHARED = ("spark_lab.build", "spark_lab.observer", "spark_lab.training.callbacks")
_STOP_SECONDS = 30.0
_LOOK_SECONDS = 0.5
_stopped = threading.Event()
# Of this process alone, on any host: a pid may be met again on another one.
ME = f"{uuid.uuid4().hex}-{os.getpid()}"


@dataclass(frozen=True)
class Outcome:
    """How a run ended: done, pruned, failed or stopped. `retry` where another attempt may end otherwise."""

    state: str
    error: str | None = None
    retry: bool = False


def is_child_of(main_process: str) -> bool:
    """Whether this process was started by that one, which is still there (see ME)."""
    return os.getppid() == int(main_process.rpartition("-")[2])


def run_one(
    config: Config,
    overrides: list[str],
    *,
    workers: int | None,
    main_process: str,
    hopeless: Callable[[], bool] | None = None,
) -> Outcome:
    """Never raises for a run's sake: a failure is told by the outcome.

    `workers` is how many of these share the machine (None: the launcher hands out its parts),
    `main_process` is ME of the process that the user started. `hopeless` is asked after each of the
    run's evaluations; its yes ends the run as pruned. The folder of the run's sweep is there already.
    """
    folder = runs.folder_of(config)
    if not folder.parents[1].is_dir():
        error = (
            f"{os.uname().nodename} does not see {folder.parents[1]}: root=PATH that all hosts see"
        )
        return Outcome("failed", error)
    ended = _ended(config, folder)
    if ended is not None:
        return ended
    if workers is not None:
        slots.pin(Path(config.root) / ".slots", workers)
    if main_process != ME:
        _be_a_worker()
    while True:
        _wait_for_another(folder)
        ended = _ended(config, folder)
        if ended is not None:
            return ended
        outcome = _attempts(config, overrides, hopeless)
        # Another process may have been faster to begin.
        if outcome.state != "failed" or not runs.is_written(folder):
            return outcome


def _ended(config: Config, folder: Path) -> Outcome | None:
    """How the run ended before; None where it has to be trained."""
    try:
        state = runs.read_status(folder).get("state")
    except UserError as error:
        return Outcome("failed", str(error))
    return Outcome(state) if state in ("done", "pruned") and not config.force else None


def _attempts(config: Config, overrides: list[str], hopeless: Callable[[], bool] | None) -> Outcome:
    outcome = Outcome("stopped")
    for attempt in range(1 + config.retry):
        if _stopped.is_set():
            break
        # What a failed attempt has reached is not deleted again.
        outcome = _attempt(
            replace(config, force=config.force and attempt == 0), overrides, hopeless
        )
        if not outcome.retry:
            break
    return outcome


def _wait_for_another(folder: Path) -> None:
    """As long as another process trains this run: a job that outlived its command, or a run whose
    worker was killed, which takes a moment to see that and let go of its folder."""
    while runs.is_written(folder):
        time.sleep(_LOOK_SECONDS)


def _be_a_worker() -> None:
    """In a process that the launcher made, which is the parent of the runs."""
    # Ctrl-C reaches the run itself; the main process then ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A run takes this over from its parent, and knows nothing of joblib's own method.
    multiprocessing.set_start_method("forkserver", force=True)


def log_of(config: Config) -> Path:
    """Where a run of a sweep prints: beside the run folders, as a run may fail before it has one."""
    return (
        runs.folder_of(config).parents[1] / "logs" / f"{runs.arm_of(config)}-seed{config.seed}.log"
    )


def _attempt(config: Config, overrides: list[str], hopeless: Callable[[], bool] | None) -> Outcome:
    folder, log = runs.folder_of(config), log_of(config)
    before = log.stat().st_size if log.exists() else 0
    code = _run(config, overrides, log, hopeless)
    if code == 0:
        return Outcome("done")
    if code == child.PRUNED:
        return Outcome("pruned")
    if code in (child.INTERRUPTED, -signal.SIGINT):
        _stopped.set()
        return Outcome("stopped")
    if code < 0:
        error = f"killed by {signal.Signals(-code).name}" + (
            " (out of memory?)" if -code == signal.SIGKILL else ""
        )
        if (folder / "config.yaml").exists():
            runs.write_status(folder, state="failed", error=error)
        return Outcome("failed", error, retry=True)
    if code == child.BAD_INPUT:  # trying again would end the same way
        return Outcome("failed", _printed(log, before))
    error = runs.read_status(folder).get("error") or _printed(log, before).splitlines()[-1]
    return Outcome("failed", error, retry=True)


def _run(
    config: Config, overrides: list[str], log: Path, hopeless: Callable[[], bool] | None
) -> int:
    """The exit code of the run's process, which is answered as long as it asks."""
    here, there = multiprocessing.Pipe()
    with here, there:
        process = _start(config, overrides, log, None if hopeless is None else there)
        there.close()
        try:
            if hopeless is not None:
                _answer(here, process, hopeless)
            process.join()
        except (KeyboardInterrupt, SystemExit) as leaving:
            # At Ctrl-C the run was interrupted as well; a job that is preempted leaves by itself.
            if isinstance(leaving, SystemExit):
                os.kill(process.pid, signal.SIGINT)
            # It is closing its files.
            process.join(_STOP_SECONDS)
            process.kill()
            raise
    assert process.exitcode is not None
    return process.exitcode


def _answer(here: Connection, process: ForkServerProcess, hopeless: Callable[[], bool]) -> None:
    while here in connection.wait([here, process.sentinel]):
        try:
            here.recv()
        except (EOFError, OSError):  # it has ended
            return
        verdict = hopeless()
        with suppress(OSError):
            here.send(verdict)


def _start(
    config: Config, overrides: list[str], log: Path, parent: Connection | None
) -> ForkServerProcess:
    context = multiprocessing.get_context("forkserver")
    if not slots.devices():
        context.set_forkserver_preload(list(_SHARED))
    process = context.Process(target=child.main, args=(config, overrides, log, parent, os.getcwd()))
    process.start()
    return process


def _printed(log: Path, start: int) -> str:
    if not log.exists():
        return "its process did not start"
    with log.open(encoding="utf-8", errors="replace") as lines:
        lines.seek(start)
        return lines.read().strip() or "no message"
