"""What the model is trained on: solving questions, and judging or repairing its own solutions."""

from __future__ import annotations

from spark_lab.objectives.pairwise import Pairwise
from spark_lab.objectives.pointwise import Pointwise
from spark_lab.objectives.reflect import Reflect
from spark_lab.objectives.solve import Solve
from spark_lab.schema import ObjectiveConfig

Objective = Pointwise | Pairwise | Reflect

__all__ = ["Objective", "Pairwise", "Pointwise", "Reflect", "Solve", "build_objectives"]


def build_objectives(config: ObjectiveConfig, verifier: str) -> dict[str, Objective]:
    """The switched-on objectives by name, in the order pointwise, pairwise, reflect."""
    objectives: dict[str, Objective] = {}
    if config.pointwise is not None:
        objectives["pointwise"] = Pointwise(config.pointwise)
    if config.pairwise is not None:
        objectives["pairwise"] = Pairwise(config.pairwise)
    if config.reflect is not None:
        objectives["reflect"] = Reflect(config.reflect, verifier)
    return objectives
