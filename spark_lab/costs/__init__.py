"""What a run would take, before anything is loaded: tokens, FLOPs, memory of a GPU, GPU-hours."""

from __future__ import annotations

from spark_lab.costs.text import cost_text

__all__ = ["cost_text"]
