"""What SPARK costs and saves beside TRL's GRPOTrainer; are verdicts true, do searches survive?

    make bench                               # everything: an hour of one core
    make bench ARGS="judge memory"           # some sections
    make bench ARGS="scoring --rounds 9"

Both trainers go through the same windows in turns, in one process. Tables are printed, every single
figure goes to .bench/<time>-<commit>.json, and `make bench-compare` sets two such files side by
side. Judge windows use a random model: the architecture of Qwen2.5-0.5B in bf16 on a GPU, one of
23 M weights in fp32 on a CPU. Exits with 1 where a promise of the statistics is broken,
or a killed search has lost or repeated a trial.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from dataclasses import asdict
from pathlib import Path

# Before torch is imported. One thread: two would measure how well small matrices are split up.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

from rich.console import Console
from speed import commands, growth, judge, machine, memory, scoring, search, solve, step, whole
from speed.measure import CLOCK, ON_GPU, Row
from speed.scales import SCALES
from speed.table import table

SECTIONS = {
    module.__name__.partition(".")[2]: module
    for module in (solve, scoring, judge, step, memory, growth, search, commands, whole)
}
TRUTH, KILLS = "truth", "kills"
FOLDER = machine.ROOT / ".bench"


def main(words: list[str]) -> int:
    given = _arguments(words)
    warnings.simplefilter("ignore")
    wanted = given.sections or [*SECTIONS, TRUTH, KILLS]
    measured = [name for name in wanted if name in SECTIONS]
    if measured:
        _measure(measured, given)
    here, commands = Path(__file__).parent, []
    if TRUTH in wanted:
        commands += [[sys.executable, file] for file in sorted(here.glob("bench_truth*.py"))]
    if KILLS in wanted:
        commands.append([sys.executable, "-m", "pytest", "-n0", here / "bench_kills.py"])
    codes = [subprocess.call(command, cwd=machine.ROOT) for command in commands]
    return int(any(codes))


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join([*SECTIONS, TRUTH, KILLS])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {names}; default all")
    usual = "qwen2.5-0.5b" if ON_GPU else "small"
    parser.add_argument("--model", choices=SCALES, default=usual, help="of the judge windows")
    parser.add_argument("--rounds", type=int, help="instead of each section's own number")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for the JSON file")
    given = parser.parse_args(words)
    for name in given.sections:
        if name not in (*SECTIONS, TRUTH, KILLS):
            parser.error(f"got {name}; expected some of {names}")
    if given.rounds is not None and given.rounds < 1:
        parser.error(f"got --rounds {given.rounds}; expected 1 or more")
    return given


def _measure(names: list[str], given: argparse.Namespace) -> None:
    began, console = time.time(), Console(width=None if sys.stdout.isatty() else 150)
    where, rows = machine.describe() | {"model": given.model}, []
    console.print(", ".join(f"{name} {value}" for name, value in where.items()))
    for name in names:
        found = SECTIONS[name].rows(scale=SCALES[given.model], rounds=given.rounds)
        _show(console, name, found)
        rows += found
        # After each section: an interrupted run keeps what it has measured.
        path = _write(given.folder, where, rows, began)
    console.print(f"\n{path}  ({time.time() - began:.0f} s)")


def _show(console: Console, name: str, found: list[Row]) -> None:
    title = SECTIONS[name].__doc__.partition("\n")[0]
    unit = {
        "memory": "MiB",
        "commands": "wall seconds",
        "search": "wall seconds",
        "whole": "wall seconds",
    }.get(name, CLOCK)
    console.print(f"\n[bold]{name}[/bold]: {title}")
    console.print(table(found))
    note = f"Medians ± half the width of the middle half; {unit}."
    if any(row.bound for row in found):
        note += " Bound: the ratio of positions, G (P + C) / (P + G C); attention saves more."
    console.print(note, style="dim")


def _write(folder: Path, where: dict[str, str], rows: list[Row], began: float) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(began))
    path = folder / f"{stamp}-{where['commit']}.json"
    report = {"machine": where, "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(report, indent=1))
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
