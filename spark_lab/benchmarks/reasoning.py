"""Reasoning in text: the six of the paper's table 2."""

from __future__ import annotations

from spark_lab.benchmarks.benchmark import Benchmark

# Few problems: one greedy answer to each says little, so their figure is also a mean of many samples.
_MANY = 32

BENCHMARKS = (
    Benchmark(
        "aime24",
        "AIME24",
        hub="HuggingFaceH4/aime_2024",
        splits=("train",),
        size=30,
        cites="AIME I and II of 2024 (Mathematical Association of America)",
        columns={"question": "problem|question", "answer": "answer"},
        samples=_MANY,
    ),
    Benchmark(
        "aime25",
        "AIME25",
        hub="math-ai/aime25",
        splits=("test",),
        size=30,
        cites="AIME I and II of 2025 (Mathematical Association of America)",
        columns={"question": "problem|question", "answer": "answer"},
        samples=_MANY,
    ),
    Benchmark(
        "amc23",
        "AMC23",
        hub="math-ai/amc23",
        splits=("test",),
        size=40,
        cites="AMC 12 of 2023 (Mathematical Association of America)",
        columns={"question": "question", "answer": "answer"},
        samples=_MANY,
    ),
    Benchmark(
        "gsm8k",
        "GSM8k",
        hub="openai/gsm8k",
        subset="main",
        splits=("test",),
        size=1319,
        cites="Cobbe et al. 2021, arXiv 2110.14168",
        columns={"question": "question", "answer": "answer"},
        answer_form="hashes",
    ),
    Benchmark(
        "math500",
        "MATH-500",
        hub="HuggingFaceH4/MATH-500",
        splits=("test",),
        size=500,
        cites="Hendrycks et al. 2021, arXiv 2103.03874; the 500 of Lightman et al. 2023, arXiv"
        " 2305.20050",
        columns={"question": "problem", "answer": "answer", "category": "subject"},
    ),
    Benchmark(
        "mmlu_stem",
        "MMLU-STEM",
        hub="TIGER-Lab/MMLU-STEM",
        splits=("test",),
        size=3153,
        cites="Hendrycks et al. 2020, arXiv 2009.03300",
        columns={
            "question": "question",
            "answer": "answer",
            "choices": "choices",
            "category": "subject",
        },
        answer_form="index",
        verifier="choice",
    ),
)
