"""What a model can do, on held-out questions: solve, judge its own solutions, and repair them."""

from __future__ import annotations

from spark_lab.evaluation.evaluator import Evaluation, Evaluator

__all__ = ["Evaluation", "Evaluator"]
