"""Which weights of a model see: told by their names, without torch."""

from __future__ import annotations

# Where the families of transformers keep what sees.
_TOWERS = ("visual", "vision_tower", "vision_model", "vision_encoder")
TOWER_MODULES = rf"(.*\.)?({'|'.join(_TOWERS)})\.(?!merger).*"
"""A pattern of the names of a vision tower's modules and weights, without the projection into the
language model that Qwen's towers hold."""


def seeing(name: str) -> bool:
    """Whether a weight of this name is part of a vision tower."""
    return not set(_TOWERS).isdisjoint(name.split("."))
