"""The process of one run: what kills it, or breaks its GPU context, leaves the other runs alone."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from functools import partial
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType

from spark_lab import runs
from spark_lab.errors import UserError
from spark_lab.schema import Config

BAD_INPUT = 2
PRUNED = 3
INTERRUPTED = 130
_GRACE_SECONDS = 20.0


def main(
    config: Config, overrides: list[str], log: Path, parent: Connection | None, place: str
) -> None:
    """Train in the folder `place`, with everything that is printed going to `log`. Exit codes as of
    the command line.

    A `parent` at the other end of a pipe is asked after each evaluation whether to go on.
    """
    # Python starts a process where its parent was started, not where that is now.
    os.chdir(place)
    _print_into(log)
    _stop_when_orphaned()
    from spark_lab import runner

    try:
        runner.run(config, overrides, None if parent is None else partial(_ask, parent))
    except runs.Pruned:
        sys.exit(PRUNED)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _ask(parent: Connection) -> bool:
    """Whether the run is to end. A parent that is gone stops it anyway."""
    try:
        parent.send(None)
        return parent.recv()
    except (EOFError, OSError):
        raise KeyboardInterrupt from None


def _print_into(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(target, sys.stdout.fileno())
    os.dup2(target, sys.stderr.fileno())
    os.close(target)


def _stop_when_orphaned() -> None:
    """Nobody would collect this run, and its lock would be in the way of the next command."""
    parent = parent_process()
    if parent is None:
        return
    stopping = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        # A second interrupt would tear what the first one is tidying up.
        if not stopping.is_set():
            stopping.set()
            signal.default_int_handler(number, frame)

    def watch() -> None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(_GRACE_SECONDS)
        os._exit(INTERRUPTED)

    # A queue's notice before it takes the machine away; it may come to every process of a job.
    for notice in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
        signal.signal(notice, interrupt)
    threading.Thread(target=watch, daemon=True).start()
