"""Whole commands, start to end: a run beside the same with nothing shared, a comparison, a report.

"TRL" is the run with trainer.shared_prompts=off, where TRL computes each prompt for each row.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from speed.commands import Spent, spend
from speed.measure import Row

sys.path.insert(0, str(Path(__file__).parents[2]))
from simulated import simulate_run

ROUNDS = 1
# The run of `make demo` is the default.
DEMO: list[str] = []
# Two arms, two seeds, in about two minutes by one worker.
SWEEP = ["-m", "objective=none,spark", "seed=0,1", "budget.limit=150000", "tracking.console=plain"]
ARMS = (
    "none",
    "pointwise",
    "pairwise",
    "reflect",
    "pointwise+pairwise",
    "pointwise+reflect",
    "all",
)
SEEDS, EVALUATIONS, QUESTIONS = 5, 200, 64


def rows(rounds: int | None = None, **_) -> list[Row]:
    count = rounds or ROUNDS
    return [_run(DEMO, count), _comparison(SWEEP, count), _report(ARMS, SEEDS, EVALUATIONS, count)]


def _run(words: Sequence[str], rounds: int) -> Row:
    """In turns, as the machine's pace drifts."""
    off, on = [], []
    for _ in range(rounds):
        off.append(_once([*words, "trainer.shared_prompts=off"]))
        on.append(_once(words))
    walls = (tuple(one.wall for one in found) for found in (off, on))
    return Row("whole", "a run", "s", *walls, notes=_notes(on))


def _comparison(words: Sequence[str], rounds: int) -> Row:
    """`speedup`: how many times as fast two workers are as one, the report included."""
    two = [*words, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    alone = [_once(words) for _ in range(rounds)]
    found = [_once(two) for _ in range(rounds)]
    ratio = sum(one.wall for one in alone) / sum(one.wall for one in found)
    # The workers' children are not the command's: neither their CPU time nor their size is known.
    notes = {"1 worker s": f"{alone[0].wall:.0f}", "speedup": f"{ratio:.2f}"}
    return Row("whole", "4 runs, 2 workers", "s", (), tuple(o.wall for o in found), notes=notes)


def _report(arms: Sequence[str], seeds: int, evaluations: int, rounds: int) -> Row:
    with TemporaryDirectory() as folder:
        for arm in arms:
            for seed in range(seeds):
                simulate_run(
                    Path(folder),
                    arm,
                    seed,
                    sweep="s",
                    questions=QUESTIONS,
                    evaluations=evaluations,
                    steps=evaluations,
                )
        found = [spend(["report", f"{folder}/s"], 0, folder) for _ in range(rounds)]
    name = f"a report: {len(arms)} arms x {seeds} seeds x {evaluations} evaluations"
    return Row("whole", name, "s", (), tuple(one.wall for one in found), notes=_notes(found))


def _once(words: Sequence[str]) -> Spent:
    """In a folder of its own: the same command twice is done already."""
    with TemporaryDirectory() as folder:
        return spend(words, 0, folder)


def _notes(found: Sequence[Spent]) -> dict[str, str]:
    cpu = sorted(one.cpu for one in found)[len(found) // 2]
    peak = max(one.peak for one in found)
    return {"CPU s": f"{cpu:.0f}", "peak of a process GiB": f"{peak:.2f}"}
