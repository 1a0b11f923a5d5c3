"""Every rule that needs more than a key's type. All problems at once, before torch is imported."""

from __future__ import annotations

from spark_lab.errors import Problem
from spark_lab.schema import Config


def check(config: Config) -> list[Problem]:
    """Everything that is wrong with a configuration, in the order of its sections."""
    return []
