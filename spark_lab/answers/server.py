"""Helper process: compares answers of one kind, each within a budget of processor time.

    python server.py math|regex|reasoning_gym

Protocol, on stdin and stdout: it writes "r" when ready, then for each line, a JSON list of texts, one
byte: "1" if they are the same, else "0". It ends when stdin does.

A fork does the work. If a comparison outlives its budget the kernel kills that fork; the parent,
whose imports are done, answers "0" for it and forks the next one within milliseconds.
"""

from __future__ import annotations

import ast
import contextlib
import json
import logging
import mmap
import os
import re
import resource
import signal
import sys
import warnings
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module

Compare = Callable[..., bool]

# Seconds of processor time, and of wall time: that long only where processors are shared by a hundred,
# since a comparison that is given no processor is not a wrong answer.
LIMITS = {"math": (0.4, 60.0), "regex": (0.4, 60.0), "reasoning_gym": (4.0, 120.0)}
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


def main(kind: str) -> None:
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    compare = {"math": _math, "regex": _regex, "reasoning_gym": _reasoning_gym}[kind]()
    replies = _private_stdout()
    at_work = mmap.mmap(-1, 1)  # shared with the forks: 1 while a request is unanswered
    os.write(replies, b"r")
    while True:
        worker = os.fork()
        if worker == 0:
            serve(compare, LIMITS[kind], replies, at_work)
            os._exit(0)
        _, status = os.waitpid(worker, 0)
        if os.waitstatus_to_exitcode(status) == 0:
            return
        if at_work[0]:
            at_work[0] = 0
            os.write(replies, b"0")


def serve(compare: Compare, limits: tuple[float, float], replies: int, at_work: mmap.mmap) -> None:
    """Answers line by line until stdin ends; a timer that fires ends the process."""
    _limit_memory()
    processor, wall = limits
    with os.fdopen(0, "rb", closefd=False) as requests:
        for line in requests:
            at_work[0] = 1
            signal.setitimer(signal.ITIMER_PROF, processor)
            signal.setitimer(signal.ITIMER_REAL, wall)
            equal = compare(*json.loads(line))
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            at_work[0] = 0
            os.write(replies, b"1" if equal else b"0")


def _math() -> Compare:
    """By math-verify, whose own time limits (signal.alarm) are switched off."""
    from math_verify import parse, verify

    def same(answer: str, gold: str) -> bool:
        return verify(
            parse(rf"\boxed{{{gold}}}", parsing_timeout=None),
            parse(rf"\boxed{{{answer}}}", parsing_timeout=None),
            timeout_seconds=None,
        )

    for answer, gold in WARM_UP:
        assert same(answer, gold), f"math-verify should find {answer} equal to {gold}"
    return same


def _regex() -> Compare:
    compiled = lru_cache(maxsize=256)(re.compile)

    def matches(answer: str, pattern: str) -> bool:
        return compiled(pattern).fullmatch(answer) is not None

    return matches


# These scorers hand the answer to Python's eval; they get a reader of literals in its place.
_READ_LITERALS = (
    "algorithmic.string_insertion",
    "algorithmic.spiral_matrix",
    "algorithmic.binary_matrix",
    "games.n_queens",
)
# These hand it to sympy's parse_expr, which evaluates Python too: sums and formulas only.
_SUM = re.compile(r"(?:[-0-9.+/()=\s]|(?<!\*)\*(?!\*))*")
_FORMULA = re.compile(
    r"(?:[-0-9.+*/(),=\s]|(?<![\w.])(?:a?(?:sin|cos|tan)h?|exp|log|ln|sqrt|pi|[A-Za-z])(?![\w.]))*"
)
_READ = {
    "countdown": _SUM,
    "puzzle24": _SUM,
    "simple_integration": _FORMULA,
    "intermediate_integration": _FORMULA,
    "polynomial_multiplication": _FORMULA,
}


def _reasoning_gym() -> Compare:
    """The generator makes its question anew, and its own scorer compares the answer with it."""
    import reasoning_gym

    for name in _READ_LITERALS:
        import_module(f"reasoning_gym.{name}").eval = ast.literal_eval

    @lru_cache(maxsize=16)
    def dataset(generator: str):
        settings = json.loads(generator)
        return reasoning_gym.create_dataset(settings.pop("name"), **settings)

    @lru_cache(maxsize=4096)
    def entry(generator: str, number: int):
        return dataset(generator)[number]

    def scored(answer: str, generator: str, number: str) -> bool:
        allowed = _READ.get(json.loads(generator)["name"])
        if allowed is not None and not allowed.fullmatch(answer):
            return False
        question = entry(generator, int(number))
        return bool(dataset(generator).score_answer(answer, question) >= 1.0)

    return scored


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
    main(sys.argv[1])
