"""How well the model solves held-out questions, greedily and sampled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from spark_lab import answers, prompts
from spark_lab.evaluation import metrics
from spark_lab.evaluation.generation import Completer
from spark_lab.evaluation.trial import Row, solve_row
from spark_lab.records import Group, Question, Rollout
from spark_lab.schema import EvalConfig


def solve(
    questions: Sequence[Question],
    template: str,
    verifier: str,
    config: EvalConfig,
    completer: Completer,
) -> tuple[list[Row], list[Group]]:
    """One greedy and `config.samples` sampled solutions of each question.

    The sampling seed is the same at every evaluation and in every arm (common random numbers). The
    groups hold the sampled solutions.
    """
    texts = [prompts.fill(template, question=question.text) for question in questions]
    greedy = completer.complete(texts)
    sampled = completer.complete(
        texts, samples=config.samples, temperature=config.temperature, seed=config.seed
    )
    rows, groups = [], []
    for question, text, first, others in zip(questions, texts, greedy, sampled, strict=True):
        rollouts = []
        for sample, completion in enumerate([*first, *others]):
            verdict = answers.grade_answer(verifier, completion.text, question.answer)
            rows.append(
                solve_row(text, question.index, question.answer, sample, completion, verdict)
            )
            rollouts.append(Rollout(completion.text, verdict))
        groups.append(Group(question, tuple(rollouts[1:])))
    return rows, groups


def policy_metrics(rows: Sequence[Row]) -> dict[str, float | None]:
    """Parse failures, truncation and length are those of the greedy solutions."""
    greedy = [row for row in rows if row["sample"] == 0]
    sampled = [row for row in rows if row["sample"] > 0]
    rewards: dict[int, list[float]] = defaultdict(list)
    for row in sampled:
        rewards[row["question"]].append(row["reward"])
    found = {
        "policy/accuracy": metrics.mean([row["reward"] for row in greedy]),
        "policy/sampled_accuracy": metrics.mean([row["reward"] for row in sampled]),
        "policy/parse_failure_rate": metrics.mean([not row["parsed"] for row in greedy]),
        "policy/truncated_rate": metrics.mean([row["truncated"] for row in greedy]),
        "policy/tokens": metrics.mean([row["tokens"] for row in greedy]),
    }
    if rewards:
        k = min(map(len, rewards.values()))
        solved = [metrics.pass_at_k(len(r), r.count(1.0), k) for r in rewards.values()]
        found[f"policy/pass_at_{k}"] = metrics.mean(solved)
    return found
