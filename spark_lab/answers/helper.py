"""Helper processes that read model text within a time limit that holds in any thread (POSIX).

math-verify limits itself with `signal.alarm`, which works in the main thread only and is not obeyed
inside one long C operation (9^9^9^9); a regular expression can't be interrupted at all. So such
comparisons run in a helper process (`server.py`), one for each kind, that the kernel kills when its
processor time is used up. Processor time before wall time, because a busy machine should not turn a
right answer into a wrong one. A killed comparison doesn't touch the others: each starts a new
budget, and a new fork of the helper takes milliseconds.

A helper starts with the first call that needs it (about 0.6 s, once per process) and ends with the
process that started it.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

from spark_lab.errors import Problem, UserError

START_PATIENCE = 60.0  # seconds for the helper's imports
# Seconds of wall time; beyond them the helper itself is taken for dead. Longer than server.LIMITS.
PATIENCE = {"math": 65.0, "regex": 65.0, "reasoning_gym": 125.0}
_INSTALL = {
    "math": "pip install 'math-verify[antlr4-9-3]', or task.verifier=numeric",
    "regex": "task.verifier=exact",
    "reasoning_gym": "pip install 'spark-lab[reasoning-gym]'",
}


class Helper:
    """The helper process of one kind; calls from several threads take turns."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def ask(self, *texts: str) -> bool:
        request = json.dumps(texts).encode("ascii") + b"\n"
        with self._lock:
            for _ in range(2):
                reply = self._ask(self._process or self._start(), request)
                if reply in (b"0", b"1"):
                    return reply == b"1"
                self._kill()
                if reply is None:
                    return False
            return False

    def stop(self) -> None:
        with self._lock:
            if self._process is not None:
                self._kill()

    def _ask(self, process: subprocess.Popen[bytes], request: bytes) -> bytes | None:
        """The reply; None if there is none in time, b"" if the helper is gone (then try another)."""
        assert process.stdin is not None
        try:
            process.stdin.write(request)
        except BrokenPipeError:
            return b""
        return _read_byte(process, PATIENCE[self._kind])

    def _start(self) -> subprocess.Popen[bytes]:
        """Starts the helper and waits until its imports are done."""
        server = Path(__file__).with_name("server.py")
        # -P: the script's own folder must not shadow packages. A new session: Ctrl-C isn't for it.
        process = self._process = subprocess.Popen(
            [sys.executable, "-P", str(server), self._kind],
            env={**os.environ, "PYTHONHASHSEED": "0"},  # generators that draw from sets need it
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        assert process.stderr is not None
        with process.stderr as complaints:
            if _read_byte(process, START_PATIENCE) == b"r":
                return process
            self._kill()
            last_words = complaints.read().decode(errors="replace").strip().splitlines()
        raise UserError(
            Problem(
                where=f"task.verifier={self._kind}",
                got=last_words[-1] if last_words else "its helper process did not start",
                expected="a helper process that can import what it needs",
                fix=_INSTALL[self._kind],
            )
        )

    def _kill(self) -> None:
        """Ends the helper and the fork that works for it."""
        process, self._process = self._process, None
        assert process is not None and process.stdin is not None and process.stdout is not None
        # macOS refuses to signal a group whose leader is dead already.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdin.close()
        process.stdout.close()


def _read_byte(process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """One byte; None if the helper is silent for that long, b"" if it is gone."""
    assert process.stdout is not None
    poll = select.poll()  # select.select refuses file numbers above 1,023
    poll.register(process.stdout, select.POLLIN)
    return os.read(process.stdout.fileno(), 1) if poll.poll(1000 * seconds) else None


HELPERS = {kind: Helper(kind) for kind in PATIENCE}


def _fresh_helpers() -> None:
    """A forked child must not talk over its parent's pipes."""
    HELPERS.update({kind: Helper(kind) for kind in PATIENCE})


def _stop_all() -> None:
    for helper in HELPERS.values():
        helper.stop()


os.register_at_fork(after_in_child=_fresh_helpers)
atexit.register(_stop_all)
