"""Searches for the tests, and trials whose training takes no time: their score is a formula."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from spark_lab import runs
from spark_lab.tuning import search as searches
from spark_lab.tuning import study as studies
from spark_lab.tuning.desk import Asked, Desk
from spark_lab.tuning.search import Search
from spark_lab.tuning.storage import place

SPACE = [
    "trainer.learning_rate=tag(log,interval(1e-5,1e-1))",
    "trainer.warmup_fraction=interval(0,0.9)",
    "trainer.group_size=2,4,8",
]
METRIC = "policy/accuracy"
_ROOT = "/nowhere"


def search(root: Path, *words: str, n: int = 40, space: Sequence[str] = SPACE) -> Search:
    """As the command line reads it, for `n` trials below `root`."""
    found = _read(words, tuple(space))
    example = replace(found.example, root=str(root))
    return replace(
        found,
        fixed=tuple(f"root={root}" if t == f"root={_ROOT}" else t for t in found.fixed),
        settings=replace(found.settings, n_trials=n),
        example=example,
        storage=place(found.settings.storage, runs.folder_of(example).parents[1]),
    )


@cache
def _read(words: tuple[str, ...], space: tuple[str, ...]) -> Search:
    """Composing every end of the space takes a second."""
    found = searches.read("config", ["hydra/sweeper=optuna", f"root={_ROOT}", *space, *words], True)
    assert found is not None
    return found


def desk(wanted: Search) -> Desk:
    """At the study, which is made if it is not there."""
    studies.open_study(wanted)
    return Desk(wanted)


def score(asked: Asked) -> float:
    """Best at a rate of 1e-3 and no warm-up."""
    off = math.log10(float(asked.params["trainer.learning_rate"])) + 3
    return 1.0 - 0.1 * off**2 - 0.2 * float(asked.params["trainer.warmup_fraction"])


def metrics_of(asked: Asked) -> dict[str, float]:
    return {
        METRIC: score(asked),
        "fixed/judge/pointwise_balanced_accuracy": 1.0 - score(asked) ** 2,
        "fixed/judge/parse_failure_rate": float(asked.params["trainer.warmup_fraction"]) / 10,
        "compute/generated_tokens": 1000.0 * float(asked.params["trainer.group_size"]),
    }


def finish(wanted: Search) -> list[Asked]:
    """Ask and tell until there is nothing to ask; the trials in the order they were asked for."""
    one, found = desk(wanted), []
    while (asked := one.ask()) is not None:
        found.append(asked)
        one.tell(asked.number, "complete", [metrics_of(asked)])
    one.close()
    return found
