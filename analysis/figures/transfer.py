"""Transfer matrix: what training one objective does to every skill."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spark_lab.analysis.figures.look import BLUE, INK, MUTED, VERMILION, panels, styled, wrapped
from spark_lab.analysis.transfer import TransferMatrix
from spark_lab.analysis.verdicts import metric_words, points


@styled
def transfer_heatmap(matrix: TransferMatrix) -> Figure:
    """Difference to the baseline in points: blue up, vermilion down, bold where separable."""
    rows, columns = matrix.difference.shape
    figure, (axes,) = panels(1, width=2.2 + 1.25 * columns, height=1.5 + 0.42 * rows)
    limit = max(float(np.nanmax(np.abs(matrix.difference), initial=0.0)), 0.01)
    for row in range(rows):
        for column in range(columns):
            _cell(axes, matrix, row, column, limit)
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    axes.set_xticks(range(columns), [wrapped(metric_words(name), 18) for name in matrix.metrics])
    axes.set_yticks(range(rows), matrix.arms)
    axes.tick_params(length=0, labelsize=8.5)
    axes.xaxis.tick_top()
    axes.set_ylabel("trained")
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def caption(matrix: TransferMatrix) -> str:
    """What a cell is."""
    return (
        f"Rows: what was trained; columns: what was examined at the end. Difference to {matrix.baseline}"
        " in points; bold where separable from zero after correction, a dash where not measured."
    )


def _cell(axes: Axes, matrix: TransferMatrix, row: int, column: int, limit: float) -> None:
    value, bold = matrix.difference[row, column], matrix.separable[row, column]
    if np.isnan(value):
        axes.text(column, row, "\N{EN DASH}", ha="center", va="center", color=MUTED)
        return
    # Opacity instead of a colour map: the cell then follows a light or a dark page.
    axes.fill_between(
        [column - 0.48, column + 0.48],
        row - 0.46,
        row + 0.46,
        color=BLUE if value > 0 else VERMILION,
        alpha=0.05 + 0.55 * min(abs(value) / limit, 1.0),
        linewidth=0,
    )
    axes.text(
        column,
        row,
        points(value, sign=True),
        ha="center",
        va="center",
        color=INK,
        fontweight="bold" if bold else "normal",
    )
