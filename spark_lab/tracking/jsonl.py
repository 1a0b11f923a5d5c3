"""The run folder's JSONL files: the one truth that MLflow, tables and reports are copied from."""

from __future__ import annotations

import gzip
import io
import json
import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from spark_lab.tracking import thumbnails

Row = dict[str, Any]


class RunLog:
    """Appends one row per optimizer step and evaluation, and one file of rollouts per step.

    Every line is flushed as it is written, so a killed run loses at most the line in flight.
    Floats round-trip exactly; non-finite ones are written as Python's NaN and Infinity.
    """

    def __init__(self, folder: Path):
        self._rollouts = folder / "rollouts"
        self._rollouts.mkdir(parents=True, exist_ok=True)
        self._steps = (folder / "metrics.jsonl").open("a", encoding="utf-8")
        self._evaluations = (folder / "eval.jsonl").open("a", encoding="utf-8")

    def step(self, row: Row) -> None:
        """Appends to metrics.jsonl: `step`, `time` (unix s), `fraction` of the budget, metrics."""
        _append(self._steps, row)

    def evaluation(self, row: Row) -> None:
        """Appends to eval.jsonl: `step`, `time`, `fraction`, `questions`, compute and metrics."""
        _append(self._evaluations, row)

    def rollouts(self, phase: str, step: int, rows: list[Row]) -> None:
        """Replaces rollouts/<phase>-<step>.jsonl.gz; see `write_rollouts`."""
        write_rollouts(self._rollouts, phase, step, rows)

    def close(self) -> None:
        self._steps.close()
        self._evaluations.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def write_rollouts(folder: Path, phase: str, step: int, rows: list[Row]) -> None:
    """Replaces <phase>-<step>.jsonl.gz in one move; equal rows give equal bytes.

    A row's "images" are pictures; written are the places of their thumbnails in `folder`.
    """
    target = folder / rollouts_name(phase, step)
    part = target.with_name(target.name + ".part")
    told = [
        row | {"images": thumbnails.keep(folder, row["images"])} if "images" in row else row
        for row in rows
    ]
    lines = "".join(json.dumps(row) + "\n" for row in told)
    part.write_bytes(gzip.compress(lines.encode(), mtime=0))
    os.replace(part, target)


@dataclass
class Rows:
    """The whole rows of a JSONL file, and in plain words what could not be read."""

    rows: list[Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_rows(path: Path) -> Rows:
    """Reads *.jsonl or *.jsonl.gz. Torn and unreadable lines are left out and named, never guessed.

    A missing file has no rows and no problem: whether it had to be there is the caller's to say.
    """
    if not path.exists():
        return Rows()
    found = Rows()
    lines = _lines(path, found.problems)
    for number, line in enumerate(lines, start=1):
        row = _parse(line)
        if row is not None:
            found.rows.append(row)
        elif number == len(lines):
            found.problems.append(f"{path.name}: torn last line {number} left out")
        else:
            found.problems.append(f"{path.name}: unreadable line {number} left out")
    return found


def rollouts_name(phase: str, step: int) -> str:
    """The name of a rollouts file; phase is "train", "eval" or "test_time" (outcomes)."""
    return f"{phase}-{step:06d}.jsonl.gz"


def rollout_files(folder: Path, phase: str) -> dict[int, Path]:
    """The rollouts files of a run by optimizer step, in order."""
    files = (folder / "rollouts").glob(f"{phase}-*.jsonl.gz")
    found = {path.name.removeprefix(f"{phase}-").removesuffix(".jsonl.gz"): path for path in files}
    return {
        int(step): found[step]
        for step in sorted(found, key=lambda s: s.zfill(20))
        if step.isdigit()
    }


def _append(file: io.TextIOBase, row: Row) -> None:
    file.write(json.dumps(row) + "\n")
    file.flush()


def _parse(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _lines(path: Path, problems: list[str]) -> list[bytes]:
    if path.suffix != ".gz":
        return path.read_bytes().splitlines()
    try:
        with gzip.open(path) as packed:
            return packed.read().splitlines()
    except (EOFError, OSError, zlib.error) as error:
        problems.append(f"{path.name}: damaged archive left out ({error})")
        return []
