"""One look for every figure: colour-blind-safe colours, quiet axes, reproducible files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK = "#20252b"
QUIET = "#6b7480"
GRID = "#e3e6ea"
PNG_DPI = 200

# Okabe and Ito's palette without its yellow, which is too light for lines on paper.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

_SETTINGS = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10.0,
    "axes.labelsize": 9.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "text.color": INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "figure.facecolor": "white",
    "svg.fonttype": "none",
    "svg.hashsalt": "spark-lab",
}


class Mark(NamedTuple):
    """How one skill is drawn in every figure."""

    colour: str
    marker: str


SKILL_MARKS = {
    skill: Mark(colour, marker)
    for skill, colour, marker in zip(
        ("policy", "pointwise", "pairwise", "reflect"), PALETTE, MARKERS, strict=False
    )
}


@contextmanager
def applied() -> Iterator[None]:
    """The style, for making and for saving figures; global settings are as before afterwards."""
    with matplotlib.rc_context(_SETTINGS):
        yield


def percent_axis(axes: Axes, axis: str = "y") -> None:
    """Labels shares (0 to 1) as percent."""
    from matplotlib.ticker import PercentFormatter

    target = axes.yaxis if axis == "y" else axes.xaxis
    target.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol=""))


def save(figure: Figure, stem: Path) -> list[Path]:
    """Writes <stem>.svg (text stays text) and <stem>.png; equal figures give equal bytes."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    svg, png = (stem.with_name(f"{stem.name}.{kind}") for kind in ("svg", "png"))
    with applied():
        FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None, "Creator": "spark-lab"})
        canvas = FigureCanvasAgg(figure)
        figure.set_dpi(PNG_DPI)
        canvas.print_png(png, metadata={"Software": "spark-lab"})
    return [svg, png]
