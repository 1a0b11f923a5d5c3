"""The generators of reasoning-gym (Stojanovski et al. 2025, arXiv 2505.24760), each with its own scorer.

A question is made from its number and the generator's settings, so its true answer is handed on as
"17: 42": the number by which the scorer makes the question anew, and the stored answer, which is only
shown. An answer is right if the scorer gives full marks; what it gives for less is 0 here, as SPARK's
judges are trained on right and wrong. Scorers run in a helper process (`answers.server`), where what
they would evaluate as Python is only read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from spark_lab.errors import Problem, UserError, unknown
from spark_lab.records import Question
from spark_lab.schema import ReasoningGymConfig
from spark_lab.tasks.task import Task

SECTION = "task.reasoning_gym"
# A generator is asked for at most so many times the questions that are wanted; some repeat themselves.
_SPARE = 4
_SHOWN = 200
_NAMES = "from reasoning_gym.factory import DATASETS; print(*sorted(DATASETS))"


def load(config: ReasoningGymConfig, verifier: str) -> Task:
    """Distinct questions; the held-out ones come first. UserError where there are too few."""
    problems = check(config, verifier)
    if problems:
        raise UserError(*problems)
    wanted = config.train_size + config.eval_size
    generator = _generator(config, _SPARE * wanted)
    rows = _questions(generator, wanted)
    assert not isinstance(rows, Problem), "its settings were checked"
    fit = [row for row in rows if row["fit"]]
    if len(fit) <= config.eval_size:
        got = f"{len(rows)} distinct questions of {config.generator}, {len(fit)} with a fit scorer"
        fix = f"another generator, a smaller {SECTION}.eval_size, or settings with more variety"
        expected = f"more than {config.eval_size}, which are held out"
        raise UserError(Problem(SECTION, got, expected, fix))
    counts = {"train": len(fit) - config.eval_size, "eval": config.eval_size}
    if len(rows) > len(fit):
        unfit = "whose own scorer rejects the stored answer or accepts nonsense"
        counts[unfit] = len(rows) - len(fit)
    if len(rows) < wanted:
        counts["fewer than asked for, as the generator repeats itself"] = wanted - len(rows)
    held_out, train = fit[: config.eval_size], fit[config.eval_size :]
    return Task(_numbered(train), _numbered(held_out), f"{verifier}:{generator}", counts)


def _numbered(rows: list[dict[str, Any]]) -> list[Question]:
    return [
        Question(index, row["question"], f"{row['number']}: {_shown(row['answer'])}")
        for index, row in enumerate(rows)
    ]


def _shown(answer: str | None) -> str:
    return "whatever fits" if answer is None else answer[:_SHOWN]


def check(config: ReasoningGymConfig, verifier: str) -> list[Problem]:
    """Makes two questions, to see whether the generator takes its settings."""
    own = {"name", "seed", "size"} & config.settings.keys()
    if own:
        name = min(own)
        fix = f"leave it out: {SECTION} has keys of its own for it"
        return [Problem(f"{SECTION}.settings.{name}", name, "settings of the generator", fix)]
    found = _questions(_generator(config, 2), 2)
    return [found] if isinstance(found, Problem) else []


def _generator(config: ReasoningGymConfig, size: int) -> str:
    fixed = {"name": config.generator, "seed": config.seed, "size": size}
    return json.dumps(config.settings | fixed, sort_keys=True)


@lru_cache(maxsize=8)
def _questions(generator: str, wanted: int) -> tuple[dict[str, Any], ...] | Problem:
    script = Path(__file__).with_name("gym_questions.py")
    done = _python("-P", str(script), generator, str(wanted))
    if done.returncode == 0:
        return tuple(map(json.loads, done.stdout.splitlines()))
    settings = json.loads(generator)
    name = settings["name"]
    said = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
    if "No module named 'reasoning_gym'" in said:
        fix = "pip install 'spark-lab[reasoning-gym]'"
        return Problem("task=reasoning_gym", "reasoning-gym is not installed", "the extra", fix)
    if "not registered" in said:
        names = _python("-c", _NAMES).stdout.split()
        return unknown(f"{SECTION}.generator", name, names, f"{SECTION}.generator=")
    expected = f"settings that the generator {name} takes"
    return Problem(f"{SECTION}.settings", said[:200], expected, f"'+{SECTION}.settings.KEY=VALUE'")


def _python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
