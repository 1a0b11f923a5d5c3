"""What a search could change, as a table: each key, its range, its default, and what was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spark_lab.analysis.load import RunData
from spark_lab.analysis.report.search_words import value_words
from spark_lab.analysis.report.table import Cell, Column, Table
from spark_lab.analysis.search import UNTUNED, Searched

_OBJECTIVE = "objective"


def table(searched: Searched, own: Sequence[RunData]) -> Table:
    """`own` are the runs of the search's folder; the default is read from an untuned one."""
    chosen = searched.chosen
    untuned = next((run.config for run in own if run.arm == UNTUNED and run.config), {})
    columns = [
        Column("key", "key"),
        Column("called", "here called"),
        Column("range", "searched"),
        Column("untuned", "untuned"),
        *([Column("chosen", f"trial {chosen.number}")] if chosen else []),
    ]
    rows = []
    for key, typed in zip(searched.data["keys"], searched.data["space"], strict=True):
        cells = [key, searched.data["short"][key], _range(searched, key, typed)]
        cells.append(_default(untuned, key))
        if chosen:
            cells.append(value_words(chosen.params[key]) if key in chosen.params else None)
        rows.append(tuple(map(Cell, cells)))
    caption = (
        "The keys that differ between trials; all else is the same in every one. A dash: a key that"
        " is not there, or a default that no run has shown."
    )
    return Table("search_space", "What was searched", caption, tuple(columns), tuple(rows))


def _range(searched: Searched, key: str, typed: str) -> str:
    """In words, from the first trial that had the key; as typed where none had."""
    for stored in searched.data["trials"]:
        if key in stored["distributions"]:
            words = _words(stored["distributions"][key]["attributes"])
            _, only, condition = typed.partition("  (only if ")
            return f"{words}, only with {condition.removesuffix(')')}" if only else words
    return typed.partition("=")[2]


def _words(held: Mapping[str, Any]) -> str:
    if "choices" in held:
        return ", ".join(map(value_words, held["choices"]))
    ends = f"{value_words(held['low'])} to {value_words(held['high'])}"
    if held["log"]:
        return f"{ends}, evenly over orders of magnitude"
    whole = isinstance(held["low"], int)
    return ends if held["step"] in (None, 1 if whole else None) else f"{ends} by {held['step']:g}"


def _default(config: Mapping[str, Any], key: str) -> str | None:
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if key == _OBJECTIVE and isinstance(value, Mapping):
        return "+".join(name for name, slot in value.items() if slot is not None) or "none"
    if isinstance(value, Mapping):  # an option of a group
        value = value.get("kind")
    return None if value is None else value_words(value)
