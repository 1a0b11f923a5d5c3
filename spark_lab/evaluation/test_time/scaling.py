"""Accuracy against tokens of every way to spend more tokens on a question.

| strategy, size | chosen answer | tokens |
|---|---|---|
| reflect_r | the answer after r rounds of judge, and reflect if rejected (`chain`) | all of them |
| vote_k | the most frequent of k samples | k samples |
| weighted_k | the same, each vote weighed by the judge's probability that it is right | and judging |
| best_k | the one with the greatest probability | and judging |
| tournament_k | the winner of a knockout by the pairwise judge (`tournament`) | and matches |
| oracle_k | a right one if there is any: what no choice can exceed | k samples |

reflect_0 is the plain answer, vote_1 a plain sample. All but reflect share N samples, drawn once; for
k < N they are cut into N // k blocks, over which accuracy and tokens are averaged, which is unbiased
and varies less than the first k samples. Judges choose among the first N / 2 only: with their
judgements these cost about what all N votes do, so there is a vote of the same price to compare with.
Tokens are the generated ones that the strategy alone would need: an answer is judged once however
often it was drawn. Prompts are not counted.

Answers to a question are the same where the verifier says so. A verdict whose probability can't be
read weighs 1 or 0, an unreadable verdict 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import fsum

from spark_lab.evaluation import metrics
from spark_lab.evaluation.generation import Completer
from spark_lab.evaluation.test_time import chain
from spark_lab.evaluation.test_time.asking import Asker
from spark_lab.evaluation.test_time.choosing import most_trusted, vote
from spark_lab.evaluation.test_time.pool import Pool, draw, judge_pools, make_pools
from spark_lab.evaluation.test_time.tournament import play
from spark_lab.evaluation.trial import Row, rollout_of
from spark_lab.prompts import TemplateSet
from spark_lab.records import Question
from spark_lab.schema import EvalConfig
from spark_lab.tasks import Task

# The draws of an evaluation before these take eval.seed and the two after it.
_SEED = 3

# The place of the chosen answer (None: none could be read), and the tokens besides the samples'.
Choice = tuple[int | None, float]


@dataclass(frozen=True, slots=True)
class Scaled:
    """`outcomes`: one {"question", "strategy", "size", "accuracy", "tokens"} for each of them.

    Accuracy is a mean over blocks, from 0 to 1. `rows` are the rollouts made for it, and
    `generated_tokens` what was decoded for them.
    """

    outcomes: list[Row]
    rows: list[Row]
    generated_tokens: int


def scale(
    task: Task,
    templates: TemplateSet,
    config: EvalConfig,
    solved: Sequence[Row],
    completer: Completer,
) -> Scaled:
    """`solved` are the rows of `policy.solve`: its samples are the first of the N."""
    asker = Asker(
        completer,
        task.eval,
        task.verifier,
        temperature=config.answer_temperature,
        seed=config.seed + _SEED,
    )
    wanted = config.test_time_samples
    sampled = [row for row in solved if 0 < row["sample"] <= wanted]
    more: list[Row] = []
    if wanted > config.samples:
        more = draw(
            task.eval,
            templates.solve,
            task.verifier,
            completer,
            samples=wanted - config.samples,
            temperature=config.temperature,
            seed=config.seed + _SEED,
        )
    pools = make_pools(task.eval, [*sampled, *more], task.verifier)
    judge_pools(pools, wanted // 2, asker, templates)
    outcomes = reflected(task.eval, templates, config.test_time_rounds, solved, asker)
    outcomes += _voted(pools, wanted)
    outcomes += _trusted(pools, wanted // 2)
    outcomes += _tournaments(pools, wanted // 2, asker, templates)
    tokens = asker.tokens + sum(row["tokens"] for row in more)
    return Scaled(outcomes, [*more, *asker.rows], tokens)


def scaled_metrics(outcomes: Sequence[Row], rounds: int) -> dict[str, float | None]:
    """Means over questions; tts/accuracy is that of `rounds` of judge and reflect, as in SPARK."""
    groups: dict[str, list[Row]] = {}
    for row in outcomes:
        groups.setdefault(f"{row['strategy']}_{row['size']}", []).append(row)
    found = {
        f"tts/{name}/{key}": metrics.mean([row[source] for row in rows])
        for name, rows in groups.items()
        for key, source in (("accuracy", "accuracy"), ("tokens_per_question", "tokens"))
    }
    headline = f"tts/reflect_{rounds}/"
    return {
        "tts/accuracy": found[f"{headline}accuracy"],
        "tts/tokens_per_question": found[f"{headline}tokens_per_question"],
        **found,
    }


def reflected(
    questions: Sequence[Question],
    templates: TemplateSet,
    rounds: int,
    solved: Sequence[Row],
    asker: Asker,
) -> list[Row]:
    """Outcomes of reflect_0 (the plain answers among the `solved` rows) to reflect_`rounds`."""
    by_index = {question.index: question for question in questions}
    chains = [
        chain.Chain(by_index[row["question"]], rollout_of(row), row["tokens"])
        for row in solved
        if row["sample"] == 0
    ]
    outcomes = [_outcome("reflect", 0, one) for one in chains]
    for size in range(1, rounds + 1):
        chain.judge(chains, asker, templates)
        chain.reflect(chains, asker, templates)
        outcomes += [_outcome("reflect", size, one) for one in chains]
    return outcomes


def _outcome(strategy: str, size: int, one: chain.Chain) -> Row:
    correct = float(one.rollout.verdict.correct)
    return _row(one.question.index, strategy, size, correct, float(one.tokens))


def _voted(pools: Sequence[Pool], most: int) -> list[Row]:
    def plain(pool: Pool, block: slice) -> Choice:
        return vote(pool.places[block]), 0.0

    def oracle(pool: Pool, block: slice) -> Choice:
        places = range(block.start, block.stop)
        right = (place for place in places if pool.group.rollouts[place].verdict.correct)
        return next(right, None), 0.0

    return _chosen("vote", plain, pools, most) + _chosen("oracle", oracle, pools, most)


def _trusted(pools: Sequence[Pool], most: int) -> list[Row]:
    def weighted(pool: Pool, block: slice) -> Choice:
        return vote(pool.places[block], pool.weights(block)), pool.judging(block)

    def best(pool: Pool, block: slice) -> Choice:
        return most_trusted(pool.places[block], pool.weights(block)), pool.judging(block)

    return _chosen("weighted", weighted, pools, most) + _chosen("best", best, pools, most)


def _tournaments(
    pools: Sequence[Pool], most: int, asker: Asker, templates: TemplateSet
) -> list[Row]:
    entered = [
        (number, pool, block)
        for size in _sizes("tournament", most)
        for number, pool in enumerate(pools)
        for block in pool.blocks(size, most)
    ]
    played = play(
        [(number, pool.places[block]) for number, pool, block in entered],
        [pool.group for pool in pools],
        asker,
        templates,
    )
    found = {
        (pool.group.question.index, block.start, block.stop): (one.bracket.winner, one.tokens)
        for (_, pool, block), one in zip(entered, played, strict=True)
    }

    def tournament(pool: Pool, block: slice) -> Choice:
        return found[pool.group.question.index, block.start, block.stop]

    return _chosen("tournament", tournament, pools, most)


def _sizes(strategy: str, most: int) -> list[int]:
    """How many samples are chosen from: 2, 4, 8 ... and all; a vote also "chooses" from one."""
    powers = [2**power for power in range(most.bit_length()) if 2**power < most]
    return [size for size in (*powers, most) if size > 1 or strategy == "vote"]


def _chosen(
    strategy: str,
    choose: Callable[[Pool, slice], Choice],
    pools: Sequence[Pool],
    most: int,
) -> list[Row]:
    """A strategy at each size up to `most`: means over the blocks of every question."""
    outcomes = []
    for size in _sizes(strategy, most):
        for pool in pools:
            right, spent = [], []
            for block in pool.blocks(size, most):
                place, further = choose(pool, block)
                rollouts = pool.group.rollouts
                right.append(float(place is not None and rollouts[place].verdict.correct))
                spent.append(sum(pool.tokens[block]) + further)
            mean = (fsum(right) / len(right), fsum(spent) / len(spent))
            outcomes.append(_row(pool.group.question.index, strategy, size, *mean))
    return outcomes


def _row(question: int, strategy: str, size: int, accuracy: float, tokens: float) -> Row:
    names = ("question", "strategy", "size", "accuracy", "tokens")
    return dict(zip(names, (question, strategy, size, accuracy, tokens), strict=True))
