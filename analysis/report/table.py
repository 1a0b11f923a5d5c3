"""A table once, as CSV, LaTeX and Markdown; the HTML template reads the same cells."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from spark_lab.tracking.words import count

Kind = Literal["text", "percent", "points", "amount", "whole", "number", "p"]
MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    MINUS: "$-$",
    DASH: "--",
    "\N{LEFT DOUBLE QUOTATION MARK}": "``",
    "\N{RIGHT DOUBLE QUOTATION MARK}": "''",
}
# Markdown reads HTML, so model output and arm names must not be any.
_MARKDOWN = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": r"\|", "*": r"\*", "_": r"\_", "`": r"\`"}


@dataclass(frozen=True, slots=True)
class Column:
    """`key` heads the CSV column, `head` the printed one; a `spread` column has an interval."""

    key: str
    head: str
    kind: Kind = "text"
    spread: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A value in the unit of its metric, with its interval where there is one; None is absent."""

    value: float | str | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """`name` is the file's, `caption` says what the cells are. `rows` are as long as `columns`."""

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def printed(self, row: Sequence[Cell]) -> list[tuple[str, str]]:
        """(value, interval or "") of each cell as people read them."""
        return [
            (shown(cell.value, column.kind), interval(cell, column.kind))
            for column, cell in zip(self.columns, row, strict=True)
        ]


def shown(value: float | str | None, kind: Kind) -> str:
    if isinstance(value, str):
        return value
    if value is None or math.isnan(value):
        return DASH
    return _number(value, kind).replace("-", MINUS)


def interval(cell: Cell, kind: Kind) -> str:
    if cell.low is None or cell.high is None or math.isnan(cell.low):
        return ""
    return f"{shown(cell.low, kind)} to {shown(cell.high, kind)}"


def as_csv(table: Table) -> str:
    """Full precision; a column with an interval becomes three."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        name
        for column in table.columns
        for name in (
            (column.key, f"{column.key}_low", f"{column.key}_high")
            if column.spread
            else (column.key,)
        )
    )
    for row in table.rows:
        writer.writerow(
            _raw(value)
            for column, cell in zip(table.columns, row, strict=True)
            for value in ((cell.value, cell.low, cell.high) if column.spread else (cell.value,))
        )
    return out.getvalue()


def as_latex(table: Table) -> str:
    """A booktabs table with label tab:<name>."""
    align = "".join("l" if column.kind == "text" else "r" for column in table.columns)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex(table.title)}. {latex(table.caption)}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        " & ".join(latex(column.head) for column in table.columns) + r" \\",
        r"\midrule",
    ]
    for row in table.rows:
        cells = [
            latex(value) + (rf" {{\scriptsize [{latex(spread)}]}}" if spread else "")
            for value, spread in table.printed(row)
        ]
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def as_markdown(table: Table) -> str:
    """A pipe table; numbers to the right."""
    lines = [
        "| " + " | ".join(markdown(column.head) for column in table.columns) + " |",
        "|"
        + "|".join("---" if column.kind == "text" else "---:" for column in table.columns)
        + "|",
    ]
    for row in table.rows:
        cells = [
            markdown(value) + (f" ({spread})" if spread else "")
            for value, spread in table.printed(row)
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return "".join(_MARKDOWN.get(letter, letter) for letter in " ".join(text.split()))


def _number(value: float, kind: Kind) -> str:
    if kind == "percent":
        if value > 1:
            return "> 100"
        return f"{100 * value:.1f}"
    if kind == "points":
        text = f"{100 * value:+.1f}"
        return "0.0" if text in ("+0.0", "-0.0") else text
    if kind == "amount":
        return f"{value:.3g}" if value >= 1e15 else count(value)
    if kind == "whole":
        return f"{value:.0f}"
    if kind == "p":
        return "< 0.001" if value < 0.001 else f"{value:.3f}"
    return f"{value:.2f}"


def _raw(value: float | str | None) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return value if isinstance(value, str) else format(value, ".10g")
