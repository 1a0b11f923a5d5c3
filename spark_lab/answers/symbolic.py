"""math-verify behind a time limit that holds in any thread (POSIX).

math-verify limits itself with `signal.alarm`, which works in the main thread only and is not obeyed
inside one long C operation (9^9^9^9). So comparisons run in a helper process (`math_server`) that
the kernel kills when its processor time is used up. Processor time before wall time, because a busy
machine should not turn a right answer into a wrong one. A killed comparison doesn't touch the
others: each starts a new budget, and a new fork of the helper takes milliseconds.

The helper starts with the first call that needs it (about 0.6 s, once per process) and ends with
the process that started it.
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
from functools import lru_cache
from pathlib import Path

from spark_lab.errors import Problem, UserError

PATIENCE = 0.9  # seconds of wall time; beyond them the helper itself is taken for dead
START_PATIENCE = 60.0  # seconds for the helper's imports


class _Helper:
    """The helper process of this process; calls from several threads take turns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def same(self, answer: str, gold: str) -> bool:
        request = json.dumps([answer, gold]).encode("ascii") + b"\n"
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
        return _read_byte(process, PATIENCE)

    def _start(self) -> subprocess.Popen[bytes]:
        """Starts the helper and waits until its imports are done."""
        server = Path(__file__).with_name("math_server.py")
        # -P: the script's own folder must not shadow packages. A new session: Ctrl-C isn't for it.
        process = self._process = subprocess.Popen(
            [sys.executable, "-P", str(server)],
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
                where="task.verifier=math",
                got=last_words[-1] if last_words else "math-verify did not start",
                expected="a helper process that imports math-verify",
                fix="pip install 'math-verify[antlr4-9-3]', or task.verifier=numeric",
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


_helper = _Helper()


@lru_cache(maxsize=4096)  # the rollouts of a group often agree
def same(answer: str, gold: str) -> bool:
    """Whether the two are the same expression; False if that can't be told in time.

    Not symmetric: of a gold answer "5" the equation "x = 5" is accepted. Comma-separated values
    are compared as a set. Raises UserError if math-verify can't be imported.
    """
    return _helper.same(answer, gold)


def _fresh_helper() -> None:
    """A forked child must not talk over its parent's pipes."""
    global _helper
    _helper = _Helper()


os.register_at_fork(after_in_child=_fresh_helper)
atexit.register(lambda: _helper.stop())
