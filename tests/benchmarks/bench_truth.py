"""Are the verdicts true? Simulated sweeps with known effects (truth_worlds.py).

Prints four tables: coverage of the candidate intervals; false verdicts of the shipped one under the
null after Holm's correction; its coverage; stated against observed power. Exits with 1 where a
promise is broken by more than Monte-Carlo error: at most 5 % family-wise false verdicts, 93-97 %
coverage, power within 5 points. About two minutes on one core.

    python tests/benchmarks/bench_truth.py [--sweeps 2000]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from truth_methods import METHODS
from truth_worlds import STRESS, WORLDS, World, sweeps, true_difference, with_effect

from spark_lab.analysis.intervals import Spread, half_width, p_value, two_way
from spark_lab.analysis.power import (
    minimum_detectable,
    power,
    seeds_needed,
)
from spark_lab.analysis.stats import holm

SEEDS = (3, 5, 10)
ARMS = 6
CHUNK = 200


@dataclass(frozen=True, slots=True)
class Check:
    """One promise and what was measured; `slack` is three standard errors of the simulation."""

    what: str
    measured: float
    low: float
    high: float
    slack: float

    @classmethod
    def of(cls, what: str, measured: float, low: float, high: float, count: int) -> Self:
        """Over `count` simulated sweeps."""
        edge = min(max(high if measured > high else low, 0.01), 0.99)
        return cls(what, measured, low, high, 3 * float(np.sqrt(edge * (1 - edge) / count)))

    @property
    def kept(self) -> bool:
        return self.low - self.slack <= self.measured <= self.high + self.slack


def null_errors(
    world: World, seeds: int, count: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Share of null sweeps with any false "better", and with any false verdict at all, after Holm."""
    better = wrong = 0
    for values in _chunks(world, ARMS, seeds, count, rng):
        mean, *parts = two_way(values)
        raw = p_value(mean, *parts, seeds, world.questions)
        rejected = np.array([holm(row) for row in raw]) <= 0.05
        better += (rejected & (mean > 0)).any(axis=1).sum()
        wrong += rejected.any(axis=1).sum()
    return better / count, wrong / count


def coverage(world: World, seeds: int, count: int, rng: np.random.Generator) -> tuple[float, float]:
    """Share of 95 % intervals that hold the true difference, and the share beyond them on top."""
    truth = true_difference(world, rng)
    held = above = 0
    for values in _chunks(world, 1, seeds, count, rng):
        mean, *parts = two_way(values[:, 0])
        half = half_width(*parts, seeds, world.questions, 0.05)
        held += (np.abs(mean - truth) <= half).sum()
        above += (mean - half > truth).sum()
    return held / count, above / count


def known_power(
    world: World, seeds: int, target: float, count: int, rng: np.random.Generator
) -> tuple[float, float]:
    """(stated, observed) power where the variance is known, at an effect that gives about `target`."""
    moved = findable(world, seeds, target, rng)
    stated = power(true_difference(moved, rng), true_spread(moved, seeds, rng))
    found = 0
    for values in _chunks(moved, 1, seeds, count, rng):
        mean, *parts = two_way(values[:, 0])
        found += (np.abs(mean) > half_width(*parts, seeds, world.questions, 0.05)).sum()
    return stated, found / count


def findable(world: World, seeds: int, target: float, rng: np.random.Generator) -> World:
    """The world with an effect that is found with about `target` power."""
    spread = true_spread(world, seeds, rng)
    grid = np.linspace(0, 8, 161) * spread.total**0.5
    wanted = float(np.interp(target, [power(effect, spread) for effect in grid], grid))
    return with_effect(world, wanted)


def repeat_power(share: float, seeds: int, count: int, rng: np.random.Generator) -> float:
    """How often a repeat finds the difference that a pilot called detectable with 80 % power.

    Normal differences whose variance is a `share` seeds', the rest question sampling.
    """
    questions = 256
    truth = Spread(share, 1 - share, seeds, questions)
    _, *pilot = _observed(truth, 0.0, count, rng)
    total = pilot[0] + pilot[1]
    ratios = np.linspace(0, 1, 41)
    table = [minimum_detectable(Spread(ratio, 1 - ratio, seeds, questions)) for ratio in ratios]
    effect = np.sqrt(total) * np.interp(pilot[0] / total, ratios, table)
    mean, *parts = _observed(truth, effect, count, rng)
    return float((np.abs(mean) > half_width(*parts, seeds, questions, 0.05)).mean())


def planned_power(share: float, seeds: int, count: int, rng: np.random.Generator) -> float:
    """How often a new sweep with the stated number of seeds finds the effect it was planned for."""
    questions = 256
    truth = Spread(share, 1 - share, seeds, questions)
    _, *pilot = _observed(truth, 0.0, count, rng)
    effect, found, planned = 2.2, 0.0, 0
    for by_seed, by_question in zip(*pilot, strict=True):
        first = Spread(by_seed, by_question, seeds, questions)
        needed = seeds_needed(first, effect)
        if needed is None:
            continue
        scaled = Spread(share * seeds / needed, 1 - share, needed, questions)
        found += power(effect, scaled)
        planned += 1
    return found / planned


def tables(count: int, rng: np.random.Generator) -> Iterator[tuple[str, list[Check]]]:
    """Each table as text with the promises that it checks."""
    yield _methods_table(min(count, 1000), rng), []
    yield _null_table(count, rng)
    yield _coverage_table(count, rng)
    yield _power_table(count, rng)


def _methods_table(count: int, rng: np.random.Generator) -> str:
    chosen = [WORLDS[1], WORLDS[2], WORLDS[4]]
    lines = [
        f"Coverage of 95 % intervals, {count} sweeps: n = {SEEDS} in three worlds",
        "",
    ]
    lines.append(f"{'':32}" + "".join(f"{world.name:>28}" for world in chosen))
    cells: dict[str, str] = dict.fromkeys(METHODS, "")
    for world in chosen:
        truth = true_difference(world, rng)
        for seeds in SEEDS:
            values = sweeps(world, 1, seeds, count, rng)[:, 0]
            for name, method in METHODS.items():
                low, high = method(values, rng)
                held = np.mean((low <= truth) & (truth <= high))
                cells[name] += f"{held:>{14 if seeds == 3 else 7}.3f}"
    return "\n".join(lines + [f"{name:32}{row}" for name, row in cells.items()])


def _null_table(count: int, rng: np.random.Generator) -> tuple[str, list[Check]]:
    lines = [
        f"False verdicts under the null, {ARMS} arms, Holm, {count} sweeps: better / any",
        "",
    ]
    checks = []
    for world in WORLDS:
        cells = ""
        for seeds in SEEDS:
            better, wrong = null_errors(world, seeds, count, rng)
            cells += f"{better:>9.3f} /{wrong:6.3f}"
            checks.append(
                Check.of(f"false verdicts, {world.name}, n = {seeds}", wrong, 0, 0.05, count)
            )
        lines.append(f"{world.name:32}{cells}")
    return "\n".join(lines), checks


def _coverage_table(count: int, rng: np.random.Generator) -> tuple[str, list[Check]]:
    lines = [
        f"Coverage at a true effect, {count} sweeps: n = {SEEDS}, then missed above",
        "",
    ]
    checks = []
    for world in (*WORLDS, STRESS):
        moved = with_effect(world, 0.02 if world.level else 0.05)
        cells, missed = "", ""
        for seeds in SEEDS:
            held, above = coverage(moved, seeds, count, rng)
            cells, missed = cells + f"{held:>9.3f}", missed + f"{above:>8.3f}"
            if world is not STRESS:
                name = f"coverage, {world.name}, n = {seeds}"
                checks.append(Check.of(name, held, 0.93, 0.97, count))
        lines.append(f"{world.name:32}{cells}   {missed}")
    lines.append(
        "The last world is beyond normal theory with so few seeds; it is shown, not promised."
    )
    return "\n".join(lines), checks


def _power_table(count: int, rng: np.random.Generator) -> tuple[str, list[Check]]:
    lines, checks = [f"Power, {count} sweeps: stated / observed at n = {SEEDS}", ""], []

    def add(name: str, seeds: int, stated: float, observed: float) -> str:
        label = f"power, {name}, n = {seeds}"
        checks.append(Check.of(label, observed, stated - 0.05, stated + 0.05, count))
        return f"{stated:>9.3f} /{observed:6.3f}"

    for world in (WORLDS[1], WORLDS[2], WORLDS[4]):
        for target in (0.3, 0.8):
            cells = "".join(
                add(world.name, seeds, *known_power(world, seeds, target, count, rng))
                for seeds in SEEDS
            )
            lines.append(f"{world.name + ', variance known':44}{cells}")
    for share in (1.0, 0.8, 0.4):
        rule = f"smallest detectable difference, {share:.0%} seeds"
        cells = "".join(
            add(rule, seeds, 0.8, repeat_power(share, seeds, count, rng)) for seeds in SEEDS
        )
        lines.append(f"{rule:44}{cells}")
    for share in (1.0, 0.8):
        rule = f"seeds needed, {share:.0%} seeds"
        cells = "".join(
            add(rule, seeds, 0.8, planned_power(share, seeds, 300, rng)) for seeds in SEEDS
        )
        lines.append(f"{rule:44}{cells}")
    return "\n".join(lines), checks


def _chunks(
    world: World, arms: int, seeds: int, count: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    for start in range(0, count, CHUNK):
        yield sweeps(world, arms, seeds, min(CHUNK, count - start), rng)


def true_spread(world: World, seeds: int, rng: np.random.Generator) -> Spread:
    parts = [two_way(values[:, 0])[1:] for values in _chunks(world, 1, seeds, 2000, rng)]
    by_seed, by_question = (float(np.concatenate(part).mean()) for part in zip(*parts, strict=True))
    return Spread(by_seed, by_question, seeds, world.questions)


def _observed(
    truth: Spread, effect: np.ndarray | float, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `count` normal sweeps would estimate: mean and the two parts of its variance."""
    mean = effect + np.sqrt(truth.total) * rng.standard_normal(count)
    seeds = truth.seeds * rng.chisquare(truth.n_seeds - 1, count) / (truth.n_seeds - 1)
    freedom = truth.n_questions - 1
    questions = truth.questions * rng.chisquare(freedom, count) / freedom
    return mean, seeds, questions


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", type=int, default=2000)
    count = parser.parse_args().sweeps
    rng = np.random.default_rng(2509_22624)
    began, broken = time.perf_counter(), []
    for text, checks in tables(count, rng):
        print(text, f"\n[{time.perf_counter() - began:.0f} s]\n", flush=True)
        broken += [check for check in checks if not check.kept]
    for check in broken:
        print(
            f"BROKEN {check.what}: {check.measured:.3f}, promised {check.low:.3f}-{check.high:.3f}"
        )
    print("all promises kept" if not broken else f"{len(broken)} promises broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
