"""How well the model solves held-out questions: one answer each, and k samples for pass@k."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from spark_lab import answers, prompts
from spark_lab.evaluation import metrics
from spark_lab.evaluation.generation import Completer
from spark_lab.evaluation.trial import Row, solve_row
from spark_lab.records import Group, Prompt, Question, Rollout, cut_thinking
from spark_lab.schema import EvalConfig


def solve(
    questions: Sequence[Question],
    template: str,
    verifier: str,
    config: EvalConfig,
    completer: Completer,
) -> tuple[list[Row], list[Group]]:
    """The answer (sample 0) and `config.samples` further samples (1 ...) of each question.

    Where answers are sampled, a greedy one stands beside them as sample -1. The sampling seed is
    the same at every evaluation and in every arm (common random numbers). The groups hold the
    samples 1 ....
    """
    asked = [
        Prompt(prompts.fill(template, question=question.text), question.images)
        for question in questions
    ]
    drawn = [completer.complete(asked, temperature=config.answer_temperature, seed=config.seed)]
    if config.samples:
        drawn.append(
            completer.complete(
                asked, samples=config.samples, temperature=config.temperature, seed=config.seed + 1
            )
        )
    greedy = [completer.complete(asked)] if config.answer_temperature > 0 else []
    first = -len(greedy)
    rows, groups = [], []
    for question, prompt, *found in zip(questions, asked, *greedy, *drawn, strict=True):
        rollouts = []
        for sample, completion in enumerate([c for part in found for c in part], start=first):
            verdict = answers.grade_answer(verifier, completion.text, question.answer)
            rows.append(
                solve_row(prompt, question.index, question.answer, sample, completion, verdict)
            )
            rollouts.append(Rollout(completion.text, verdict))
        groups.append(Group(question, tuple(rollouts[1 - first :])))
    return rows, groups


def policy_metrics(rows: Sequence[Row]) -> dict[str, float | None]:
    """Parse failures, truncation and length are those of the answers (sample 0)."""
    greedy = [row for row in rows if row["sample"] == -1]
    answered = [row for row in rows if row["sample"] == 0]
    sampled = [row for row in rows if row["sample"] > 0]
    rewards: dict[int, list[float]] = defaultdict(list)
    for row in sampled:
        rewards[row["question"]].append(row["reward"])
    found = {
        "policy/accuracy": metrics.mean([row["reward"] for row in answered]),
        "policy/sampled_accuracy": metrics.mean([row["reward"] for row in sampled]),
        "policy/parse_failure_rate": metrics.mean([not row["parsed"] for row in answered]),
        "policy/truncated_rate": metrics.mean([row["truncated"] for row in answered]),
        "policy/tokens": metrics.mean([row["tokens"] for row in answered]),
    }
    if any("think>" in row["completion"] for row in answered):
        cut = [cut_thinking(row["completion"]) for row in answered]
        found["policy/thinking_cut_rate"] = metrics.mean(cut)
    if greedy:
        found["policy/greedy_accuracy"] = metrics.mean([row["reward"] for row in greedy])
    if rewards:
        k = min(map(len, rewards.values()))
        solved = [metrics.pass_at_k(len(r), r.count(1.0), k) for r in rewards.values()]
        found[f"policy/pass_at_{k}"] = metrics.mean(solved)
    return found
