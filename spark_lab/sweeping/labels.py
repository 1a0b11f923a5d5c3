"""Names that people read: of arms, by what differs between them, and of whole sweeps."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from spark_lab import runs
from spark_lab.schema import Config
from spark_lab.sweeping.axes import Axes, Axis

_SHORT = {"learning_rate": "lr"}
_UNSAFE = re.compile(r"[^\w.+=,-]+")
_LONGEST = 100


def arm_labels(axes: Axes, points: Sequence[Sequence[str]], configs: Sequence[Config]) -> list[str]:
    """A label for each arm. `points` are the values on the factors, `configs` what they resolve to.

    "pointwise+reflect" for objectives, "lr=1e-4" for other keys, the given name for a named arm;
    several are joined by a comma: "no_pointwise,lr=1e-4".
    """
    names = _objective_names(axes.factors, points, configs)
    short = short_keys([axis.key for axis in axes.factors])
    labels = []
    for arm, point, config in zip(_arm_names(axes, len(points)), points, configs, strict=True):
        parts = [arm] if arm is not None else []
        for axis, value in zip(axes.factors, point, strict=True):
            is_objective = axis.key == "objective"
            parts.append(names[value] if is_objective else f"{short[axis.key]}={plain(value)}")
        labels.append(safe(",".join(parts)) if parts else runs.arm_of(config))
    return _distinct(labels, points)


def sweep_name(axes: Axes) -> str:
    """The folder of a sweep: its given name, or the config's, or the keys it sweeps over.

    What is typed besides makes another sweep of the same question, so it adds a mark: the same
    command always finds its folder again, another one never lands in it.
    """
    keys = [axis.key for axis in axes.factors]
    swept = "+".join(short_keys(keys).values()) or ("arms" if axes.arms else "seeds")
    stem = axes.name or (swept if axes.config_name == "config" else axes.config_name)
    if axes.name_is_typed or not axes.settings:
        return safe(stem)
    settings = hashlib.sha256("\n".join(sorted(axes.settings)).encode()).hexdigest()[:4]
    return safe(f"{stem}-{settings}")


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """The last word of each dotted key, or more words where two keys end alike."""
    found = {}
    for key in keys:
        words = re.split(r"[./]", key)
        others = [re.split(r"[./]", other) for other in keys if other != key]
        size = 1
        while size < len(words) and any(other[-size:] == words[-size:] for other in others):
            size += 1
        found[key] = ".".join(_SHORT.get(word, word) for word in words[-size:])
    return found


def plain(value: str) -> str:
    """A typed value as it stands in a name: "0.0001" -> "1e-4", "[a,b]" -> "a+b", "a/b" -> "b"."""
    try:
        number = float(value)
    except ValueError:
        last = value.strip("'\"").rstrip("/").rpartition("/")[2]
        return last.strip("[]").replace(" ", "").replace(",", "+")
    mantissa, _, exponent = f"{number:e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    short = f"{mantissa}e{int(exponent)}" if exponent else value
    return min(f"{number:g}", short, key=len) if float(f"{number:g}") == number else value


def safe(text: str) -> str:
    """Fit for a folder's name; a long one is cut and marked by its hash."""
    name = _UNSAFE.sub("-", text).lstrip(".") or "sweep"
    if len(name) <= _LONGEST:
        return name
    return f"{name[:_LONGEST]}-{hashlib.sha256(text.encode()).hexdigest()[:4]}"


def _distinct(labels: list[str], points: Sequence[Sequence[str]]) -> list[str]:
    """Labels that shortening has made equal get a mark of what was typed."""
    return [
        label
        if labels.count(label) == 1
        else f"{label}-{hashlib.sha256(repr(point).encode()).hexdigest()[:4]}"
        for label, point in zip(labels, points, strict=True)
    ]


def _arm_names(axes: Axes, count: int) -> list[str | None]:
    """The named arm of each point; arms are the outermost factor."""
    if not axes.arms:
        return [None] * count
    each = count // len(axes.arms)
    return [arm.name for arm in axes.arms for _ in range(each)]


def _objective_names(
    factors: Sequence[Axis], points: Sequence[Sequence[str]], configs: Sequence[Config]
) -> dict[str, str]:
    """What a choice of objectives switches on, or its typed name where two switch on the same."""
    places = [place for place, axis in enumerate(factors) if axis.key == "objective"]
    if not places:
        return {}
    names = {
        point[places[0]]: runs.arm(config.objective)
        for point, config in zip(points, configs, strict=True)
    }
    if len(set(names.values())) == len(names):
        return names
    return {value: plain(value) for value in names}
