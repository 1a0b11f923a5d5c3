"""Ten rollouts of an arm to read: what it was asked, what it wrote, and how that was graded."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spark_lab.analysis.load import RunData
from spark_lab.analysis.report.arms import Arm
from spark_lab.tracking.jsonl import Row, read_rows, rollout_files

# Of ten; where an objective has fewer, the others fill up.
SHARES = {"solve": 4, "pointwise": 2, "pairwise": 2, "reflect": 2}
LONGEST = 2000
_THUMBNAIL = re.compile(r"images/[\w-]+\.(png|jpg)")
_TASK = {"solve": "solves", "pointwise": "judges", "pairwise": "compares", "reflect": "reflects"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One graded completion; all texts are the model's or the task's and must be escaped.

    `images`: data URIs of what the question shows.
    """

    task: str
    question: str
    prompt: str
    completion: str
    label: str
    verdict: str
    reward: float
    right: bool
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Samples:
    """An arm's samples, and where they are from or why there are none."""

    arm: str
    source: str
    chosen: tuple[Sample, ...]


def of_arm(arm: Arm) -> Samples:
    """Ten rollouts of the first seed's last evaluation, right and wrong ones in turn.

    Rows are taken at equal distances in the file, never picked by what they say.
    """
    for run in (*arm.finished, *arm.runs):
        found = _last_evaluation(run)
        if found is not None:
            step, rows = found
            folder = run.folder / "rollouts"
            chosen = tuple(_sample(row, folder) for row in choose(rows))
            return Samples(arm.name, f"{run.name}, evaluation at step {step}", chosen)
    return Samples(arm.name, "no rollouts of an evaluation can be read", ())


def choose(rows: Sequence[Row]) -> list[Row]:
    """Ten of the rows by SHARES."""
    chosen: list[Row] = []
    for objective, share in SHARES.items():
        own = [row for row in rows if row["objective"] == objective]
        right = [row for row in own if row["correct"]]
        wrong = [row for row in own if not row["correct"]]
        half = max(share // 2, share - len(right))
        shown_wrong = _spread(wrong, min(half, len(wrong)))
        chosen += _spread(right, min(share - len(shown_wrong), len(right))) + shown_wrong
    missing = sum(SHARES.values()) - len(chosen)
    taken = {id(row) for row in chosen}
    rest = [row for row in rows if id(row) not in taken]
    return chosen + _spread(rest, min(missing, len(rest)))


def _last_evaluation(run: RunData) -> tuple[int, list[Row]] | None:
    for step, path in sorted(rollout_files(run.folder, "eval").items(), reverse=True):
        whole = [row for row in read_rows(path).rows if _is_whole(row)]
        if whole:
            return step, whole
    return None


def _is_whole(row: Row) -> bool:
    return (
        {"correct", "prompt", "completion"} <= row.keys()
        and isinstance(row.get("objective"), str)
        and isinstance(row.get("reward"), int | float)
        and isinstance(row.get("sample"), int | None)
        and isinstance(row.get("images", []), list)
    )


def _spread(rows: Sequence[Row], count: int) -> list[Row]:
    return [rows[(2 * index + 1) * len(rows) // (2 * count)] for index in range(count)]


def _sample(row: Row, folder: Path) -> Sample:
    return Sample(
        task=_task(row),
        question=_text(row.get("question")),
        prompt=_cut(_text(row["prompt"])),
        completion=_cut(_text(row["completion"])),
        label=_text(row.get("label")),
        verdict="unreadable" if row.get("answer") is None else _cut(_text(row["answer"])),
        reward=float(row["reward"]),
        right=bool(row["correct"]),
        images=tuple(filter(None, (_embedded(folder, name) for name in row.get("images", ())))),
    )


def _embedded(folder: Path, name: Any) -> str | None:
    """A thumbnail as a data URI; None where it is gone, or no file that was kept as one."""
    found = _THUMBNAIL.fullmatch(str(name))
    if found is None or not (folder / found[0]).is_file():
        return None
    kind = {"png": "png", "jpg": "jpeg"}[found[1]]
    data = base64.b64encode((folder / found[0]).read_bytes()).decode()
    return f"data:image/{kind};base64,{data}"


def _task(row: Row) -> str:
    words = _TASK.get(row["objective"], str(row["objective"]))
    details = [_set(row)]
    if row["objective"] == "solve" and row.get("sample") is not None:
        named = {0: "its answer", -1: "greedy"}
        details.append(named.get(row["sample"], f"sample {row['sample']}"))
    if row.get("source_correct") is not None and row["objective"] in ("pointwise", "reflect"):
        details.append("a right solution" if row["source_correct"] else "a wrong solution")
    if row.get("swapped"):
        details.append("swapped")
    return ", ".join([words, *filter(None, details)])


def _set(row: Row) -> str:
    return {"fixed": "fixed set", "live": "own answers", "test_time": "test time"}.get(
        str(row.get("set")), ""
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _cut(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]} \N{HORIZONTAL ELLIPSIS} ({len(text) - LONGEST:,} more characters)"
