"""Are the verdicts true that a report makes of run folders? Simulated sweeps with a known effect.

Every sweep is written as run folders and read like a real one: the numbers must be those that the
arrays give, to the last digit, and the verdicts must keep what bench_truth.py measures on many more
sweeps. Exits with 1 where one does not. About four minutes on one core.

    python tests/benchmarks/bench_truth_folders.py [--sweeps 1000]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench_truth import Check, findable, true_spread
from truth_worlds import WORLDS, World, outcomes, true_difference

# The run folders' writer is the tests'.
sys.path.insert(0, str(Path(__file__).parent.parent))

from simulated import record_run

from spark_lab.analysis.intervals import estimate
from spark_lab.analysis.load import load_runs
from spark_lab.analysis.power import power
from spark_lab.analysis.report.arms import group
from spark_lab.analysis.report.contrasts import Comparison, contrast_arms

BASELINE, ARMS = "none", ("pointwise", "pairwise", "reflect")
# Seeds, and the share of the sweeps that have as many.
SHARES = {3: 0.5, 5: 0.35, 10: 0.15}


@dataclass
class Tally:
    """Over the sweeps of one number of seeds. The first arm has the effect, the others none."""

    sweeps: int = 0
    false_better: int = 0
    false_any: int = 0
    held: int = 0
    found: int = 0

    def add(self, found: Comparison, truth: float) -> None:
        tags = {one.pairs.arm: verdict.tag for one, verdict in zip(*_both(found), strict=True)}
        null = [tags[arm] for arm in ARMS[1:]]
        self.sweeps += 1
        self.false_better += "better" in null
        self.false_any += "better" in null or "worse" in null
        for contrast in found.contrasts:
            effect = truth if contrast.pairs.arm == ARMS[0] else 0.0
            self.held += contrast.estimate.low <= effect <= contrast.estimate.high
        first = found.contrasts[0].estimate
        self.found += not first.low <= 0 <= first.high

    def checks(self, seeds: int, stated: float) -> list[Check]:
        """Intervals of one sweep share its baseline: they count as one each, not as three."""
        n = self.sweeps
        rows = [
            ("sweeps with a false better", self.false_better / n, 0.0, 0.05),
            ("sweeps with a false verdict", self.false_any / n, 0.0, 0.05),
            ("intervals that hold the truth", self.held / (n * len(ARMS)), 0.93, 0.97),
            (f"effect found (stated {stated:.2f})", self.found / n, stated - 0.05, stated + 0.05),
        ]
        return [Check.of(f"n = {seeds}: {what}", *rest, n) for what, *rest in rows]


def read_back(right: np.ndarray, root: Path, name: str) -> Comparison:
    """Write one sweep [1 + arms, seeds, questions] below `root`, and compare its arms as a report does.

    Raises ValueError where the folders don't give the arrays' own numbers.
    """
    for arm, answered in zip((BASELINE, *ARMS), right, strict=True):
        for seed, row in enumerate(answered):
            record_run(root, arm, seed, row, sweep=name)
    found = contrast_arms(group(load_runs([root / name])))
    expected = [estimate(arm.astype(float) - right[0]) for arm in right[1:]]
    for contrast, wanted in zip(found.contrasts, expected, strict=True):
        single = contrast.estimate
        if (single.mean, single.p_value) != (wanted.mean, wanted.p_value):
            raise ValueError(f"{name}: the run folders give {single}, the arrays {wanted}")
    return found


def measure(
    world: World, seeds: int, count: int, target: float, rng: np.random.Generator
) -> list[Check]:
    """The checks over `count` sweeps with an effect that is found with about `target` power."""
    moved = findable(world, seeds, target, rng)
    truth = true_difference(moved, rng)
    tally = Tally()
    for index in range(count):
        with tempfile.TemporaryDirectory() as folder:
            right = outcomes(moved, len(ARMS), seeds, 1, rng)[0]
            tally.add(read_back(right, Path(folder), f"sweep{index}"), truth)
    return tally.checks(seeds, power(truth, true_spread(moved, seeds, rng)))


def _both(found: Comparison) -> tuple[list, list]:
    return found.contrasts, found.verdicts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", type=int, default=1000)
    count = parser.parse_args().sweeps
    world = next(world for world in WORLDS if world.questions == 64)
    rng = np.random.default_rng(2509_22624)
    began, checks = time.perf_counter(), []
    print(f"{count} sweeps of {1 + len(ARMS)} arms as run folders, {world.questions} questions\n")
    for seeds, share in SHARES.items():
        for check in measure(world, seeds, round(share * count), 0.7, rng):
            print(f"{check.what:48}{check.measured:>8.3f}{'' if check.kept else '   BROKEN'}")
            checks.append(check)
        print(f"[{time.perf_counter() - began:.0f} s]\n", flush=True)
    broken = sum(not check.kept for check in checks)
    print("all promises kept" if not broken else f"{broken} promises broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
