"""Run folders as tables. What can't be read is left out and named; nothing is ever guessed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from spark_lab import runs
from spark_lab.errors import Problem, UserError
from spark_lab.tracking.jsonl import Row, read_rows, rollouts_name

_SEED = re.compile(r"seed(\d+)-")
_TEXT_COLUMNS = ("questions",)
# Metrics are means of 0 and 1 over at most some thousand rows; a larger difference is no rounding.
_AGREE = 1e-6


@dataclass(frozen=True, slots=True)
class RunData:
    """One run. `metrics` has a row per optimizer step, `evals` a row per evaluation.

    Columns are the metric names of the run folder; a value that was not logged is NaN. `problems`
    says in plain words what is missing, damaged or contradictory; `config` is empty where it is.
    """

    folder: Path
    sweep: str
    arm: str
    seed: int
    state: str
    config: dict[str, Any]
    status: dict[str, Any]
    metrics: pd.DataFrame
    evals: pd.DataFrame
    problems: list[str]

    @property
    def name(self) -> str:
        return f"{self.arm} seed{self.seed}"

    @property
    def questions(self) -> str | None:
        """The fingerprint of the evaluation questions, None where it is unknown or has changed."""
        found = self.evals["questions"].dropna().unique() if "questions" in self.evals else []
        return str(found[0]) if len(found) == 1 else None

    @property
    def final(self) -> dict[str, float] | None:
        """The metrics of the evaluation after the last step; None unless the run is done."""
        if self.state != "done" or self.evals.empty:
            return None
        last = self.evals.iloc[-1]
        if last["fraction"] < 1.0:
            return None
        measured = last.dropna().items()
        return {str(key): float(value) for key, value in measured if key not in _TEXT_COLUMNS}


class Items(NamedTuple):
    """The rollouts of one evaluation, a row each, and what was wrong with the file."""

    rows: pd.DataFrame
    problems: list[str]


def load_runs(paths: Iterable[Path]) -> list[RunData]:
    """All runs at or below the paths, each once, in order of their folders.

    Raises UserError for a path without any run.
    """
    folders: dict[Path, None] = {}
    for path in paths:
        found = runs.find_runs(path)
        if not found:
            raise UserError(_no_runs(path))
        folders |= dict.fromkeys(found)
    return [load_run(folder) for folder in folders]


def load_run(folder: Path) -> RunData:
    """Reads one run folder, finished or not. Raises UserError where there is none."""
    seed = _SEED.match(folder.name)
    if seed is None or not (folder / "config.yaml").exists():
        raise UserError(_no_runs(folder))
    problems: list[str] = []
    config = _readable(runs.read_config, folder, problems)
    status = _readable(runs.read_status, folder, problems)
    metrics = _table(folder / "metrics.jsonl", problems)
    evals = _table(folder / "eval.jsonl", problems)
    run = RunData(
        folder=folder,
        sweep=folder.parents[1].name,
        arm=folder.parent.name,
        seed=int(seed[1]),
        state=status.get("state", "unknown"),
        config=config,
        status=status,
        metrics=metrics,
        evals=evals,
        problems=problems,
    )
    problems += _incomplete(run)
    return run


def final_items(run: RunData) -> Items:
    """The rollouts of the last evaluation, for statistics paired by question.

    Empty, with the reason, where the file is missing or damaged or contradicts eval.jsonl.
    """
    if run.evals.empty:
        return Items(pd.DataFrame(), ["no evaluation"])
    last = run.evals.iloc[-1]
    path = run.folder / "rollouts" / rollouts_name("eval", int(last["step"]))
    if not path.exists():
        return Items(pd.DataFrame(), [f"{path.name} is missing"])
    found = read_rows(path)
    if found.problems:
        return Items(pd.DataFrame(), found.problems)
    strange = sum(not _is_rollout(row) for row in found.rows)
    if strange or not found.rows:
        count = f"{strange} of {len(found.rows)} rows are no rollouts" if strange else "empty"
        return Items(pd.DataFrame(), [f"{path.name}: {count}, left out"])
    return _agreeing(pd.DataFrame(found.rows), last, path.name)


def _is_rollout(row: Row) -> bool:
    return (
        isinstance(row.get("objective"), str)
        and isinstance(row.get("question"), int)
        and _is_share(row.get("reward"))
        and (row.get("sample") is None or _is_value(row["sample"]))
        and (row.get("p_yes") is None or _is_share(row["p_yes"]))
        and isinstance(row.get("source_correct"), bool | None)
        and all(isinstance(row.get(name), str | None) for name in ("set", "form"))
    )


def _is_share(value: Any) -> bool:
    return _is_value(value) and 0 <= value <= 1


def _agreeing(rows: pd.DataFrame, last: pd.Series, name: str) -> Items:
    greedy = rows[(rows["objective"] == "solve") & (rows["sample"] == 0)]
    counted, logged = greedy["reward"].mean(), last.get("policy/accuracy")
    if logged is not None and not abs(counted - logged) < _AGREE:
        problem = f"{name} gives policy accuracy {counted:.4f}, eval.jsonl says {logged:.4f}"
        return Items(pd.DataFrame(), [problem])
    return Items(rows, [])


def _readable(read: Any, folder: Path, problems: list[str]) -> dict[str, Any]:
    try:
        return read(folder)
    except UserError as error:
        problems += [f"{problem.where}: {problem.got}" for problem in error.problems]
        return {}


def _table(path: Path, problems: list[str]) -> pd.DataFrame:
    if not path.exists():
        problems.append(f"{path.name} is missing")
    found = read_rows(path)
    problems += found.problems
    rows: dict[int, Row] = {}
    for row in found.rows:
        step = row.get("step")
        if not isinstance(step, int):
            problems.append(f"{path.name}: a row without a step left out")
            continue
        if step in rows:
            problems.append(f"{path.name}: step {step} is there twice, the later one is used")
        rows[step] = _numbers(row, path.name, problems)
    table = pd.DataFrame([rows[step] for step in sorted(rows)])
    return table if "step" in table else pd.DataFrame(columns=["step", "time", "fraction"])


def _numbers(row: Row, name: str, problems: list[str]) -> Row:
    kept = {key: value for key, value in row.items() if key in _TEXT_COLUMNS or _is_value(value)}
    for key in row.keys() - kept.keys():
        problems.append(f"{name}: {key} at step {row['step']} is no number: {row[key]!r}")
    return kept


def _is_value(value: Any) -> bool:
    """A finite or infinite number; NaN is what was not logged."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and value == value


def _incomplete(run: RunData) -> Sequence[str]:
    problems = []
    if run.state != "done":
        step = run.metrics["step"].max() if len(run.metrics) else 0
        reason = f": {run.status['error']}" if run.status.get("error") else ""
        problems.append(f"not done, {run.state} at step {step}{reason}")
    elif run.final is None:
        problems.append("done, but the evaluation after the last step is missing")
    if "questions" in run.evals and run.evals["questions"].nunique() > 1:
        problems.append("the evaluation questions changed during the run")
    return problems


def _no_runs(path: Path) -> Problem:
    return Problem(
        where=str(path),
        got="no run folder" if path.exists() else "no such folder",
        expected="a run folder (seed<k>-<hash> with a config.yaml), or a folder of runs",
        fix="spark-lab runs ROOT lists the runs below a folder",
    )
