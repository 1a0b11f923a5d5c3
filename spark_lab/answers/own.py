"""A Python function of the user's as verifier: `task.verifier=function:MODULE.NAME`.

    def same(answer: str, gold: str) -> bool: ...

It is imported only when it is named, from the installed packages or from the current directory, and
runs in this process without a time limit. It must return True or False for every text, whatever the
model wrote: an exception is a mistake in the function, not in the answer, and counting such answers
as wrong would poison the labels that judges are trained on. So it is refused, with the text that it
failed on: before anything starts for a few odd texts and for every gold answer, later by ending the
run, which goes on from its last checkpoint once the function is mended.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from pathlib import Path

from spark_lab.errors import Problem, UserError

_ODD = ("", " ", "4", "-1/2", "x", "nan", r"\frac{1}{2}", "{", "[1, 2", "\0", "½", "(" * 500)


def verify(path: str, answer: str, gold: str) -> bool:
    """What the function returns. UserError where it raises or returns anything but a truth value."""
    problem = _try(path, answer, gold)
    if isinstance(problem, Problem):
        raise UserError(problem)
    return problem


def unfit(path: str, gold: str) -> str | None:
    """Why the function does not accept a gold answer as its own answer; None where it does."""
    found = _try(path, gold, gold)
    if isinstance(found, Problem):
        return found.got
    return None if found else "wrong by its own verifier"


def check(path: str) -> list[Problem]:
    where = f"task.verifier=function:{path}"
    try:
        function = _load(path)
    except Exception as error:  # a module of the user's may raise anything when it is imported
        got = f"{type(error).__name__}: {error}"
        fix = "task.verifier=function:MODULE.NAME, the module in the current directory or installed"
        return [Problem(where, got, "a function that can be imported", fix)]
    if not callable(function):
        got = f"{path} is {type(function).__name__}"
        return [Problem(where, got, "a function of (answer, gold)", "name a function")]
    found = (_try(path, text, "4") for text in _ODD)
    return [problem for problem in found if isinstance(problem, Problem)][:1]


def digest(path: str) -> str:
    """12 hex digits of the function's file; what it imports is not looked at."""
    file = sys.modules[_load(path).__module__].__file__
    assert file is not None
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12]


@lru_cache(maxsize=16)
def _load(path: str) -> Callable[[str, str], bool]:
    module, dot, name = path.replace(":", ".").rpartition(".")
    if not dot:
        raise ImportError(f"{path!r} has no dot between module and function")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # at its end: a file here must not shadow a package
    return getattr(import_module(module), name)


def _try(path: str, answer: str, gold: str) -> bool | Problem:
    where = f"task.verifier=function:{path}"
    function = _load(path)
    try:
        found = function(answer, gold)
    except Exception as error:  # whatever it is, it is told
        got = f"{type(error).__name__}: {error}, of the answer {answer[:60]!r} to {gold[:60]!r}"
        fix = "return False for what it can't read"
        return Problem(where, got, "True or False, whatever the answer is", fix)
    if isinstance(found, bool):
        return found
    got = f"{found!r}"[:60] + f", of the answer {answer[:60]!r} to {gold[:60]!r}"
    return Problem(where, got, "True or False", "return bool(...)")
