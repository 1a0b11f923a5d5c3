"""What an analysis says of test-time scaling, from outcomes whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from simulated import simulate_run
from test_report import csv_of, page_of, rewrite, section, words

from spark_lab.analysis import test_time as scaled
from spark_lab.analysis.figures import look, scaling
from spark_lab.analysis.load import load_run
from spark_lab.analysis.report import write
from spark_lab.analysis.scores import arm_scores
from spark_lab.tracking.jsonl import read_rows, write_rollouts

SMALL = {"questions": 60, "evaluations": 2, "steps": 12, "samples": 2, "rollouts": ("eval",)}
PRICE = 20.0
# Accuracy of votes at 20, 40, 80 tokens a question.
VOTES = {1: 0.5, 2: 0.5, 4: 0.6}


def outcomes(
    rng: np.random.Generator,
    questions: int,
    *,
    reflect: tuple[float, float] = (0.7, 60.0),
    votes: dict[int, float] = VOTES,
) -> list[dict]:
    """Rows of independent questions; `reflect`: accuracy and tokens of its only round."""
    wanted = {("vote", size): (chance, PRICE * size) for size, chance in votes.items()}
    wanted |= {("oracle", size): (0.9, PRICE * size) for size in votes if size > 1}
    wanted |= {("reflect", 0): (0.5, PRICE), ("reflect", 1): reflect}
    return [
        {
            "question": question,
            "strategy": strategy,
            "size": size,
            "accuracy": float(rng.random() < chance),
            "tokens": tokens + float(rng.integers(-3, 4)) * (strategy == "reflect"),
        }
        for (strategy, size), (chance, tokens) in wanted.items()
        for question in range(questions)
    ]


def scaling_of(seed: int, questions: int = 400, seeds: int = 3, **truth) -> scaled.Scaling:
    rng = np.random.default_rng(seed)
    rows = {one: pd.DataFrame(outcomes(rng, questions, **truth)) for one in range(seeds)}
    found = scaled.scaling(rows)
    assert found is not None
    return found


def test_a_vote_at_any_price_is_a_mixture_of_the_two_around_it() -> None:
    found = scaling_of(0)
    one, two, four = (found.by_name["vote", size].accuracy for size in (1, 2, 4))

    def vote_at(tokens: float):
        return found.at_price("vote", np.full(3, tokens))

    assert np.array_equal(vote_at(40.0), two) and np.array_equal(vote_at(80.0), four)
    assert vote_at(70.0) == pytest.approx(0.25 * two + 0.75 * four)
    assert np.array_equal(vote_at(5.0), one), "nothing is cheaper than one sample"
    assert vote_at(81.0) is None, "nothing is extrapolated"
    oracle = found.at_price("oracle", np.full(3, 30.0))
    assert oracle == pytest.approx(0.5 * one + 0.5 * found.by_name["oracle", 2].accuracy)


def test_each_seed_is_compared_at_its_own_price() -> None:
    found = scaling_of(0)
    tokens = np.array([20.0, 40.0, 80.0])
    sizes = (1, 2, 4)
    mixed = found.at_price("vote", tokens)
    for seed, size in enumerate(sizes):
        assert np.array_equal(mixed[seed], found.by_name["vote", size].accuracy[seed])


CASES = {
    "pays": {"reflect": (0.75, 60.0)},
    "costs more than it gives": {"reflect": (0.3, 60.0)},
    "no vote of its price": {"reflect": (0.75, 200.0)},
}


@pytest.mark.parametrize("worth", CASES)
def test_what_judging_gives_for_its_tokens_is_said(worth: str) -> None:
    found = scaling_of(1, **CASES[worth])
    one = scaled.gain(found, ("reflect", 1))
    assert one.worth == worth
    if one.equal_price:
        truth = CASES[worth]["reflect"][0] - 0.55
        assert one.estimate.low < truth < one.estimate.high
        assert one.oracle == pytest.approx(0.9, abs=0.05)


def test_a_dearer_strategy_that_a_cheaper_vote_beats_costs_more_than_it_gives() -> None:
    one = scaled.gain(scaling_of(2, reflect=(0.4, 200.0)), ("reflect", 1))
    assert one.worth == "costs more than it gives" and not one.equal_price


def test_judging_that_gives_nothing_is_seldom_said_to_pay() -> None:
    """As good as a vote of its price: a 95 % interval leaves zero out on either side at 2.5 %."""
    worth = [
        scaled.gain(scaling_of(seed, 80, reflect=(0.55, 60.0)), ("reflect", 1)).worth
        for seed in range(100)
    ]
    assert worth.count("pays") <= 8 and worth.count("costs more than it gives") <= 8
    assert worth.count("not separable") >= 86


def test_names_are_words() -> None:
    assert scaled.words(("reflect", 0)) == "plain answer"
    assert scaled.words(("reflect", 1)) == "judge and reflect (1 round)"
    assert scaled.words(("vote", 1)) == "one sample"
    assert scaled.words(("vote", 8)) == "majority vote of 8"
    assert scaled.name_of("tts/best_4/accuracy") == ("best", 4)
    assert scaled.name_of("tts/accuracy") is None


def run_folder(root: Path, arm: str, seed: int, reflect: tuple[float, float]) -> Path:
    """A simulated run whose last evaluation was scaled."""
    folder = simulate_run(root, arm, seed, sweep="s", **SMALL)
    rng = np.random.default_rng([seed, *arm.encode()])
    rows = outcomes(rng, SMALL["questions"], reflect=reflect)
    write_rollouts(folder / "rollouts", "test_time", SMALL["steps"], rows)
    accuracy = np.mean([row["accuracy"] for row in rows if row["strategy"] == "reflect"][-60:])
    evaluations = read_rows(folder / "eval.jsonl").rows
    evaluations[-1] |= {"tts/accuracy": float(accuracy), "tts/tokens_per_question": reflect[1]}
    text = "".join(json.dumps(row) + "\n" for row in evaluations)
    (folder / "eval.jsonl").write_text(text)
    return folder


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    for seed in range(3):
        run_folder(tmp_path, "none", seed, (0.5, 60.0))
        run_folder(tmp_path, "reflect", seed, (0.95, 60.0))
    asks = {"asks": "Does it pay?", "primary": "tts/accuracy", "baseline": "none", "answer": "-"}
    (tmp_path / "s/plan.json").write_text(json.dumps({"question": asks, "runs": []}))
    return tmp_path / "s"


def test_the_report_holds_every_arm_against_a_vote_of_its_price(sweep: Path) -> None:
    text = words(section(page_of(sweep), "test-time"))
    assert "reflect: judge and reflect (1 round) gets 9" in text
    assert text.count(": judging pays.") == 1
    [head, none, reflect] = csv_of(sweep, "test_time_arms").splitlines()
    columns = head.split(",")
    cell = dict(zip(columns, map(str, reflect.split(",")), strict=True))
    assert float(cell["with"]) == pytest.approx(0.95, abs=0.06)
    assert float(cell["tokens"]) == pytest.approx(60, abs=1)
    assert float(cell["vote"]) == pytest.approx(0.55, abs=0.1)
    assert float(cell["with_difference_low"]) > 0 and float(cell["vote_difference_low"]) > 0
    assert float(cell["without_difference_low"]) < 0 < float(cell["without_difference_high"])
    assert none.split(",")[columns.index("with_difference")] == "", "the baseline itself"
    strategies = csv_of(sweep, "test_time").splitlines()
    assert len(strategies) == 1 + 2 * 3, "plain answer, one round, and the largest vote of each arm"


def test_the_metric_is_compared_by_seed_and_question(sweep: Path) -> None:
    runs = [load_run(folder) for folder in sorted((sweep / "reflect").iterdir())]
    collected = arm_scores("reflect", runs, ["tts/accuracy", "tts/vote_4/accuracy"])
    scores = collected["tts/accuracy"].scores
    assert scores is not None and scores.values.shape == (3, 60)
    assert collected["tts/vote_4/accuracy"].scores is None, "never a number that was not logged"
    verdicts = words(section(page_of(sweep), "verdicts"))
    assert "reflect vs none: accuracy after judging and reflecting +" in verdicts


def test_without_scaled_evaluations_there_is_no_section(tmp_path: Path) -> None:
    for arm in ("none", "reflect"):
        simulate_run(tmp_path, arm, 0, sweep="s", **SMALL)
    assert 'id="test-time"' not in page_of(tmp_path / "s")


def test_damaged_and_missing_outcomes_are_named(sweep: Path) -> None:
    first, second, third = sorted((sweep / "reflect").glob("seed*/rollouts/test_time-*"))
    first.unlink()
    rewrite(second, lambda row: row | {"accuracy": 3.0})
    third.write_bytes(third.read_bytes()[:40])
    missing = words(section(page_of(sweep), "missing"))
    for said in ("is missing", "rows are no outcomes", "damaged archive"):
        assert said in missing, said
    assert "reflect: judge" not in page_of(sweep)
    for path in (sweep / "none").glob("seed*/rollouts/test_time-*"):
        path.unlink()
    page = page_of(sweep)
    assert 'id="test-time"' not in page and "none seed2: test_time" in section(page, "missing")


@pytest.mark.parametrize("arms", [1, 2, 5])
def test_the_figure_is_drawn_for_any_number_of_arms(arms: int) -> None:
    found = {f"arm{n} <&": scaling_of(n, 20, seeds=1 + n % 2) for n in range(arms)}
    figure = scaling.scaling_panels(found)
    svg = look.to_svg(figure)
    assert svg == look.to_svg(scaling.scaling_panels(found))
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == arms
    for axes, (arm, own) in zip(shown, found.items(), strict=True):
        assert axes.get_title(loc="left").replace("\n", " ") == arm
        # The oracle's line begins at one sample; each has its means.
        vote = next(c for c in axes.containers if c.get_label() == "majority vote")
        means = [own.by_name["vote", size].accuracy.mean() for size in VOTES]
        assert vote.lines[0].get_ydata() == pytest.approx(means)
    assert "n = " in scaling.caption(found) and "20 questions" in scaling.caption(found)
    with pytest.raises(ValueError):
        scaling.scaling_panels({})


def test_the_files_of_the_section_are_written(sweep: Path) -> None:
    write([sweep])
    for name in ("tables/test_time.csv", "tables/test_time_arms.tex", "figures/test_time.png"):
        assert (sweep / "report" / name).stat().st_size > 0
