"""Rewards from a verifier that errs, that knows some answers only, or from the policy's own verdict."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from tiny_spark import small

from spark_lab.errors import UserError
from spark_lab.records import Group, Question, Rollout, Verdict
from spark_lab.rewards import Labels, SelfJudge
from spark_lab.rewards.collapse import CollapseGuard, Tally
from spark_lab.rewards.labels import check_enough
from spark_lab.schema import RewardConfig
from spark_lab.training.stream import AnchoredStream, PromptStream

RIGHT, WRONG, SILENT = Verdict(1.0, "7"), Verdict(0.0, "8"), Verdict(0.0, None)


@cache
def composed() -> RewardConfig:
    return small("reward=self_judge").reward


def labels(*, questions: int = 1000, seed: int = 0, **settings: float) -> Labels:
    config = replace(composed(), **({"labelled": 1.0} | settings))
    return Labels(config, questions, seed=seed)


def judge(*, fits=lambda prompt: True, **settings: Any) -> SelfJudge:
    return SelfJudge(replace(composed().self_judge, **settings), seed=0, fits=fits)


def group(*answers: str | None) -> Group:
    rollouts = [
        Rollout("" if answer is None else rf"so \boxed{{{answer}}}", Verdict(0.0, answer))
        for answer in answers
    ]
    return Group(Question(0, "3+4", None), tuple(rollouts))


# -- the verifier ---------------------------------------------------------------------------------


def test_a_verdict_is_turned_round_at_its_rate_and_by_nothing_but_its_place() -> None:
    noisy = labels(false_positive=0.3, false_negative=0.1)
    places = list(itertools.product(range(100), range(10), range(10)))
    flips = {
        verdict: {place: noisy.seen(verdict, *place).flipped for place in places}
        for verdict in (RIGHT, WRONG, SILENT)
    }
    # Five standard errors of 10,000 draws.
    assert sum(flips[WRONG].values()) / len(places) == pytest.approx(0.3, abs=0.023)
    assert sum(flips[RIGHT].values()) / len(places) == pytest.approx(0.1, abs=0.015)
    assert not any(flips[SILENT].values()), "what has no answer can't be taken for a right one"
    random.Random(1).shuffle(places)
    assert all(noisy.seen(WRONG, *place).flipped == flips[WRONG][place] for place in places)
    assert noisy.seen(RIGHT, *next(p for p in places if flips[RIGHT][p])) == Verdict(0.0, "7", True)
    other = labels(false_positive=0.3, false_negative=0.1, seed=1)
    differ = sum(other.seen(WRONG, *p).flipped != flips[WRONG][p] for p in places)
    assert differ / len(places) == pytest.approx(2 * 0.3 * 0.7, abs=0.025)


def test_a_true_verifier_leaves_every_verdict_alone() -> None:
    true = labels()
    assert all(true.seen(verdict, 0, 0, 0) is verdict for verdict in (RIGHT, WRONG, SILENT))
    assert true.complete and not true.noisy


def test_labels_are_a_share_of_the_questions_and_the_others_lose_their_answer() -> None:
    few, many = labels(labelled=0.1), labels(labelled=0.4)
    assert len(few.known) == 100 and len(many.known) == 400
    assert set(few.known) < set(many.known), "a smaller share is part of a larger one"
    assert set(few.known) != set(labels(labelled=0.1, seed=1).known)
    questions = [Question(i, f"{i}+1", str(i + 1)) for i in range(1000)]
    hidden = few.hide(questions)
    assert [q.index for q in hidden if q.answer is not None] == few.known
    assert all(q == hidden[i] for i, q in enumerate(questions) if i in set(few.known))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["reward.labelled=0"], "left out"),
        (["reward=partial", "reward.labelled=0.05"], "2 labelled questions for windows of 4"),
        (["reward=self_judge", "reward.labelled=1"], "no question to judge"),
        (["reward=self_judge", "reward.labelled=0"], "as no others are recycled"),
        (
            ["reward=self_judge", "reward.labelled=0", "reward.self_judge.anchor=0.5"],
            "without any labelled question",
        ),
        (
            [
                "reward=self_judge",
                "reward.self_judge.judge=ema",
                "trainer.vllm=colocate",
            ],
            "as vLLM holds no others",
        ),
        (["reward=self_judge", "reward.self_judge.templates=no_such"], "one of full, terse"),
        (["preset=reward_only", "reward=self_judge"], "self_judge with schedule=judge_only"),
    ],
)
def test_rewards_that_contradict_themselves_are_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        small(*overrides)


def test_too_few_labels_are_told_once_the_questions_are_counted() -> None:
    config = small("reward=self_judge")
    few = labels(questions=10, labelled=0.01)
    with pytest.raises(UserError, match="0 labelled questions of 10"):
        check_enough(few, config, recycles=True)
    check_enough(few, config, recycles=False)
    with pytest.raises(UserError, match="3 labelled questions of 10"):
        check_enough(labels(questions=10, labelled=0.3), small("reward=partial"), recycles=True)


# -- the questions of a window --------------------------------------------------------------------


def test_an_anchor_holds_the_share_of_labelled_questions_and_leaves_the_others_in_place() -> None:
    known = [3, 14, 15, 92, 65]
    plain = PromptStream(range(100), 8, seed=5)
    anchored = AnchoredStream(PromptStream(range(100), 8, seed=5), known, 0.25, seed=5)
    restored = AnchoredStream(PromptStream(range(100), 8, seed=5), known, 0.25, seed=5)
    used = []
    for _ in range(30):
        expected, found = plain.take(8), anchored.take(8)
        assert sum(one in known for one in found) >= 2
        swapped = [one for one, before in zip(found, expected, strict=True) if one != before]
        assert set(swapped) <= set(known) and len(swapped) <= 2
        used += swapped
    assert {used.count(one) for one in known} <= {len(used) // 5, len(used) // 5 + 1}
    restored.load_state_dict(anchored.state_dict())
    assert [restored.take(8) for _ in range(20)] == [anchored.take(8) for _ in range(20)]


# -- the policy's own verdict ---------------------------------------------------------------------


def test_a_pointwise_reward_is_the_share_of_judgements_that_say_right() -> None:
    own = judge(judgements=4, forms=["yes_no"])
    asked = own.ask([group("7", "8", "7", None), group("5", "5", "5", "5")])
    assert len(asked) == 3 * 4, "equal solutions are judged together, and silent ones not at all"
    assert all("3+4" in prompt.text for prompt in asked)
    said = ["Yes", "Yes", "Yes", "No"] + ["No", "huh", "no", "Yes"] + ["huh"] * 4
    found = own.rewards([rf"\boxed{{{word}}}" for word in said])
    assert found == [[0.75, 0.25, 0.75, 0.0], [0.0, 0.0, 0.0, 0.0]]
    own.close([], [])
    tally = own.drain()
    assert (tally.first, tally.second, tally.unreadable) == (4, 3, 5)
    assert own.drain().asked == 0


def test_a_tournament_reward_is_the_share_of_comparisons_won_in_both_orders() -> None:
    own = judge(kind="pairwise", judgements=2)
    asked = own.ask([group("7", "8", "7", None)])
    assert len(asked) == 2 and asked[0] != asked[1], "each two solutions, in either order"
    first = asked[0].text.index("7") < asked[0].text.index("8")
    found = own.rewards([r"\boxed{A}", r"\boxed{B}"] if first else [r"\boxed{B}", r"\boxed{A}"])
    # Each 7 ties with the other 7, beats 8 twice, and the silent one without asking.
    assert found == [[pytest.approx(2.5 / 3), pytest.approx(1 / 3), pytest.approx(2.5 / 3), 0.0]]
    own.ask([group("7", "8")])
    assert own.rewards([r"\boxed{A}", r"\boxed{A}"]) == [[0.5, 0.5]], "a judge of places, not texts"
    own.ask([group("7", "8")])
    assert own.rewards(["huh", "huh"]) == [[0.0, 0.0]], "silence speaks for nobody"
    own.ask([group("7", "7")])
    assert own.rewards([]) == [[0.5, 0.5]]


def test_a_solution_that_does_not_fit_is_not_judged() -> None:
    own = judge(judgements=1, fits=lambda prompt: " 8 " not in prompt.text)
    assert len(own.ask([group("7", "8")])) == 1
    assert own.rewards([r"\boxed{Yes} \boxed{A}"])[0][1] == 0.0
    own.close([], [])
    assert own.drain().too_long == 1


def test_a_judge_goes_on_where_its_state_was_taken() -> None:
    own, restored = judge(judgements=4), judge(judgements=4)
    own.ask([group("7", "8", "9")])
    own.rewards(["?"] * 12)
    own.close([0.0] * 3, [])
    restored.load_state_dict(own.state_dict())
    assert own.state_dict()["guard"]["windows"], "the guard remembers its windows"
    groups = [group("7", "8", "9")]
    assert restored.ask(groups) == own.ask(groups)
    assert restored.state_dict() == own.state_dict()


# -- collapse -------------------------------------------------------------------------------------


def guard(**settings: Any) -> CollapseGuard:
    return CollapseGuard(replace(composed().self_judge, **({"stop_after": 3} | settings)))


GOOD = Tally("pointwise", first=40, second=60)
YES = Tally("pointwise", first=100)


@pytest.mark.parametrize(
    ("tally", "own", "verified", "said"),
    [
        (GOOD, 0.4, 0.4, None),
        (YES, 0.95, 0.9, None),  # a judge that says yes of a policy that is right
        (YES, 0.95, 0.3, "the judge gave 0.95 on average, the verifier 0.30"),
        (GOOD, 0.1, 0.6, "the judge gave 0.10 on average, the verifier 0.60"),
        (GOOD, 0.4, None, None),
        (YES, 1.0, None, '100.0% of the judge\'s verdicts in 3 windows said "right"'),
        (replace(GOOD, unreadable=10_000), 0.1, 0.1, "could not be read"),
        (replace(YES, kind="pairwise"), 0.5, None, "chose the first solution"),
    ],
)
def test_a_collapse_is_told_from_a_good_judge(tally, own, verified, said) -> None:
    watch = guard(kind=tally.kind)
    for window in range(3):
        assert watch.seen() is None, "not before it has shown for as long as asked"
        watch.watch(tally, [own] * 8, [] if verified is None else [[verified] * 8] * 16)
        watch.watch(Tally(tally.kind), [], [[0.0]])  # a window without a self-judged rollout
        assert window == 2 or watch.seen() is None
    seen = watch.seen()
    assert seen is None if said is None else said in seen
    again = guard(kind=tally.kind)
    again.load_state_dict(watch.state_dict())
    assert again.seen() == seen


def test_a_few_labelled_groups_stop_nobody() -> None:
    few, many = guard(), guard()
    for _ in range(3):
        few.watch(GOOD, [0.9] * 8, [[0.3] * 8])
        many.watch(GOOD, [0.9] * 8, [[0.3] * 8] * 16)
    assert few.seen() is None and "on 48 labelled questions" in many.seen()


def test_a_single_labelled_group_convicts_a_judge_of_one_verdict_only() -> None:
    wrong, right = guard(), guard()
    for window in range(3):
        wrong.watch(YES, [1.0] * 8, [] if window else [[0.0] * 8])
        right.watch(YES, [1.0] * 8, [] if window else [[1.0] * 8])
    assert 'said "right"' in wrong.seen() and right.seen() is None


def test_a_guard_can_be_sent_home() -> None:
    watch = guard(stop_after=0)
    for _ in range(100):
        watch.watch(YES, [1.0], [[0.0]])
    assert watch.seen() is None
