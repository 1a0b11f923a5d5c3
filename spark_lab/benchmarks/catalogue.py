"""All benchmarks by name, the suites that they make up, and how each kind of them is measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from spark_lab.benchmarks import (
    general,
    loading,
    reasoning,
    reward_bench_2,
    visual,
    vl_reward_bench,
)
from spark_lab.benchmarks.benchmark import Benchmark
from spark_lab.benchmarks.figures import Measured
from spark_lab.errors import Problem, UserError, unknown
from spark_lab.records import Question

# A task of lm-evaluation-harness by its own name.
HARNESS = "lm_eval:"


class Protocol(NamedTuple):
    """`load` gives the items, from `count` rows; `measure` asks and scores them."""

    load: Callable[..., Any]
    fingerprint: Callable[[Any], str]
    questions: Callable[[Any], list[Question]]
    count: Callable[[Any], int]
    measure: Callable[..., Measured]


def _ask(*arguments: Any) -> Measured:
    # It imports torch, which what is wrong with a benchmark's rows doesn't pay for.
    from spark_lab.benchmarks import asking

    return asking.measure(*arguments)


_QUESTIONS = Protocol(loading.load, loading.fingerprint, loading.questions, loading.count, _ask)
_JUDGING = {
    module.BENCHMARK.name: Protocol(
        module.load, module.fingerprint, module.questions, len, module.measure
    )
    for module in (reward_bench_2, vl_reward_bench)
}
_ALL = (
    *reasoning.BENCHMARKS,
    *visual.BENCHMARKS,
    reward_bench_2.BENCHMARK,
    vl_reward_bench.BENCHMARK,
    *general.BENCHMARKS,
)
BENCHMARKS: dict[str, Benchmark] = {one.name: one for one in _ALL}


def _names(*groups: tuple[Benchmark, ...]) -> tuple[str, ...]:
    return tuple(one.name for group in groups for one in group)


_REWARD = (reward_bench_2.BENCHMARK, vl_reward_bench.BENCHMARK)
SUITES: dict[str, tuple[str, ...]] = {
    "reasoning": _names(reasoning.BENCHMARKS),
    "visual": _names(visual.BENCHMARKS),
    "reward": _names(_REWARD),
    "general": _names(general.BENCHMARKS),
    "paper_llm": _names(reasoning.BENCHMARKS, _REWARD[:1]),
    "paper_vl": _names(visual.BENCHMARKS, _REWARD),
}


def protocol_of(benchmark: Benchmark) -> Protocol:
    return _JUDGING.get(benchmark.name, _QUESTIONS)


def chosen(text: str) -> tuple[list[Benchmark], list[str]]:
    """The benchmarks of "gsm8k,math500" or of suites, and the tasks of lm-eval among them, each once.

    Raises UserError for an unknown name, or one that can't be measured here.
    """
    found: dict[str, Benchmark] = {}
    tasks: dict[str, None] = {}
    for name in filter(None, (part.strip() for part in text.strip("[]").split(","))):
        if name.startswith(HARNESS):
            tasks[name.removeprefix(HARNESS)] = None
            continue
        for member in SUITES.get(name, (name,)):
            if member not in BENCHMARKS:
                raise UserError(_no_benchmark(text, member))
            found[member] = BENCHMARKS[member]
    if not found and not tasks:
        known = ", ".join([*SUITES, *BENCHMARKS])
        raise UserError(Problem("suite", repr(text), f"some of {known}", "suite=paper_llm"))
    return list(found.values()), list(tasks)


def _no_benchmark(text: str, name: str) -> Problem:
    if name in general.JUDGED:
        got = "{}: {}".format(*general.JUDGED[name])
        return Problem(f"suite={text}", got, "what can be scored here", "leave it out")
    return unknown(f"suite={text}", name, [*SUITES, *BENCHMARKS], "suite=")
