"""The fields of a row: how they are found, and what in them can be used."""

from __future__ import annotations

from typing import Any

from spark_lab.tasks.reading import Row


class Bad(Exception):
    """(key to set, what was got, what was expected) of a row that can't be used."""


def get(row: Row, field: str) -> Any:
    """The value; a dot in the name reaches inside. Raises KeyError where there is none."""
    if field in row:
        return row[field]
    value: Any = row
    for name in field.split("."):
        if not isinstance(value, dict) or name not in value:
            raise KeyError(field)
        value = value[name]
    return value


def text_of(row: Row, key: str, field: str) -> str:
    """A field's text or number; `key` is the setting that names the field."""
    try:
        value = get(row, field)
    except KeyError:
        value, shown = None, "nothing"
    else:
        shown = repr(value)
    if not usable(value):
        got = f"{field}={shown[:60]}; its fields: {', '.join(map(repr, row))}"
        raise Bad(f"{key}=FIELD", got, f"text or a number in the field {field!r}")
    return str(value)


def usable(value: object) -> bool:
    """A number, or text that has content and is no half of a surrogate pair."""
    if isinstance(value, bool):
        return False
    if isinstance(value, int | float):
        return value == value and abs(value) != float("inf")
    return (
        isinstance(value, str)
        and bool(value.strip())
        and not any("\ud800" <= character <= "\udfff" for character in value)
    )


def filled(value: object) -> bool:
    return value is not None and value != "" and value != []
