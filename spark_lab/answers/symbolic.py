"""math-verify behind a time limit that holds in any thread.

math-verify limits itself with `signal.alarm`, which works in the main thread only and is not obeyed
inside one long C operation (9^9^9^9). So comparisons run in a helper process (`math_server`) that
the kernel kills when its processor time is used up. Processor time and not wall time, because a
busy machine must not turn a right answer into a wrong one.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
from pathlib import Path

PATIENCE = 0.9  # seconds of wall time until an answer is wrong, whatever the reason
START_PATIENCE = 60.0  # seconds for the helper's imports, once per process


class _Helper:
    """The helper process of this process; calls from several threads take turns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def same(self, answer: str, gold: str) -> bool:
        request = json.dumps([answer, gold]).encode("ascii") + b"\n"
        with self._lock:
            process = self._process or self._start()
            reply = self._ask(process, request)
            if reply not in (b"0", b"1"):
                self._stop()
            return reply == b"1"

    def _ask(self, process: subprocess.Popen[bytes], request: bytes) -> bytes:
        assert process.stdin is not None
        try:
            process.stdin.write(request)
        except BrokenPipeError:
            return b""
        return self._reply(process, PATIENCE)

    def _reply(self, process: subprocess.Popen[bytes], seconds: float) -> bytes:
        """One byte, or b"" if the helper is silent for that long or gone."""
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], seconds)
        return os.read(process.stdout.fileno(), 1) if ready else b""

    def _start(self) -> subprocess.Popen[bytes]:
        """Starts the helper and waits until its imports are done."""
        server = Path(__file__).with_name("math_server.py")
        # -P: the script's own folder must not shadow packages. A new session: Ctrl-C isn't for it.
        process = subprocess.Popen(
            [sys.executable, "-P", str(server)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._process = process
        if self._reply(process, START_PATIENCE) != b"r":
            self._stop()
            raise RuntimeError("the math-verify helper did not start: is math-verify installed?")
        return process

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


_helper = _Helper()


def same(answer: str, gold: str) -> bool:
    """Whether the two are the same expression, False if that can't be told in time."""
    return _helper.same(answer, gold)


def _fresh_helper() -> None:
    """A forked child must not talk over its parent's pipes."""
    global _helper
    _helper = _Helper()


os.register_at_fork(after_in_child=_fresh_helper)
