"""What a search spends on a trial itself: to ask for it, watch it and be told, with 500 others stored."""

from __future__ import annotations

import time
from dataclasses import replace
from random import Random
from tempfile import TemporaryDirectory

import optuna

from spark_lab.tuning import search as searches
from spark_lab.tuning import study as studies
from spark_lab.tuning.desk import Desk
from spark_lab.tuning.search import Search
from speed.measure import Row

ROUNDS = 20
STORED = 500
SPACE = [
    "trainer.learning_rate=tag(log,interval(1e-5,1e-1))",
    "trainer.warmup_fraction=interval(0,0.9)",
    "trainer.group_size=2,4,8",
]
METRIC = "policy/accuracy"
CASES = {
    "tpe, journal": [],
    "tpe, sqlite": ["hydra.sweeper.storage=sqlite:///{folder}/study.db"],
    "random, journal": ["hydra/sweeper/sampler=random"],
    "nsgaii, journal": ["hydra/sweeper/sampler=nsgaii"],
}
# The most seconds that a trial may take of a search in a journal.
LIMIT = 0.05


def rows(rounds: int | None = None, stored: int = STORED, **_) -> list[Row]:
    found = []
    for name, words in CASES.items():
        with TemporaryDirectory() as folder:
            given = [word.format(folder=folder) for word in words]
            seconds = _measure(_search(folder, given), rounds or ROUNDS, stored)
        notes = {"stored": str(stored), "limit s": f"{LIMIT:g}" if "journal" in name else ""}
        found.append(Row("search", f"a trial, {name}", "s", (), seconds, notes=notes))
    return found


def _search(folder: str, words: list[str]) -> Search:
    fixed = ["hydra/sweeper=optuna", "hydra/sweeper/pruner=median", f"root={folder}"]
    found = searches.read("config", [*fixed, *SPACE, *words], True)
    assert found is not None
    return replace(found, settings=replace(found.settings, n_trials=10**6))


def _measure(search: Search, rounds: int, stored: int) -> tuple[float, ...]:
    """Wall seconds of each of `rounds` trials: asked, reported nine times, told."""
    _fill(search, stored)
    desk = Desk(search)
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        asked = desk.ask()
        assert asked is not None
        for rung in range(1, 10):
            desk.report(asked.number, {rung: 0.9 + rung / 1000})
        desk.tell(asked.number, "complete", [{METRIC: 0.95}])
        seconds.append(time.perf_counter() - began)
    desk.close()
    return tuple(seconds)


def _fill(search: Search, stored: int) -> None:
    study, draw = studies.open_study(search), Random(0)
    kinds = {d.key: d.distribution() for d in search.space.dimensions}
    study.sampler = optuna.samplers.RandomSampler(0)
    study.add_trials(
        optuna.trial.create_trial(
            params={
                "trainer.learning_rate": 10 ** draw.uniform(-5, -1),
                "trainer.warmup_fraction": draw.uniform(0, 0.9),
                "trainer.group_size": draw.choice(("2", "4", "8")),
            },
            distributions=kinds,
            value=draw.random(),
            intermediate_values={rung: draw.random() for rung in range(1, 10)},
        )
        for _ in range(stored)
    )
