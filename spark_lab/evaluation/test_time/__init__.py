"""What a model makes of more tokens at test time, when it is its own judge, and when it just votes."""

from __future__ import annotations

from spark_lab.evaluation.test_time.scaling import Scaled, reflected, scale, scaled_metrics

__all__ = ["Scaled", "reflected", "scale", "scaled_metrics"]
