"""Test-time scaling: of a model with known abilities against closed forms, and its parts."""

from __future__ import annotations

import json
import math
from collections import defaultdict

import pytest
from known_abilities import (
    OUTCOMES,
    TEMPLATES,
    TOKENS,
    UNREADABLE,
    Abilities,
    KnownModel,
    choosing,
    reflecting,
    task_of,
)
from test_evaluation import COLUMNS, eval_config

from spark_lab.evaluation import Evaluator
from spark_lab.evaluation.policy import solve
from spark_lab.evaluation.test_time import scale
from spark_lab.evaluation.test_time.choosing import Bracket, equal_answers, most_trusted, vote

QUESTIONS = 3000
SAMPLES, ROUNDS = 8, 3
# Judges choose from half of the samples.
VOTED, JUDGED = (2, 4, 8), (2, 4)
# Means of 3,000 questions are within four standard errors, but for one time in 16,000.
ERRORS = 4


def scaled(model: KnownModel, questions: int, **changes):
    config = eval_config(
        answer_temperature=1.0,
        test_time="always",
        test_time_rounds=ROUNDS,
        **({"test_time_samples": SAMPLES} | changes),
    )
    task = task_of(questions)
    rows, _ = solve(task.eval, TEMPLATES.solve, task.verifier, config, model)
    return scale(task, TEMPLATES, config, rows, model)


def by_strategy(found) -> dict[tuple[str, int], list[tuple[float, float]]]:
    """(accuracy, tokens) of the questions, in order."""
    table = defaultdict(list)
    for row in found.outcomes:
        table[row["strategy"], row["size"]].append((row["accuracy"], row["tokens"]))
    return table


@pytest.fixture(scope="module")
def measured():
    return by_strategy(scaled(KnownModel(Abilities()), QUESTIONS))


EXPECTED = {("reflect", rounds): reflecting(Abilities(), rounds) for rounds in range(ROUNDS + 1)}
EXPECTED |= {
    (name, k): choosing(Abilities(), k, name)
    for name in OUTCOMES
    for k in (VOTED if name in ("vote", "oracle") else JUDGED)
}
EXPECTED["vote", 1] = (Abilities().solves[0], TOKENS["solve"])


@pytest.mark.parametrize("strategy", EXPECTED, ids=lambda one: f"{one[0]}_{one[1]}")
def test_accuracy_and_tokens_are_those_of_the_closed_form(measured, strategy) -> None:
    assert set(measured) == set(EXPECTED)
    for values, expected in zip(
        zip(*measured[strategy], strict=True), EXPECTED[strategy], strict=True
    ):
        mean = math.fsum(values) / QUESTIONS
        variance = math.fsum((value - mean) ** 2 for value in values) / (QUESTIONS - 1)
        assert abs(mean - expected) <= ERRORS * math.sqrt(variance / QUESTIONS) + 1e-9


def among_four(abilities: Abilities) -> dict[tuple[str, int], list[tuple[float, float]]]:
    """All strategies on the same four samples: judges choose from half of what is drawn."""
    model = KnownModel(abilities)
    judged = by_strategy(scaled(model, 300))
    voted = by_strategy(scaled(model, 300, test_time_samples=4))
    return judged | {(name, 4): voted[name, 4] for name in ("vote", "oracle")}


def accuracies(rows: list[tuple[float, float]]) -> list[float]:
    return [accuracy for accuracy, _ in rows]


def test_no_choice_exceeds_the_oracle_on_any_question() -> None:
    found = among_four(Abilities())
    most = accuracies(found["oracle", 4])
    for name in ("vote", "weighted", "best", "tournament"):
        pairs = zip(accuracies(found[name, 4]), most, strict=True)
        assert all(chosen <= best for chosen, best in pairs), name


def test_a_perfect_judge_finds_what_there_is() -> None:
    found = among_four(Abilities(accepts={True: 1.0, False: 0.0}, prefers=1.0))
    for name in ("weighted", "best", "tournament"):
        assert accuracies(found[name, 4]) == accuracies(found["oracle", 4])


def test_a_judge_that_accepts_all_is_a_vote_that_costs_more() -> None:
    found = among_four(Abilities(accepts={True: 1.0, False: 1.0}))
    weighted, voted = found["weighted", 4], found["vote", 4]
    assert accuracies(weighted) == accuracies(voted)
    assert sum(spent for _, spent in weighted) > sum(spent for _, spent in voted)
    for (after, spent), (before, plain) in zip(
        found["reflect", 3], found["reflect", 0], strict=True
    ):
        assert after == before or spent > plain + TOKENS["judge"], "only the unreadable goes on"


def test_what_it_says_is_what_it_cost(tmp_path) -> None:
    """The rows hold every rollout that was made for it, and the evaluation counts their tokens."""
    config = eval_config(answer_temperature=1.0, test_time="final", test_time_samples=4)
    evaluator = Evaluator(task_of(40), TEMPLATES, config, tmp_path / "judge_set.jsonl")
    model = KnownModel(Abilities())
    without = evaluator(model, step=0)
    result = evaluator(model, step=9, last=True)
    assert not without.outcomes and not any(key.startswith("tts/") for key in without.metrics)
    extra = [row for row in result.rows if row["set"] == "test_time"]
    assert all(set(row) == COLUMNS for row in extra)
    kinds = {(row["objective"], row["form"], row["material"]) for row in extra}
    assert kinds == {
        ("solve", None, None),
        ("pointwise", "yes_no", "answer"),
        ("pairwise", "pair", "answer"),
        ("reflect", "told_wrong", "answer"),
        ("reflect", "told_wrong", "working"),
    }
    assert json.loads(json.dumps(result.outcomes)) == result.outcomes
    assert {row["step"] for row in result.outcomes} == {9}
    # What training and its report rest on is as if nothing had been scaled.
    again = evaluator(model, step=9)
    spent = sum(row["tokens"] for row in extra)
    assert result.generated_tokens == again.generated_tokens + spent and spent > 0
    assert [row for row in result.rows if row["set"] != "test_time"] == again.rows
    assert again.metrics.items() < result.metrics.items()
    assert result.metrics["tts/accuracy"] == result.metrics["tts/reflect_2/accuracy"]
    assert result.metrics["tts/reflect_0/accuracy"] == result.metrics["policy/accuracy"]
    assert result.metrics["tts/reflect_0/tokens_per_question"] == result.metrics["policy/tokens"]


def test_fewer_candidates_than_samples_are_drawn_once() -> None:
    """All N are among the samples of pass@k, so nothing more is drawn."""
    found = scaled(KnownModel(Abilities()), 20, samples=9)
    assert not [row for row in found.rows if row["objective"] == "solve"]
    assert {row["size"] for row in found.outcomes if row["strategy"] == "vote"} == {1, 2, 4, 8}


def test_a_model_that_writes_nothing_is_measured_too() -> None:
    class Silent(KnownModel):
        def _one(self, prompt, rng):
            return super()._one("check|", rng)

    found = by_strategy(scaled(Silent(Abilities()), 5))
    assert all(accuracy == 0.0 for rows in found.values() for accuracy, _ in rows)


def test_answers_are_equal_where_the_verifier_says_so() -> None:
    texts = ["0.5", None, "1/2", "3", "1/2", "three", "three"]
    assert equal_answers(texts, "numeric") == [0, None, 0, 3, 0, 5, 5]
    assert equal_answers(texts, "exact") == [0, None, 2, 3, 2, 5, 5]


def test_ties_go_to_what_was_drawn_first_and_unreadable_answers_have_no_vote() -> None:
    assert vote([3, 1, 1, 3]) == 3
    assert vote([None, None, None, 5]) == 5
    assert vote([None]) is None and vote([]) is None
    assert vote([0, 1, 1], [0.9, 0.3, 0.4]) == 0
    assert vote([0, 1, 1], [0.0, 0.0, 0.0]) == 1, "without any trust it is a plain vote"
    assert most_trusted([0, None, 2], [0.4, 1.0, 0.4]) == 0
    assert most_trusted([None], [1.0]) is None


def test_a_knockout_pairs_neighbours_and_a_draw_goes_to_the_votes() -> None:
    bracket = Bracket([4, 7, None, 7, 9])
    assert bracket.matches() == [(4, 7)]
    bracket.advance([(1, 1)])
    assert bracket.matches() == [(7, 9)], "7 has two votes"
    bracket.advance([(0, 2)])
    assert (bracket.matches(), bracket.winner) == ([], 9)
    assert Bracket([None]).winner is None


def test_the_same_arguments_give_the_same_outcomes() -> None:
    one, two = (scaled(KnownModel(Abilities()), 30) for _ in range(2))
    assert (one.outcomes, one.rows) == (two.outcomes, two.rows)
    other = scaled(KnownModel(Abilities()), 30, seed=1)
    assert one.outcomes != other.outcomes
    assert UNREADABLE in {row["completion"] for row in one.rows}
