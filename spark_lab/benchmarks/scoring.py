"""From graded answers to the figures of a benchmark. An unanswered question is a wrong one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

from spark_lab.benchmarks.benchmark import Benchmark, Entry
from spark_lab.benchmarks.figures import Figure, clustered, difference, mean, share
from spark_lab.evaluation import metrics
from spark_lab.evaluation.test_time.choosing import equal_answers, vote
from spark_lab.evaluation.trial import Row

Figures = dict[str, Figure]


def figures(
    benchmark: Benchmark, entries: Sequence[Entry], rows: Sequence[Row], outcomes: Sequence[Row]
) -> Figures:
    """`rows` are those of `policy.solve` and of judging and reflecting; `outcomes` of the latter.

    accuracy: of one answer to each question. avg_at_k, pass_at_k, vote_at_k: of k samples. tts/*: the
    same after judging and reflecting; tts/gain: the headline's change, paired by question where the
    headline is accuracy.
    """
    answered = {row["question"]: row for row in rows if row["sample"] == 0}
    singles = [answered[entry.question.index] for entry in entries]
    right = [row["reward"] for row in singles]
    found = _judged(benchmark, entries, right, [row["answer"] for row in singles])
    found["parse_failure_rate"] = share([float(not row["parsed"]) for row in singles])
    found["truncated_rate"] = share([float(row["truncated"]) for row in singles])
    found |= _sampled(entries, rows)
    if outcomes:
        found |= _scaled(benchmark, entries, rows, outcomes, found)
    return found | _categories(entries, right)


def _judged(
    benchmark: Benchmark,
    entries: Sequence[Entry],
    right: Sequence[float],
    given: Sequence[str | None],
) -> Figures:
    found = {"accuracy": _accuracy(entries, right)}
    if benchmark.extra is not None:
        found |= benchmark.extra(entries, [bool(one) for one in right], given)
    return found


def _accuracy(entries: Sequence[Entry], right: Sequence[float]) -> Figure:
    units = _units(entries)
    return share(right) if len(set(units)) == len(units) else clustered(right, units)


def _mean(entries: Sequence[Entry], values: Sequence[float]) -> Figure:
    units = _units(entries)
    return mean(values) if len(set(units)) == len(units) else clustered(values, units)


def _units(entries: Sequence[Entry]) -> list[str]:
    """What stands or falls together: a question, or all those of one unit."""
    return [entry.unit or str(entry.question.index) for entry in entries]


def _sampled(entries: Sequence[Entry], rows: Sequence[Row]) -> Figures:
    drawn: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        if row["sample"] is not None and row["sample"] > 0:
            drawn[row["question"]].append(row)
    if not drawn:
        return {}
    samples = [drawn[entry.question.index] for entry in entries]
    k = len(samples[0])
    rewards = [[row["reward"] for row in group] for group in samples]
    found = {
        f"avg_at_{k}": _mean(entries, [fmean(one) for one in rewards]),
        f"pass_at_{k}": share([metrics.pass_at_k(k, one.count(1.0), k) for one in rewards]),
    }
    if k > 2:
        chosen = [_voted(entry, group) for entry, group in zip(entries, samples, strict=True)]
        found[f"vote_at_{k}"] = share(chosen)
    return found


def _voted(entry: Entry, samples: Sequence[Row]) -> float:
    place = vote(equal_answers([row["answer"] for row in samples], entry.verifier))
    return 0.0 if place is None else samples[place]["reward"]


def _scaled(
    benchmark: Benchmark,
    entries: Sequence[Entry],
    rows: Sequence[Row],
    outcomes: Sequence[Row],
    before: Figures,
) -> Figures:
    rounds = max(row["size"] for row in outcomes)
    by_size = {(row["question"], row["size"]): row["accuracy"] for row in outcomes}
    first, last = (
        [by_size[entry.question.index, size] for entry in entries] for size in (0, rounds)
    )
    # A reflection replaces the answer before it.
    said = {row["question"]: row["answer"] for row in rows if row["sample"] == 0}
    said |= {row["question"]: row["answer"] for row in rows if row["objective"] == "reflect"}
    given = [said[entry.question.index] for entry in entries]
    after = _judged(benchmark, entries, last, given)
    gain = difference(last, first)
    if benchmark.headline != "accuracy":
        change = after[benchmark.headline].value - before[benchmark.headline].value
        gain = Figure(change, None, None, after[benchmark.headline].count)
    return {f"tts/{name}": figure for name, figure in after.items()} | {"tts/gain": gain}


def _categories(entries: Sequence[Entry], right: Sequence[float]) -> Figures:
    by_name: dict[str, list[tuple[Entry, float]]] = defaultdict(list)
    for entry, one in zip(entries, right, strict=True):
        if entry.category:
            by_name[entry.category].append((entry, one))
    return {
        f"category/{name}": _accuracy(*zip(*by_name[name], strict=True)) for name in sorted(by_name)
    }
