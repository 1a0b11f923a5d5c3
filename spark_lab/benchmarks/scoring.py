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
    """`rows` are those of `policy.solve`; `outcomes` those of judging and reflecting, where it was due.

    accuracy: of one answer to each question. avg_at_k, pass_at_k, vote_at_k: of k samples.
    tts/accuracy: after judging and reflecting; tts/gain: that minus accuracy, paired by question.
    """
    answered = {row["question"]: row for row in rows if row["sample"] == 0}
    singles = [answered[entry.question.index] for entry in entries]
    right = [row["reward"] for row in singles]
    found = {
        "accuracy": _accuracy(entries, right),
        "parse_failure_rate": share([float(not row["parsed"]) for row in singles]),
        "truncated_rate": share([float(row["truncated"]) for row in singles]),
    }
    found |= _sampled(entries, rows)
    if outcomes:
        found |= _scaled(entries, right, outcomes)
    found |= _categories(entries, right)
    if benchmark.extra is not None:
        said = [row["answer"] for row in singles]
        found |= benchmark.extra(entries, [bool(one) for one in right], said)
    return found


def _accuracy(entries: Sequence[Entry], right: Sequence[float]) -> Figure:
    units = [entry.unit or str(entry.question.index) for entry in entries]
    return share(right) if len(set(units)) == len(units) else clustered(right, units)


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
        f"avg_at_{k}": mean([fmean(one) for one in rewards]),
        f"pass_at_{k}": share([metrics.pass_at_k(k, one.count(1.0), k) for one in rewards]),
    }
    if k > 2:
        chosen = [_voted(entry, group) for entry, group in zip(entries, samples, strict=True)]
        found[f"vote_at_{k}"] = share(chosen)
    return found


def _voted(entry: Entry, samples: Sequence[Row]) -> float:
    place = vote(equal_answers([row["answer"] for row in samples], entry.verifier))
    return 0.0 if place is None else samples[place]["reward"]


def _scaled(entries: Sequence[Entry], right: Sequence[float], outcomes: Sequence[Row]) -> Figures:
    rounds = max(row["size"] for row in outcomes)
    last = {row["question"]: row for row in outcomes if row["size"] == rounds}
    after = [last[entry.question.index]["accuracy"] for entry in entries]
    return {"tts/accuracy": _accuracy(entries, after), "tts/gain": difference(after, right)}


def _categories(entries: Sequence[Entry], right: Sequence[float]) -> Figures:
    by_name: dict[str, list[tuple[Entry, float]]] = defaultdict(list)
    for entry, one in zip(entries, right, strict=True):
        if entry.category:
            by_name[entry.category].append((entry, one))
    return {
        f"category/{name}": _accuracy(*zip(*by_name[name], strict=True)) for name in sorted(by_name)
    }
