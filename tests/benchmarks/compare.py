"""Two JSON files of `make bench` side by side: what got slower or larger beyond noise.

    make bench-compare                       # the last two in .bench/
    make bench-compare ARGS="OLD NEW"

Where TRL was measured in the same rounds, it says how much the machine has changed in between: what
is compared is SPARK's share of TRL's time, not its seconds. Exits with 1 where anything is worse.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats
from speed.measure import Row

FOLDER = Path(__file__).parents[2] / ".bench"
# A change counts where its interval at this level leaves 1 out, and where it is larger than this.
CONFIDENCE, SMALLEST = 0.99, 0.03


@dataclass(frozen=True, slots=True)
class Change:
    """new / old of one row, with its interval (none where a side was measured once)."""

    ratio: float
    low: float
    high: float

    @classmethod
    def of(cls, old: Row, new: Row) -> Change:
        """Ratio of geometric means; Welch's interval on the logarithms of the rounds."""
        logs = [np.log(_scores(row)) for row in (old, new)]
        shift = float(np.mean(logs[1]) - np.mean(logs[0]))
        if min(map(len, logs)) < 2:
            return cls(math.exp(shift), 0.0, math.inf)
        if all(np.ptp(values) == 0 for values in logs):
            return cls(*[math.exp(shift)] * 3)
        test = stats.ttest_ind(logs[1], logs[0], equal_var=False)
        low, high = test.confidence_interval(CONFIDENCE)
        return cls(math.exp(shift), math.exp(low), math.exp(high))

    @property
    def verdict(self) -> str:
        if self.low > 1 and self.ratio > 1 + SMALLEST:
            return "worse"
        if self.high < 1 and self.ratio < 1 - SMALLEST:
            return "better"
        return ""


def _scores(row: Row) -> list[float]:
    """SPARK's figures, as shares of TRL's where there are any."""
    return [1 / ratio for ratio in row.ratios] if row.trl else list(row.spark)


def compare(old: list[Row], new: list[Row]) -> dict[tuple[str, str], Change]:
    """The change of every row that both have."""
    before = {(row.section, row.name): row for row in old}
    return {
        key: Change.of(before[key], row)
        for row in new
        if (key := (row.section, row.name)) in before
    }


def load(path: Path) -> tuple[dict[str, str], list[Row]]:
    report = json.loads(path.read_text())
    return report["machine"], [Row(**row) for row in report["rows"]]


def table(changes: dict[tuple[str, str], Change]) -> Table:
    found = Table()
    for name in ("section", "", "new / old", f"{CONFIDENCE:.0%} interval", "verdict"):
        found.add_column(name, justify="left" if name in ("section", "") else "right")
    for (section, name), change in changes.items():
        once = change.high == math.inf
        interval = "measured once" if once else f"{change.low:.3f} to {change.high:.3f}"
        style = {"worse": "red", "better": "green"}.get(change.verdict)
        cells = (section, name, f"{change.ratio:.3f}", interval, change.verdict)
        found.add_row(*cells, style=style)
    return found


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, help="the older one, the newer one")
    files = parser.parse_args(words).files or sorted(FOLDER.glob("*.json"))[-2:]
    if len(files) != 2 or not all(path.is_file() for path in files):
        got = ", ".join(map(str, files)) or f"no files in {FOLDER}"
        parser.error(f"got {got}; expected two files of `make bench`")
    (left, old), (right, new) = map(load, files)
    for name in sorted(left.keys() | right.keys()):
        if left.get(name) != right.get(name):
            print(f"{name}: {left.get(name)} -> {right.get(name)}")
    changes = compare(old, new)
    Console(width=None if sys.stdout.isatty() else 130).print(table(changes))
    worse = [name for name, change in changes.items() if change.verdict == "worse"]
    for section, name in worse:
        print(f"worse: {section}, {name}: x {changes[section, name].ratio:.2f}")
    print(
        f"{len(worse)} of {len(changes)} rows are worse by more than {SMALLEST:.0%} and by more "
        "than noise. Rows that TRL went through as well are compared as shares of TRL's figure."
    )
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
