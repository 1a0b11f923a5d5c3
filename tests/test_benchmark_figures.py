"""Figures and their intervals against closed forms, and completions that outlive a killed process."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random
from statistics import fmean, stdev

import pytest
from known_abilities import Abilities, KnownModel

from spark_lab.benchmarks import figures
from spark_lab.benchmarks.paper import TABLES
from spark_lab.benchmarks.recorded import Recorded
from spark_lab.records import Prompt

DRAWN = Random(0)
VALUES = [DRAWN.random() for _ in range(60)]


def width(figure: figures.Figure) -> float:
    return figure.high - figure.low


def test_a_share_has_wilsons_interval() -> None:
    found = figures.share([1.0] * 8 + [0.0] * 2)
    assert (found.value, found.count) == (0.8, 10)
    assert (found.low, found.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert figures.share([0.0] * 30)[:3] == pytest.approx((0.0, 0.0, 0.1135), abs=1e-4)


def test_a_mean_has_students_interval_and_equal_values_are_no_knowledge() -> None:
    found = figures.mean(VALUES)
    half = 2.0010 * stdev(VALUES) / math.sqrt(60)
    assert (found.low, found.high) == pytest.approx(
        (fmean(VALUES) - half, fmean(VALUES) + half), abs=1e-4
    )
    assert figures.mean([0.5] * 30) == pytest.approx(figures.share([0.0, 1.0] * 15))
    assert figures.mean([0.25] * 2).low < 0.25 < figures.mean([0.25] * 2).high


def test_questions_of_one_unit_count_as_one() -> None:
    hits = [1.0] * 30 + [0.0] * 30
    apart = figures.clustered(hits, [str(n) for n in range(60)])
    assert width(apart) == pytest.approx(2 * 1.96 * math.sqrt(0.25 / 59), rel=1e-3)
    together = figures.clustered(hits, [str(n // 10) for n in range(60)])
    assert width(together) == pytest.approx(min(1.0, 2 * 1.96 * math.sqrt(0.25 / 5)), rel=1e-2)
    assert together.count == 6 and together.value == 0.5


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    found = figures.jackknife(VALUES, fmean)
    assert width(found) == pytest.approx(2 * 1.96 * stdev(VALUES) / math.sqrt(60), rel=1e-3)
    assert figures.jackknife(VALUES[:2], fmean).low is None


def test_a_ratio_of_sums() -> None:
    ones = [1.0] * 60
    assert figures.ratio(VALUES, ones).value == pytest.approx(fmean(VALUES))
    assert width(figures.ratio(VALUES, ones)) == pytest.approx(
        2 * 1.96 * stdev(VALUES) / math.sqrt(60), rel=1e-3
    )
    assert figures.ratio([0.0] * 3, [0.0] * 3)[:3] == (0.0, None, None)


def test_differences_are_paired_and_averages_weigh_alike() -> None:
    found = figures.difference([1.0, 1.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0])
    assert found.value == 0.5 and found.low < 0 < found.high
    assert figures.difference([1.0, 0.0], [1.0, 0.0])[:3] == (0.0, None, None)
    parts = [figures.Figure(0.2, 0.1, 0.3, 50), figures.Figure(0.6, 0.5, 0.7, 10)]
    whole = figures.average(parts)
    assert whole.value == 0.4 and whole.count == 60
    assert width(whole) == pytest.approx(0.2 / math.sqrt(2))


def test_the_papers_averages_are_those_it_prints() -> None:
    """Recomputed from its columns, they agree with what it prints to rounding."""
    printed = {"paper_llm": (56.6, 57.3, 56.8), "paper_vl": (58.8, 54.1, 57.1), "general": (75.8,)}
    for suite, expected in printed.items():
        table = TABLES[suite][0]
        row = list(table.rows.values())[-1]
        assert len(row) == len(table.columns)
        found = table.averaged(dict(zip(table.columns, row, strict=True)))
        assert list(found.values()) == pytest.approx(expected, abs=0.1)
        assert table.averaged({table.columns[0]: 1.0}) == dict.fromkeys(found)


class Counting(KnownModel):
    """Ends like a killed process after so many calls."""

    def __init__(self, calls: int):
        super().__init__(Abilities())
        self.left = calls
        self.asked = 0

    def complete(self, prompts, **settings):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        self.asked += len(prompts)
        return super().complete(prompts, **settings)


PROMPTS = [Prompt(f"solve|{number}") for number in range(10)]


def program(model, folder: Path, told=lambda done: None):
    """Two calls, in blocks of four sequences: 3 blocks and 5."""
    recorded = Recorded(lambda: model, folder, 4, told)
    greedy = recorded.complete(PROMPTS, seed=3)
    return greedy, recorded.complete(PROMPTS, samples=2, temperature=1.0, seed=4), recorded.tokens


@pytest.mark.parametrize("calls", range(9))
def test_what_was_killed_goes_on_with_the_same_completions(calls: int, tmp_path: Path) -> None:
    whole = program(Counting(99), tmp_path / "whole")
    first, second = Counting(calls), Counting(99)
    if calls < 8:
        with pytest.raises(KeyboardInterrupt):
            program(first, tmp_path / "killed")
    else:
        program(first, tmp_path / "killed")
    seen: list[int] = []
    assert program(second, tmp_path / "killed", seen.append) == whole
    assert first.asked + second.asked == 20, "nothing was generated twice"
    assert seen[-1] == 30 and len(seen) == 8


def test_blocks_don_t_share_their_luck(tmp_path: Path) -> None:
    recorded = Recorded(lambda: KnownModel(Abilities()), tmp_path, 4)
    found = recorded.complete([Prompt("solve|q")] * 400, temperature=1.0)
    assert len({one.text for [one] in found}) > 2, "equal prompts in other blocks are drawn anew"
    recorded.forget()
    assert not tmp_path.exists()
