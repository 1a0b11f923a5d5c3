"""Putting a benchmark's questions to a model: one answer, samples, and rounds of judge and reflect."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from spark_lab.benchmarks.benchmark import Benchmark, Entry
from spark_lab.benchmarks.figures import Measured
from spark_lab.benchmarks.scoring import figures
from spark_lab.evaluation.generation import Completer
from spark_lab.evaluation.policy import solve
from spark_lab.evaluation.test_time import reflected
from spark_lab.evaluation.test_time.asking import Asker
from spark_lab.evaluation.trial import Row
from spark_lab.prompts import TemplateSet
from spark_lab.schema import EvalConfig

# The draws before these take eval.seed and the one after it.
_SEED = 3


def measure(
    benchmark: Benchmark,
    entries: Sequence[Entry],
    templates: TemplateSet,
    config: EvalConfig,
    completer: Completer,
) -> Measured:
    """`config.samples` is the k of avg@k, 0 for none; `config.test_time` off leaves judging out."""
    rows: list[Row] = []
    outcomes: list[Row] = []
    for number, verifier in enumerate(dict.fromkeys(entry.verifier for entry in entries)):
        questions = [entry.question for entry in entries if entry.verifier == verifier]
        prompt = benchmark.prompts[verifier == "choice"]
        solved, _ = solve(questions, prompt, verifier, config, completer)
        rows += solved
        if config.test_time == "off":
            continue
        temperature, seed = config.answer_temperature, config.seed + _SEED + 1_000 * number
        asker = Asker(completer, questions, verifier, temperature=temperature, seed=seed)
        rounds = config.test_time_rounds
        outcomes += reflected(questions, templates, rounds, solved, asker)
        rows += asker.rows
    found = figures(benchmark, entries, rows, outcomes)
    tokens = {"accuracy": fmean(row["tokens"] for row in rows if row["sample"] == 0)}
    if outcomes:
        last = [row for row in outcomes if row["size"] == config.test_time_rounds]
        tokens["tts/accuracy"] = fmean(row["tokens"] for row in last)
    return Measured(found, rows, tokens)
