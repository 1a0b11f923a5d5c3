"""What the figures of a report share: an arm's mark, axes, headings, and SVG that follows a theme.

Colours, type and grid are `spark_lab.analysis.style`'s. On top of that an arm has a dash, so that
nothing rests on colour alone, and an SVG names its colours as CSS variables, `var(--ink, #20252b)`:
within a page it follows the page's light or dark theme, alone it falls back to light.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import NamedTuple, ParamSpec

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator

from spark_lab.analysis import style
from spark_lab.analysis.style import GRID, INK, MARKERS, PALETTE
from spark_lab.analysis.style import QUIET as MUTED

P = ParamSpec("P")
Dash = str | tuple[int, tuple[float, ...]]
MINUS = "\N{MINUS SIGN}"
PAPER = "#ffffff"
BLUE, VERMILION = PALETTE[:2]


def _scale(name: str, colours: list[str]) -> Colormap:
    return LinearSegmentedColormap.from_list(name, colours, LEVELS)


# Colour in the figure -> name of its CSS variable and its value on a dark page.
THEME = {
    INK: ("ink", "#e7e9ee"),
    MUTED: ("muted", "#98a2b3"),
    GRID: ("grid", "#333a47"),
    PAPER: ("paper", "#14171d"),
} | {
    light.lower(): (f"arm{index}", dark)
    for index, (light, dark) in enumerate(
        zip(
            PALETTE,
            ("#4ba6e8", "#ff8a45", "#2cc79c", "#ea9fca", "#f2b53a", "#8ccdf5", "#c3c8d1"),
            strict=True,
        )
    )
}

# Of scores, few enough to be drawn as shapes; of many, a bar would be a picture within the figure.
# From a pale to a full blue, which all eyes can order; what is best is bright on a dark page.
LEVELS = 12
SCALE = _scale("scores", ["#d9e3ee", "#7fb0d6", "#0072B2", "#06324f"])
_DARK_SCALE = _scale("dark scores", ["#2a3947", "#2f6d9c", "#4ba6e8", "#def0ff"])
THEME |= {to_hex(SCALE(i)): (f"score{i}", to_hex(_DARK_SCALE(i))) for i in range(LEVELS)}

# Colours that look alike to a colour-blind reader (vermilion and amber, green and pink) differ in dash.
DASHES: tuple[Dash, ...] = (
    "solid",
    "solid",
    "solid",
    (0, (6, 1.5)),
    (0, (6, 1.5)),
    (0, (6, 1.5, 1, 1.5)),
    (0, (6, 1.5, 1, 1.5)),
)


class ArmMark(NamedTuple):
    """Colour, marker and dash that an arm keeps in every figure of a report."""

    colour: str
    marker: str
    dash: Dash


def arm_marks(arms: Sequence[str], baseline: str | None = None) -> dict[str, ArmMark]:
    """A mark per arm, in the order given; the baseline is grey and finely dashed."""
    marks, rank = {}, 0
    for arm in arms:
        if arm == baseline:
            marks[arm] = ArmMark(MUTED, "o", (0, (3, 1.5)))
            continue
        again, index = divmod(rank, len(PALETTE))
        marker = MARKERS[1:][(rank + again) % (len(MARKERS) - 1)]
        dash = (0, (1, 1.2 * again)) if again else DASHES[index]
        marks[arm] = ArmMark(PALETTE[index], marker, dash)
        rank += 1
    return marks


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw with the style in force, without touching matplotlib's global settings."""

    @wraps(draw)
    def inner(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style.applied():
            return draw(*args, **kwargs)

    return inner


def panels(
    count: int, *, columns: int = 3, width: float = 7.4, height: float = 2.3, **share: bool
) -> tuple[Figure, list[Axes]]:
    """A figure of `count` axes in rows of `columns`, inches; unused places stay empty."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, **share)
    flat = [axes for row in grid for axes in row]
    for axes in flat[count:]:
        axes.set_visible(False)
        # The axes above an empty place would otherwise have no tick labels of a shared axis.
        above = flat[flat.index(axes) - columns]
        above.xaxis.set_tick_params(labelbottom=True)
    return figure, flat[:count]


def percent_axis(axis: Axis, *, whole: bool = False) -> None:
    """Ticks of a fraction as per cent; `whole` shows 0, 50 and 100."""
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{100 * value:.4g}".replace("-", MINUS))
    )
    if whole:
        axis.set_ticks([0.0, 0.5, 1.0])
        if axis.axis_name == "x":
            # The 100 of one panel would run into the 0 of the next.
            sides = ("left", "center", "right")
            for tick, side in zip(axis.get_major_ticks(len(sides)), sides, strict=True):
                tick.label1.set_horizontalalignment(side)
    else:
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))


def compute_axis(axes: Axes, label: str) -> None:
    """Ticks of compute in k, M, G."""
    axes.xaxis.set_major_formatter(EngFormatter(sep="\N{THIN SPACE}"))
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.set_xlabel(label)


def heading(axes: Axes, title: str, note: str = "") -> None:
    """A title that wraps to the width of its axes, and a quiet line below it."""
    inches = axes.get_figure().get_figwidth() / axes.get_gridspec().ncols
    lines = wrapped(title, int(11 * inches) - 6)
    axes.set_title(lines, pad=16 if note else 6)
    if note:
        axes.text(0, 1.03, note, transform=axes.transAxes, fontsize=8, color=MUTED)


def wrapped(text: str, width: int) -> str:
    """Break after a space or a plus (`pointwise+pairwise`), but not within brackets."""
    kept = re.sub(r"\([^)]*\)", lambda match: match[0].replace(" ", "\N{NO-BREAK SPACE}"), text)
    parts = textwrap.wrap(kept.replace("+", "+ "), max(width, 12), break_long_words=False)
    return "\n".join(part.replace("+ ", "+") for part in parts)


def arm_legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend for all axes below the figure, each label once; none for a single arm."""
    entries: dict[str, object] = {}
    for single in axes:
        for handle, label in zip(*single.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if len(entries) > 1:
        longest = max(map(len, entries))
        columns = max(int(11.5 * figure.get_figwidth() / (longest + 8)), 1)
        figure.legend(
            entries.values(),
            entries.keys(),
            loc="outside lower center",
            ncols=min(len(entries), columns),
            handlelength=2.6,
            frameon=False,
        )


def seeds_of(counts: Mapping[str, int]) -> str:
    """`n = 3 seeds` where all arms have as many, else `n = 3 seeds of none, 2 of reflect`."""
    if len(set(counts.values())) == 1:
        count = next(iter(counts.values()))
        return f"n = {count} seed{'' if count == 1 else 's'}"
    first, *others = counts.items()
    return ", ".join([f"n = {first[1]} seeds of {first[0]}", *(f"{n} of {a}" for a, n in others)])


def to_svg(figure: Figure) -> str:
    """The figure as SVG text with themable colours; the same figure gives the same bytes."""
    with style.applied(), io.StringIO() as out:
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": "spark-lab"})
        text = out.getvalue()
    return re.sub("|".join(THEME), lambda match: f"var(--{THEME[match[0]][0]}, {match[0]})", text)


def save(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Write `stem`.svg (themable) and `stem`.png (light)."""
    svg, png = stem.with_name(f"{stem.name}.svg"), stem.with_name(f"{stem.name}.png")
    svg.write_text(to_svg(figure), encoding="utf-8")
    with style.applied():
        figure.savefig(png, dpi=style.PNG_DPI, metadata={"Software": "spark-lab"})
    return svg, png


def theme_css() -> str:
    """The CSS variables of a page that holds such SVGs: light, dark, and light again in print."""
    light = "".join(f"--{name}:{colour};" for colour, (name, _) in THEME.items())
    dark = "".join(f"--{name}:{colour};" for name, colour in THEME.values())
    return f":root{{{light}}}\n@media screen and (prefers-color-scheme: dark){{:root{{{dark}}}}}\n"
