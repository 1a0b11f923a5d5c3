"""RewardBench 2 and VL-RewardBench: what is asked, what is read, and scores worked out by hand."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
from known_abilities import TEMPLATES
from known_benchmarks import REWARD_BENCH_2, VL_REWARD_BENCH, copy, png
from test_benchmarks import GREEDY, Scripted

from spark_lab.benchmarks import catalogue, reward_bench_2, vl_reward_bench
from spark_lab.benchmarks.reward_bench_2 import RATINGS, Choice
from spark_lab.benchmarks.ties import Rated, ties
from spark_lab.errors import UserError

RB2 = reward_bench_2.BENCHMARK
VLRB = vl_reward_bench.BENCHMARK


def choices(folder: Path, rows: list | None = None) -> list[Choice]:
    return reward_bench_2.load(
        RB2, copy(RB2.name, folder, REWARD_BENCH_2 if rows is None else rows)
    )


def test_four_answers_are_ranked_and_ties_are_rated_one_by_one(tmp_path: Path) -> None:
    found = choices(tmp_path)
    asked = reward_bench_2.ask(found, seed=0)
    assert [one.label == RATINGS for one in asked] == [False] * 3 + [True] * 7
    for one in asked[:3]:
        shown = one.prompt.partition(f"[Assistant {one.label}'s answer]\n")[2]
        assert shown.startswith("right") and all(f"\nw{n}\n" in one.prompt for n in (1, 2, 3))
    assert [one.prompt.partition("[Answer]\n")[2].split("\n")[0] for one in asked[3:]] == [
        "red", "seven", "dog", "red", "blue", "seven", "dog"]  # fmt: skip
    assert reward_bench_2.ask(found, seed=0) == asked != reward_bench_2.ask(found, seed=1)


def test_the_right_answer_is_in_every_place_alike() -> None:
    many = [Choice(str(n), "Math", "?", ("right", "a", "b", "c"), 1) for n in range(2_000)]
    places = Counter(one.label for one in reward_bench_2.ask(many, seed=0))
    assert set(places) == set("ABCD") and max(places.values()) < 600


READ = [
    ("[[A]] is worse, so [[C]]", "C"), ("[[E]]", None), ("A", None), ("", None),
    ("<think>[[A]]</think> [[B]]", "B"), ("<think>[[A]]", None), ("[[ A ]]", None),
]  # fmt: skip
RATED = [
    ("Good.\n\n9", "9"), ("10", "10"), ("It is 7 ", "7"), ("8/10", "8"), ("11", None), ("0", None),
    ("7.5", None), ("**9**", None), ("-3", None), ("nine", None), ("", None), ("<think>9", None),
    ("It is a 9.", None), ("1 of 10", "10"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "verdict"), READ)
def test_verdicts(text: str, verdict: str | None) -> None:
    assert reward_bench_2.Asked(0, "", "A").verdict(text) == verdict


@pytest.mark.parametrize(("text", "rating"), RATED)
def test_ratings(text: str, rating: str | None) -> None:
    assert reward_bench_2.Asked(0, "", RATINGS).verdict(text) == rating


def test_scores_by_hand(tmp_path: Path) -> None:
    """Math: one right, one unreadable. Safety: right. Ties: ref 9 > 3, 2; tied 8, 7 > 5, 1."""
    found = choices(tmp_path)
    labels = [one.label for one in reward_bench_2.ask(found, GREEDY.seed)]
    texts = [f"[[{labels[0]}]]", "I can't tell.", f"[[{labels[2]}]]"]
    script = Scripted([*texts, *"9328751"])
    measured = reward_bench_2.measure(RB2, found, TEMPLATES, GREEDY, script)
    # d(ref) = 6, d(tied) = 2, spread 1: accurate, preferred and hard, and tanh(2 / 1 - 1).
    tied = 0.3 + 0.3 + 0.2 + 0.2 + 0.01 * math.tanh(1)
    value = {name: figure.value for name, figure in measured.figures.items()}
    assert value["subset/Math"] == 0.5 and value["subset/Safety"] == 1.0
    assert value["subset/Ties"] == pytest.approx(tied)
    assert value["overall"] == pytest.approx((0.5 + 1.0 + tied) / 3)
    assert value["overall_official"] == pytest.approx(((1 + 0.25) / 2 + 1.0 + tied) / 3)
    assert value["parse_failure_rate"] == 0.1
    assert [row["correct"] for row in measured.rows[:3]] == [True, False, True]


def pair(ref: list, tied: list, right: int = 2) -> list[Rated]:
    return [Rated("ref:1", 1, ref), Rated("tied:1", right, tied)]


TIES = [
    # ref accurate 0.3, tied accurate 0.3, preferred 0.2 (d 3 > s 1), hard 0.2 (min(1, 3) = 1 is not > 1)
    (pair([9, 8], [9, 8, 5]), 0.3 + 0.3 + 0.2 + 0.01 * math.tanh(0)),
    (pair([9, 8], [9, 9, 5]), 0.3 + 0.3 + 0.2 + 0.2 + 0.01),  # spread 0: hard, and tanh's limit
    (pair([8, 8], [8, 8, 8]), 0.0),  # nothing between right and wrong
    (pair([3, 8], [9, 9, 5]), 0.3 + 0.2 - 0.01),  # only the tied one is accurate
    (pair([9, 2], [9, 4, 6]), 0.3 + 0.01 * math.tanh(-2 / 5 - 1)),
]  # fmt: skip


@pytest.mark.parametrize(("rated", "score"), TIES)
def test_ties_by_hand(rated: list[Rated], score: float) -> None:
    assert ties([rated]) == pytest.approx(score)
    assert ties([rated], strict=False) == pytest.approx(score)


def test_an_unreadable_rating_helps_nobody() -> None:
    """Of a wrong answer it would count -1, the best that can happen to it."""
    lost = pair([9, None], [9, 8, 5])
    assert ties([lost], strict=False) == pytest.approx(1.0 + 0.01 * math.tanh(2))
    assert ties([lost]) == pytest.approx(0.3 + 0.2 + 0.01 * math.tanh(-1))


WRONG = {
    "a subset of another name": ({"subset": "Chat"}, "one of Factuality"),
    "two right ones to rank": (
        {"chosen": ["a", "b"], "num_correct": 2},
        "one right and three wrong",
    ),
    "a wrong count": ({"num_correct": 2}, "as many right ones as num_correct"),
    "no wrong ones": ({"rejected": []}, "0 wrong"),
    "an answer that is no text": ({"chosen": [None]}, "lists of texts"),
    "an id of another form": ({"subset": "Ties", "id": "7"}, "ref:NUMBER or tied:NUMBER"),
    "half of a pair": ({"subset": "Ties", "id": "tied:7"}, "tied:7 alone"),
}


@pytest.mark.parametrize("case", WRONG)
def test_rows_that_cant_be_used(case: str, tmp_path: Path) -> None:
    changed, said = WRONG[case]
    with pytest.raises(UserError) as caught:
        choices(tmp_path, [REWARD_BENCH_2[0] | changed, *REWARD_BENCH_2[1:]])
    assert said in str(caught.value)


def test_a_part_leaves_lonely_ties_out(tmp_path: Path) -> None:
    folder = copy(RB2.name, tmp_path, REWARD_BENCH_2)
    assert len(reward_bench_2.load(RB2, folder, limit=4)) == 3
    assert len(reward_bench_2.load(RB2, folder, limit=5)) == 5


VERDICTS = [
    ("Overall Judgment: Answer 1 is better.", "1"), ("**Overall Judgment:** Answer **2** is better", "2"),
    ("Answer 1 is better at first, but Answer 2 is slightly better.", "2"), ("Neither.", None),
    ("answer 2 is the better one", "2"), ("Answer 3 is better", None), ("", None), ("Answer 1", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "verdict"), VERDICTS)
def test_judgements_of_pairs(text: str, verdict: str | None) -> None:
    assert vl_reward_bench.verdict_of(text) == verdict


def test_pairs_by_hand(tmp_path: Path) -> None:
    pairs = vl_reward_bench.load(VLRB, copy(VLRB.name, tmp_path, VL_REWARD_BENCH))
    assert [one.group for one in pairs] == ["reasoning", "reasoning", "hallucination", "general"]
    asked = vl_reward_bench.ask(pairs, GREEDY.seed)
    for (text, label), one in zip(asked, pairs, strict=True):
        better = one.answers[one.better]
        assert f"Answer {label}: {better}" in text and "<image>" not in text
    said = [f"Overall Judgment: Answer {label} is better." for _, label in asked]
    script = Scripted(
        [
            said[0],
            "No idea.",
            said[2],
            said[3].replace("1", "0").replace("2", "1").replace("0", "2"),
        ]
    )
    found = vl_reward_bench.measure(VLRB, pairs, TEMPLATES, GREEDY, script).figures
    value = {name: figure.value for name, figure in found.items()}
    assert (
        value["accuracy"] == 0.5 and value["maths"] == 1.0 and value["parse_failure_rate"] == 0.25
    )
    assert value["macro"] == pytest.approx((0.5 + 1.0 + 0.0) / 3)


def test_pairs_that_cant_be_used(tmp_path: Path) -> None:
    changes = {"human_ranking": [0, 0], "response": ["one"], "image": [png(1), png(2)]}
    for number, (key, held) in enumerate(changes.items()):
        folder = copy(VLRB.name, tmp_path / str(number), [VL_REWARD_BENCH[0] | {key: held}])
        with pytest.raises(UserError, match=key if key != "image" else "2 images"):
            catalogue.protocol_of(VLRB).load(VLRB, folder)
