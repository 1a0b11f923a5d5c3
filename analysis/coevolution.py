"""Do policy and judge grow together? Both over compute, and one against the other."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spark_lab.analysis import style
from spark_lab.analysis.load import RunData, load_run
from spark_lab.analysis.skills import BAND_SEEDS, Curve, skill_curves, trials

ROW_SIZE = (9.6, 4.4)
# Of the height and the width of a panel.
LABEL_GAP = 0.052
LABEL_WIDTH = 0.3


# Column, divisor, words with the unit.
AXES = {
    "compute/generated_tokens": (1e6, "generated tokens (millions)"),
    "compute/trained_tokens": (1e6, "trained tokens (millions)"),
    "compute/rollouts": (1e3, "rollouts (thousands)"),
    "compute/updates": (1.0, "updates"),
    "compute/flops": (1e12, "training compute (TFLOPs)"),
    "compute/seconds": (60.0, "training time (minutes)"),
    "step": (1.0, "optimizer steps"),
}


def figure(
    run_or_runs: RunData | Sequence[RunData], axis: str = "compute/generated_tokens"
) -> Figure:
    """Left: held-out skills over compute. Right: policy against judge, start to end. A row per arm.

    One run has Wilson intervals over its questions, several seeds of an arm t intervals over seeds.
    Raises ValueError for an unknown axis or runs without any evaluation on it.
    """
    if axis not in AXES:
        raise ValueError(f"no axis {axis!r}; there are {', '.join(AXES)}")
    given = [run_or_runs] if isinstance(run_or_runs, RunData) else list(run_or_runs)
    runs = [run for run in given if axis in run.evals and len(run.evals)]
    if not runs:
        raise ValueError(f"no evaluations over {axis}")
    arms: dict[str, list[RunData]] = {}
    for run in runs:
        arms.setdefault(run.arm, []).append(run)
    width, height = ROW_SIZE
    with style.applied():
        drawn = Figure(figsize=(width, height * len(arms)), layout="constrained")
        rows = drawn.subfigures(len(arms), 1, squeeze=False)[:, 0]
        for row, (arm, seeds) in zip(rows, arms.items(), strict=True):
            left, right = row.subplots(1, 2, width_ratios=(1.42, 1))
            curves = skill_curves(seeds, axis)
            _over_compute(left, curves, axis)
            _portrait(right, curves)
            row.suptitle(_headline(arm, seeds), x=0.012, ha="left", fontsize=11.5, weight="bold")
            row.supxlabel(
                _caption(seeds, curves), x=0.012, ha="left", fontsize=8, color=style.QUIET
            )
    return drawn


def save(run_folder: Path) -> list[Path]:
    """Writes figures/coevolution.svg and .png into a run folder; nothing before an evaluation."""
    run = load_run(run_folder)
    if run.evals.empty:
        return []
    return style.save(figure(run), run_folder / "figures" / "coevolution")


def _over_compute(axes: Axes, curves: list[Curve], axis: str) -> None:
    divisor, words = AXES[axis]
    for curve in curves:
        mark = style.SKILL_MARKS[curve.skill.key]
        compute = curve.compute / divisor
        axes.fill_between(compute, curve.low, curve.high, color=mark.colour, alpha=0.13, lw=0)
        axes.plot(
            compute,
            curve.mean,
            color=mark.colour,
            marker=mark.marker,
            markeredgecolor="white",
            markeredgewidth=0.6,
            clip_on=False,
            zorder=3,
        )
    axes.set_title("Held-out skill over training")
    axes.set_xlabel(words)
    axes.set_ylabel("accuracy on held-out questions (%)")
    axes.set_xlim(left=0)
    axes.set_ylim(_limits(curves))
    style.percent_axis(axes)
    _label_ends(axes, curves, divisor)


def _limits(curves: list[Curve]) -> tuple[float, float]:
    lowest = min(float(np.nanmin(curve.low)) for curve in curves)
    return max(0.0, np.floor(10 * lowest - 0.2) / 10), 1.02


def _label_ends(axes: Axes, curves: list[Curve], divisor: float) -> None:
    ends = [(curve.skill.key, float(curve.mean[-1])) for curve in curves]
    for curve, height in zip(curves, _apart(axes, ends), strict=True):
        words = f"{curve.skill.words} {100 * curve.mean[-1]:.0f}"
        _label(axes, curve, words, (curve.compute[-1] / divisor, height), 8)


def _label(axes: Axes, curve: Curve, words: str, at: tuple[float, float], offset: float) -> None:
    """Writes in the curve's colour beside a point, on the side of the offset (points)."""
    axes.annotate(
        words,
        xy=at,
        xytext=(offset, 0),
        textcoords="offset points",
        ha="left" if offset > 0 else "right",
        va="center",
        color=style.SKILL_MARKS[curve.skill.key].colour,
        weight="bold",
        fontsize=9,
        annotation_clip=False,
    )


def _apart(axes: Axes, wanted: list[tuple[str, float]]) -> list[float]:
    """The heights of labels in the order given, moved up where two would overlap."""
    bottom, top = axes.get_ylim()
    gap = LABEL_GAP * (top - bottom)
    placed: dict[str, float] = {}
    highest = -np.inf
    for key, height in sorted(wanted, key=lambda label: label[1]):
        highest = placed[key] = max(height, highest + gap)
    over = max(0.0, highest - top)
    return [placed[key] - over for key, _ in wanted]


def _portrait(axes: Axes, curves: list[Curve]) -> None:
    """Judge over policy accuracy, one path per judge from its hollow start to its filled end."""
    axes.set_title("Judge against policy")
    axes.set_xlabel("policy accuracy (%)")
    axes.set_ylabel("judge accuracy (%)")
    policy = next((curve for curve in curves if curve.skill.key == "policy"), None)
    judges = [curve for curve in curves if curve.skill.judge]
    if policy is None or not judges:
        axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes)
        return
    lowest = [float(np.nanmin(curve.mean)) for curve in (policy, *judges)]
    room = LABEL_WIDTH * (1.02 - lowest[0]) / (1 - LABEL_WIDTH)
    axes.set(xlim=(lowest[0] - room, 1.02), ylim=(np.floor(20 * min(lowest[1:]) - 1) / 20, 1.02))
    axes.axline((1, 1), slope=1, color=style.QUIET, lw=0.8, ls=(0, (2, 3)), zorder=1)
    for curve in judges:
        _trajectory(axes, policy, curve)
    _label_starts(axes, float(policy.mean[0]), judges)
    style.percent_axis(axes, "x")
    style.percent_axis(axes, "y")


def _trajectory(axes: Axes, policy: Curve, curve: Curve) -> None:
    mark = style.SKILL_MARKS[curve.skill.key]
    _, ours, theirs = np.intersect1d(policy.compute, curve.compute, return_indices=True)
    path = np.column_stack([policy.mean[ours], curve.mean[theirs]])
    path = path[np.isfinite(path).all(axis=1)]
    if not len(path):
        return
    later = np.linspace(0.35, 1.0, max(2, len(path) - 1))
    for (start, end), opacity in zip(pairwise(path), later, strict=False):
        axes.plot(
            *np.stack([start, end]).T, color=mark.colour, alpha=opacity, solid_capstyle="round"
        )
    for tail, head in _arrows(path):
        arrow = {
            "arrowstyle": "-|>,head_width=0.32,head_length=0.62",
            "color": mark.colour,
            "lw": 0,
        }
        axes.annotate("", xy=head, xytext=tail, arrowprops=arrow | {"shrinkA": 0, "shrinkB": 0})
    axes.plot(*path[0], mark.marker, ms=7, mfc="white", mec=mark.colour, mew=1.6, clip_on=False)
    axes.plot(*path[-1], mark.marker, ms=7, color=mark.colour, clip_on=False)


def _arrows(path: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Where to show the direction of time: the middles of the steps at 1/5, 1/2 and 4/5 of the way."""
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    if not steps.sum():
        return []
    travelled = np.cumsum(steps) / steps.sum()
    chosen = {int(np.searchsorted(travelled, part)) for part in (0.2, 0.5, 0.8)}
    found = []
    for index in sorted(chosen):
        start, end = path[index], path[index + 1]
        middle = (start + end) / 2
        found.append((middle - (end - start) * 0.01, middle + (end - start) * 0.08))
    return found


def _label_starts(axes: Axes, policy: float, judges: list[Curve]) -> None:
    starts = [(curve.skill.key, float(curve.mean[0])) for curve in judges]
    for curve, height in zip(judges, _apart(axes, starts), strict=True):
        _label(axes, curve, curve.skill.key, (policy, height), -8)


def _headline(arm: str, seeds: list[RunData]) -> str:
    return f"{arm}, seed {seeds[0].seed}" if len(seeds) == 1 else f"{arm}, {len(seeds)} seeds"


def _caption(seeds: list[RunData], curves: list[Curve]) -> str:
    """What was counted, what the bands are, and what they do not say."""
    counts = trials(seeds[0])
    sizes = [f"{counts['policy']:.0f} held-out questions"] if "policy" in counts else []
    sizes += [f"{counts['pairwise']:.0f} pairs in both orders"] if "pairwise" in counts else []
    parts = [f"n = {' and '.join(sizes)}."] if sizes else []
    if len(seeds) == 1:
        bands = "Bands: 95 % Wilson intervals over questions; one seed does not say how training again would go."
        parts.append(
            bands if sizes else "No bands: the rollouts of the last evaluation are missing."
        )
    else:
        bands = "95 % t intervals over seeds" if len(seeds) >= BAND_SEEDS else "range of both seeds"
        parts.append(f"Lines: mean of {len(seeds)} seeds. Bands: {bands}.")
    parts.append("Judges and reflections look at solutions sampled once from the starting model.")
    parts.append(
        "Right: hollow at the start, filled at the end, dotted where judge and policy are equal."
    )
    return textwrap.fill(" ".join(parts), 168)
