"""The rows of a section as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from speed.measure import Row, middle


def table(rows: Sequence[Row]) -> Table:
    """Medians ± half the middle half's width. Columns that no row fills are left out."""
    found = Table()
    cells = [_cells(row) for row in rows]
    names = list(dict.fromkeys(name for row in cells for name, text in row.items() if text))
    for name in names:
        found.add_column(name, justify="left" if name == "" else "right", no_wrap=name != "")
    for row in cells:
        found.add_row(*(row.get(name, "") for name in names))
    return found


def _cells(row: Row) -> dict[str, str]:
    cells = {
        "": row.name,
        "TRL": quantity(row.trl, row.unit) if row.trl else "",
        "SPARK": quantity(row.spark, row.unit),
    }
    if row.trl:
        ratio, spread = middle(row.ratios)
        cells["TRL / SPARK"] = f"{ratio:.2f} ± {spread:.2f}"
        if row.bound is not None:
            cells |= {"bound": f"{row.bound:.2f}", "of bound": f"{100 * ratio / row.bound:.0f} %"}
    return cells | row.notes


def quantity(values: Sequence[float], unit: str) -> str:
    """ "12.3 ± 0.4 ms" """
    center, spread = middle(values)
    scale = 1.0
    if unit == "s" and center < 2:
        unit, scale = "ms", 1000.0
    digits = max(0, 2 - len(str(int(center * scale))) + 1)
    return f"{center * scale:,.{digits}f} ± {spread * scale:,.{digits}f} {unit}"
