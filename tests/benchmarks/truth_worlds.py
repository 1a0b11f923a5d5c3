"""Simulated sweeps whose true differences are known, to hold the statistics against.

A run answers Q questions; the chance of a right answer is

    logistic(difficulty[q] + effect[arm] + shared[s] + luck[arm, s] + knack[arm, q])

with `shared` what a seed does to every arm, `luck` what it does to one arm and `knack` which
questions an arm is good at. The target of inference is the difference of the expected accuracies
over new seeds and new questions, obtained here from a million draws.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

DRAWS = 1_000_000


@dataclass(frozen=True, slots=True)
class World:
    """`level` and the standard deviations are on the logit scale, `effect` shifts the first arm."""

    name: str
    questions: int = 256
    level: float = 0.0
    difficulty: float = 1.5
    luck: float = 0.2
    luck_law: str = "normal"
    shared: float = 0.1
    knack: float = 0.3
    effect: float = 0.0


WORLDS = (
    World("seeds hardly differ", luck=0.05),
    World("ordinary"),
    World("seeds differ much", luck=0.6),
    World("arms know other questions", knack=1.0),
    World("questions outweigh seeds", luck=0.02, knack=2.0),
    World("heavy-tailed seeds", luck=0.3, luck_law="student"),
    World("skewed seeds", luck=0.3, luck_law="skewed"),
    World("near the ceiling", level=3.5, luck=0.4),
    World("64 questions", questions=64),
    World("1,024 questions", questions=1024),
)
STRESS = World("one arm's seeds skewed", luck=0.6, luck_law="skewed, first arm only")


def sweeps(world: World, arms: int, seeds: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Paired differences of `arms` arms to one baseline: float32 [count, arms, seeds, questions].

    The first arm carries `world.effect`, the others none.
    """
    right = outcomes(world, arms, seeds, count, rng)
    return right[:, 1:].astype(np.float32) - right[:, :1]


def outcomes(
    world: World, arms: int, seeds: int, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Right answers of a baseline and of `arms` arms: bool [count, 1 + arms, seeds, questions]."""
    shape = (count, arms + 1, seeds, 1)
    logits = rng.normal(world.level, world.difficulty, (count, 1, 1, world.questions))
    logits = logits + rng.normal(0, world.shared, (count, 1, seeds, 1))
    logits = logits + world.knack * rng.standard_normal((count, arms + 1, 1, world.questions))
    luck = _luck(world, shape, rng)
    luck[:, 1] += world.effect
    return rng.random((count, arms + 1, seeds, world.questions), np.float32) < expit(
        (logits + luck).astype(np.float32)
    )


def true_difference(world: World, rng: np.random.Generator) -> float:
    """Expected accuracy of the first arm minus the baseline's, over seeds and questions."""
    background = rng.normal(world.level, world.difficulty, DRAWS)
    background += rng.normal(0, np.hypot(world.shared, world.knack), DRAWS)
    luck = _luck(world, (DRAWS, 2, 1, 1), rng)[:, :, 0, 0]
    if "first arm" not in world.luck_law:
        luck[:, 0] = luck[:, 1]
    return float(
        (expit(background + luck[:, 1] + world.effect) - expit(background + luck[:, 0])).mean()
    )


def with_effect(world: World, difference: float) -> World:
    """The same world with the first arm moved by about `difference` in accuracy (locally linear)."""
    step = replace(world, effect=0.3)
    slope = true_difference(step, np.random.default_rng(0)) / 0.3
    return replace(world, effect=difference / slope)


def _luck(world: World, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    normal = rng.standard_normal(shape)
    if world.luck_law == "student":
        normal = rng.standard_t(3, shape) / np.sqrt(3)
    elif world.luck_law == "skewed":
        normal = rng.exponential(1.0, shape) - 1.0
    elif world.luck_law != "normal":
        normal = 0.2 * normal
        normal[:, 1] = 1.0 - rng.exponential(1.0, shape[:1] + shape[2:])
    return world.luck * normal
