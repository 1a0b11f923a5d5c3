"""The process of one run: what kills it, or breaks its GPU context, leaves the other runs alone."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from multiprocessing import connection, parent_process
from pathlib import Path
from types import FrameType

from spark_lab.errors import UserError
from spark_lab.schema import Config

BAD_INPUT = 2
INTERRUPTED = 130
_GRACE_SECONDS = 20.0


def main(config: Config, overrides: list[str], log: Path) -> None:
    """Train, with everything that is printed going to `log`. Exit codes as of the command line."""
    _print_into(log)
    _stop_when_orphaned()
    from spark_lab import runner

    try:
        runner.run(config, overrides)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


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

    signal.signal(signal.SIGINT, interrupt)
    threading.Thread(target=watch, daemon=True).start()
