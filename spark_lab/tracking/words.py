"""Numbers as people read them."""

from __future__ import annotations


def count(number: float) -> str:
    """1234567 -> "1.23 M"; three significant digits from a thousand on."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:.0f}"


def number(count: int, noun: str) -> str:
    """(2, "arm") -> "2 arms"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """75 -> "1 min 15 s"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def age(seconds: float) -> str:
    """7800 -> "2 h": the largest whole unit."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def budget(unit: str, limit: float) -> str:
    """("generated_tokens", 12e6) -> "12 M generated tokens"."""
    if unit == "seconds":
        return duration(limit)
    if unit == "flops":
        return f"{limit:.3g} FLOPs"
    return f"{limit:.0f} steps" if unit == "steps" else f"{count(limit)} {unit.replace('_', ' ')}"


def percent(share: float | None) -> str:
    """0.394 -> "39.4 %"; an absent value is a dash."""
    return "-" if share is None else f"{100 * share:.1f} %"
