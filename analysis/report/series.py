"""Arms as curves: evaluations and training metrics of the seeds on a common axis of compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from spark_lab.analysis.curves import aligned, on_grid, seed_band
from spark_lab.analysis.figures.curves import Curve
from spark_lab.analysis.load import RunData
from spark_lab.analysis.report.arms import Arm
from spark_lab.analysis.report.measures import COMPUTE
from spark_lab.errors import Problem, UserError

# Points of a curve: a row per optimizer step, or hundreds of evaluations, are noise in a figure.
BINS = 40
OBJECTIVES = ("solve", "pointwise", "pairwise", "reflect")


def compute_axis(arms: Sequence[Arm], wanted: str | None = None) -> str:
    """The compute column of all curves: the one that is wanted, or the first that all runs have.

    Raises UserError where a shown run with evaluations lacks the wanted one.
    """
    tables = [run.evals for arm in arms for run in arm.shown if len(run.evals)]
    shared = [name for name in COMPUTE if all(name in table for table in tables)]
    if wanted is None:
        return shared[0] if shared else "step"
    if wanted in shared:
        return wanted
    names = [axis_name(name) for name in shared]
    got = f"{axis_name(wanted)}, which not every run has measured"
    fix = f"--axis {names[0]}" if names else "leave it out"
    raise UserError(Problem("--axis", got, f"one of {', '.join(names)}", fix))


def axis_name(column: str) -> str:
    """As it is typed: `compute/generated_tokens` -> `generated_tokens`, `step` -> `steps`."""
    return "steps" if column == "step" else column.removeprefix("compute/")


def evaluation_curve(arm: Arm, metric: str, axis: str) -> Curve | None:
    """A metric of the evaluations with its band over seeds; None without two evaluations."""
    return _curve([thinned(_xy(run.evals, axis, metric)) for run in arm.shown], arm)


def training_curve(
    arm: Arm, values: Callable[[pd.DataFrame], pd.Series | None], axis: str
) -> Curve | None:
    """`values` of metrics.jsonl, averaged over equal stretches of compute, with its band."""
    series = []
    for run in arm.shown:
        found = values(run.metrics) if axis in run.metrics else None
        if found is not None:
            table = pd.DataFrame({"x": run.metrics[axis], "y": found}).dropna()
            series.append(_binned(table["x"].to_numpy(float), table["y"].to_numpy(float)))
    return _curve(series, arm)


def thinned(values: np.ndarray) -> np.ndarray:
    """Evaluations [..., n] as at most BINS: the first, the last, and means of stretches between."""
    count = values.shape[-1]
    if count <= BINS:
        return values
    inner = np.array_split(np.arange(1, count - 1), BINS - 2)
    groups = [np.array([0]), *inner, np.array([count - 1])]
    return np.stack([values[..., group].mean(axis=-1) for group in groups], axis=-1)


def over_objectives(name: str) -> Callable[[pd.DataFrame], pd.Series | None]:
    """train/<objective>/<name>, each objective weighed by its completions."""

    def values(metrics: pd.DataFrame) -> pd.Series | None:
        weights = {
            f"train/{objective}/{name}": f"train/{objective}/count"
            for objective in OBJECTIVES
            if {f"train/{objective}/{name}", f"train/{objective}/count"} <= set(metrics)
        }
        if not weights:
            return None
        amounts = metrics[list(weights)].to_numpy(float)
        counts = metrics[list(weights.values())].to_numpy(float)
        counts = np.where(np.isnan(amounts) | np.isnan(counts), 0.0, counts)
        total = counts.sum(axis=1)
        summed = (np.nan_to_num(amounts) * counts).sum(axis=1)
        means = np.divide(summed, total, out=np.full(len(total), np.nan), where=total > 0)
        return pd.Series(means, index=metrics.index)

    return values


def column(name: str) -> Callable[[pd.DataFrame], pd.Series | None]:
    return lambda metrics: metrics.get(name)


def together(arm: Arm, metrics: Sequence[str]) -> list[np.ndarray] | None:
    """The metrics at the evaluations that every shown seed has, each [seeds, evaluations].

    The last of each seed is one of them, though runs of one budget end a step or two apart.
    """
    tables = [_complete(run, metrics) for run in arm.shown]
    tables = [table for table in tables if table is not None]
    if not tables:
        return None
    steps = sorted(set.intersection(*(set(table.index[:-1]) for table in tables)))
    if not steps:
        return None
    rows = [pd.concat([table.loc[steps], table.iloc[-1:]]) for table in tables]
    return [np.stack([row[one].to_numpy(float) for row in rows]) for one in metrics]


def _complete(run: RunData, metrics: Sequence[str]) -> pd.DataFrame | None:
    if not set(metrics) <= set(run.evals):
        return None
    table = run.evals.set_index("step")[list(metrics)].dropna()
    return table if len(table) else None


def _xy(table: pd.DataFrame, axis: str, metric: str) -> np.ndarray:
    """[2, evaluations]: compute and metric."""
    if not {axis, metric} <= set(table):
        return np.empty((2, 0))
    return table[[axis, metric]].dropna().to_numpy(float).T


def _curve(series: Sequence[np.ndarray], arm: Arm) -> Curve | None:
    usable = [one for one in series if one.shape[1] > 1 and (np.diff(one[0]) > 0).all()]
    if not usable:
        return None
    if arm.finished:
        usable = aligned(usable)
    grid = max((x for x, _ in usable), key=len)
    return Curve(grid, seed_band(np.stack([on_grid(x, y, grid) for x, y in usable])))


def _binned(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[2, at most BINS]: means over equal stretches of `x`, which increases."""
    if len(x) <= BINS:
        return np.stack([x, y])
    edges = np.linspace(x[0], x[-1], BINS + 1)
    index = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, BINS - 1)
    count = np.bincount(index, minlength=BINS)
    means = np.bincount(index, weights=y, minlength=BINS) / np.maximum(count, 1)
    places = np.bincount(index, weights=x, minlength=BINS) / np.maximum(count, 1)
    return np.stack([places, means])[:, count > 0]
