"""Helper process: compares expressions with math-verify, each within a budget of processor time.

Protocol, on stdin and stdout: it writes "r" when ready, then for each line, a JSON list [answer,
gold], one byte: "1" if they are the same, else "0". It ends when stdin does.

A fork does the work. If a comparison outlives its budget the kernel kills that fork; the parent,
whose imports are done, answers "0" for it and forks the next one within milliseconds.
"""

from __future__ import annotations

import contextlib
import json
import logging
import mmap
import os
import resource
import signal
import warnings

from math_verify import parse, verify

PROCESSOR_SECONDS = 0.4
WALL_SECONDS = 0.8
MEMORY_BYTES = 2 << 30
# Fills the lazy caches of sympy and antlr, so that the first budget isn't spent on them.
WARM_UP = [
    (r"\frac{1}{2} + x", "x + 0.5"),
    ("x^2 - 1", "(x-1)(x+1)"),
    (r"\sqrt{8}", r"2\sqrt{2}"),
    ("(1, 2)", "(1,2)"),
    (r"\{1, 2\}", r"\{2, 1\}"),
    (r"\frac{\pi}{4}", r"0.25 \pi"),
    (r"\sin^2 x", r"1 - \cos^2 x"),
    (r"(-\infty, 3]", r"x \le 3"),
    (r"\log_2 8", "3"),
]


def main() -> None:
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    for answer, gold in WARM_UP:
        assert same(answer, gold), f"math-verify should find {answer} equal to {gold}"
    replies = _private_stdout()
    at_work = mmap.mmap(-1, 1)  # shared with the forks: 1 while a request is unanswered
    os.write(replies, b"r")
    while True:
        worker = os.fork()
        if worker == 0:
            serve(replies, at_work)
            os._exit(0)
        _, status = os.waitpid(worker, 0)
        if os.waitstatus_to_exitcode(status) == 0:
            return
        if at_work[0]:
            at_work[0] = 0
            os.write(replies, b"0")


def serve(replies: int, at_work: mmap.mmap) -> None:
    """Answers line by line until stdin ends; a timer that fires ends the process."""
    _limit_memory()
    with os.fdopen(0, "rb", closefd=False) as requests:
        for line in requests:
            at_work[0] = 1
            signal.setitimer(signal.ITIMER_PROF, PROCESSOR_SECONDS)
            signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
            answer, gold = json.loads(line)
            equal = same(answer, gold)
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            at_work[0] = 0
            os.write(replies, b"1" if equal else b"0")


def same(answer: str, gold: str) -> bool:
    """By math-verify, whose own time limits (signal.alarm) are switched off."""
    return verify(
        parse(rf"\boxed{{{gold}}}", parsing_timeout=None),
        parse(rf"\boxed{{{answer}}}", parsing_timeout=None),
        timeout_seconds=None,
    )


def _private_stdout() -> int:
    """Stdout for the protocol alone: what parsers print goes nowhere, as does their stderr."""
    replies = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return replies


def _limit_memory() -> None:
    # macOS refuses this limit; there the time limits alone have to do.
    with contextlib.suppress(ValueError, OSError):
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        allowed = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
        resource.setrlimit(resource.RLIMIT_AS, (allowed, hard))


if __name__ == "__main__":
    main()
