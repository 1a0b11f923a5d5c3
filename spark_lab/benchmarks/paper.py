"""The tables of the SPARK paper (arXiv 2509.22624) that a suite's figures stand beside. Percent.

Its numbers are of one greedy run each. SPARK's mathematics are with test-time scaling and the others'
without, going by the released evaluation scripts. Its averages: mathematics over the benchmarks, reward
over the full ones and their mathematics subsets alike, all over every column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean

# A column: the benchmark and one of its figures; None stands for the benchmark's headline.
Column = tuple[str, str | None]

_TEXT: tuple[Column, ...] = tuple(
    (name, None) for name in ("aime24", "aime25", "amc23", "gsm8k", "math500", "mmlu_stem")
)
_VISUAL: tuple[Column, ...] = tuple(
    (name, None)
    for name in (
        "mathvista",
        "mathvision",
        "wemath",
        "mathverse",
        "dynamath",
        "logicvista",
        "mmk12",
    )
)
_RB2: tuple[Column, ...] = (("reward_bench_2", None), ("reward_bench_2", "subset/Math"))
_VLRB: tuple[Column, ...] = (("vl_reward_bench", None), ("vl_reward_bench", "maths"))
_GENERAL: tuple[Column, ...] = tuple(
    (name, None)
    for name in (
        "mmbench",
        "mmstar",
        "mmmu",
        "mmvet",
        "scienceqa",
        "pope",
        "seedbench",
        "realworldqa",
    )
)


@dataclass(frozen=True)
class Table:
    """`columns` in order; `averages` are further columns, each over some of these."""

    title: str
    columns: tuple[Column, ...]
    rows: Mapping[str, tuple[float, ...]]
    averages: Mapping[str, tuple[Column, ...]] = field(default_factory=dict)

    def averaged(self, values: Mapping[Column, float]) -> dict[str, float | None]:
        """None where a column of the average is missing."""
        return {
            name: fmean(values[column] for column in columns)
            if values.keys() >= set(columns)
            else None
            for name, columns in self.averages.items()
        }


_LLM = Table(
    "Table 2, from Qwen2.5-7B-Instruct",
    (*_TEXT, *_RB2),
    {
        "Qwen2.5-7B": (6.7, 6.7, 50.0, 91.9, 76.2, 75.8, 49.5, 41.0),
        "GRPO, policy only": (6.7, 6.7, 52.5, 92.4, 76.0, 76.2, 48.4, 40.4),
        "GRPO, reward only": (13.3, 3.3, 50.0, 90.2, 73.6, 79.3, 43.6, 40.4),
        "GRPO, policy and reward": (16.7, 3.3, 50.0, 92.7, 76.6, 80.1, 48.3, 43.7),
        "SPARK-7B": (16.7, 6.7, 62.5, 93.2, 79.4, 81.1, 58.8, 55.7),
    },
    {"mean maths": _TEXT, "mean reward": _RB2, "mean all": (*_TEXT, *_RB2)},
)
_VL_AVERAGES = {
    "mean maths": _VISUAL,
    "mean reward": (*_RB2, *_VLRB),
    "mean all": (*_VISUAL, *_RB2, *_VLRB),
}
_VL_7B = Table(
    "Table 1, from Qwen2.5-VL-7B-Instruct",
    (*_VISUAL, *_RB2, *_VLRB),
    {
        "Qwen2.5-VL-7B": (68.2, 25.1, 62.1, 49.2, 53.3, 40.4, 45.1, 45.8, 38.8, 47.7, 35.5),
        "VL-Rethinker-7B": (73.7, 28.4, 67.9, 54.0, 57.3, 42.7, 64.9, 42.3, 35.0, 47.1, 32.5),
        "MM-Eureka-7B": (73.0, 26.9, 66.1, 50.3, 56.9, 48.9, 64.5, 44.9, 41.0, 48.8, 36.8),
        "GRPO, policy only": (72.0, 28.5, 67.9, 51.2, 54.9, 44.9, 66.9, 46.1, 40.4, 51.5, 62.1),
        "GRPO, reward only": (72.1, 27.9, 67.1, 51.0, 54.7, 44.0, 58.8, 48.1, 39.3, 53.9, 62.7),
        "GRPO, policy and reward": (
            *(74.2, 28.9, 70.9, 51.3, 56.3, 46.2, 67.9, 48.9, 43.7, 54.4, 63.9),
        ),
        "SPARK-VL-7B": (75.9, 31.1, 70.3, 53.0, 58.7, 50.7, 71.8, 49.3, 39.2, 62.7, 65.1),
    },
    _VL_AVERAGES,
)
_VL_32B = Table(
    "Table 3, from Qwen2.5-VL-32B-Instruct",
    _VL_7B.columns,
    {
        "Qwen2.5-VL-32B": (74.7, 38.4, 69.1, 48.5, 61.3, 55.4, 52.9, 57.0, 59.6, 59.2, 56.0),
        "VL-Rethinker-32B": (78.8, 40.5, 76.7, 56.9, 62.9, 51.8, 72.9, 53.9, 51.8, 49.9, 23.5),
        "MM-Eureka-32B": (74.8, 34.4, 73.4, 56.5, 62.1, 53.4, 72.2, 56.4, 58.5, 58.3, 56.6),
        "GRPO, policy and reward": (
            *(78.2, 40.2, 77.1, 57.7, 60.9, 57.4, 72.3, 56.3, 56.4, 57.1, 53.6),
        ),
        "SPARK-VL-32B": (79.1, 40.2, 76.7, 59.2, 62.9, 59.4, 77.4, 60.3, 62.7, 61.4, 59.6),
    },
    _VL_AVERAGES,
)
_OTHERS = Table(
    "Table 4, from Qwen2.5-VL-7B-Instruct",
    _GENERAL,
    {
        "Qwen2.5-VL-7B": (82.2, 64.1, 58.0, 69.7, 89.0, 85.9, 77.0, 68.4),
        "SPARK-VL-7B": (84.4, 67.3, 58.7, 71.5, 90.8, 88.2, 77.2, 68.5),
    },
    {"mean": _GENERAL},
)
TABLES: dict[str, tuple[Table, ...]] = {
    "paper_llm": (_LLM,),
    "paper_vl": (_VL_7B, _VL_32B),
    "general": (_OTHERS,),
}
