"""The report's section on a search: of simulated folders with known truth."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from simulated_search import simulate_search

from spark_lab.analysis import report
from spark_lab.analysis.figures.search import best_so_far, trained
from spark_lab.analysis.importance import RESAMPLES, importances
from spark_lab.analysis.report import results, search_worth
from spark_lab.analysis.report.content import compose
from spark_lab.analysis.report.search_words import value_words
from spark_lab.analysis.report.search_worth import Worth
from spark_lab.analysis.report.table import markdown
from spark_lab.analysis.search import Trial, as_study, knee, read
from spark_lab.errors import UserError

FIGURES = ("history", "curves", "importance", "slices", "contour", "parallel")
SEVERAL = [
    "hydra.sweeper.maximize=[policy/accuracy,fixed/judge/pointwise_balanced_accuracy]",
    "hydra.sweeper.minimize=[compute/generated_tokens]",
    "hydra.sweeper.constraints=['compute/generated_tokens<=300000']",
    "budget=steps",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("one")
    return simulate_search(root, "hydra/sweeper/pruner=median", n=24)


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return report.write([folder]).read_text()


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("several")
    return simulate_search(root, *SEVERAL, name="several", n=16, fresh=0)


def rows_of(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"report/tables/{name}.csv").open() as file:
        return list(csv.DictReader(file))


def test_it_says_in_words_what_was_found_and_what_it_is_worth(folder: Path, page: str) -> None:
    searched = read(folder)
    assert searched is not None and searched.chosen is not None
    said = (folder / "report/report.md").read_text()
    pruned = sum(trial.state == "PRUNED" for trial in searched.trials)
    assert "24 trials, proposed by TPE" in said
    assert f"{24 - pruned} finished, {pruned} given up early" in said
    assert f"Trial {searched.chosen.number} is the best" in said and "winner's curse" in said
    assert re.search(r"Giving trials up early saved \d+ % of the", said)
    [row] = rows_of(folder, "search_worth")
    best = 100 * max(trial.values[0] for trial in searched.feasible)
    assert 100 * float(row["found"]) == pytest.approx(best)
    low, again, high = (float(row[f"again{end}"]) for end in ("_low", "", "_high"))
    assert low < again < high and again < float(row["found"]), "the simulated search was lucky"
    for figure in FIGURES:
        assert f'id="figure-search_{figure}"' in page
        assert (folder / f"report/figures/search_{figure}.svg").exists()


def test_trials_are_not_compared_as_arms(folder: Path, page: str) -> None:
    arms = {row["arm"] for row in rows_of(folder, "skills")}
    assert arms == {"starting model", "untuned", f"tuned-{read(folder).chosen.number:03d}"}
    assert {row["arm"] for row in rows_of(folder, "contrasts")} == arms - {
        "untuned",
        "starting model",
    }


def test_the_same_folder_gives_the_same_bytes(folder: Path, page: str) -> None:
    svg = (folder / "report/figures/search_contour.svg").read_bytes()
    assert report.write([folder]).read_text() == page
    assert (folder / "report/figures/search_contour.svg").read_bytes() == svg
    assert b"<image" not in svg, "the page's policy forbids pictures"


def test_several_metrics_show_the_front_and_a_compromise_that_keeps_to_the_constraint(
    several: Path,
) -> None:
    searched = read(several)
    [section] = compose([several], "x").searches
    assert [drawing.name for drawing in section.drawings][:2] == [
        "search_front",
        "search_importance",
    ]
    assert "No fresh seeds" in section.lines[-1]
    assert [column.key for column in section.worth.columns] == ["metric", "found"]
    for row in section.worth.rows:
        assert row[1].low < row[1].value < row[1].high, (
            "the knee with its interval, of one seed too"
        )
    assert f"{len(searched.front)} trials lie on the front" in section.lines[1]
    for place, way in ((0, "most policy accuracy"), (2, "least generated tokens")):
        values = [trial.values[place] for trial in searched.front]
        best = max(values) if place == 0 else min(values)
        said = any(way in line for line in section.lines)
        assert said == (searched.chosen.values[place] != best)
    assert all(trial.values[2] <= 300_000 for trial in searched.front)
    assert any(trial.values[2] > 300_000 for trial in searched.trials)
    assert searched.chosen in searched.front
    for drawing in section.drawings:
        assert drawing.draw is None or drawing.draw() is not None


def test_the_winners_curse_is_said_of_every_metric_and_of_amounts(several: Path) -> None:
    worth = [
        Worth("policy/accuracy", (0.8, 0.7, 0.9), (0.7, 0.65, 0.75), (0.6, 0.55, 0.65), 5),
        Worth("compute/generated_tokens", (2e5, math.nan, math.nan), (2.5e5, 2e5, 3e5), None, 5),
    ]
    luck, policy, tokens, apart = search_worth.sentences(read(several), worth)
    assert "winner's curse" in luck and "verdicts" in apart
    assert policy == (
        "On 5 fresh seeds: policy accuracy 70.0 % (95 % interval 65.0 % to 75.0 %), 10.0 points below"
        " the score that it was picked by; the untuned configuration 60.0 % (95 % interval 55.0 % to"
        " 65.0 %)."
    )
    assert "generated tokens 250 k (95 % interval 200 k to 300 k), 50 k above" in tokens


def test_searches_side_by_side_keep_their_files_apart(folder: Path, several: Path) -> None:
    found = compose([folder, several], "x")
    for parts in (found.tables, found.drawings):
        names = [part.name for part in parts]
        assert len(set(names)) == len(names)


def test_a_damaged_record_is_refused(tmp_path: Path, several: Path) -> None:
    (tmp_path / "study.json").write_text('{"trials": [{}]}')
    with pytest.raises(UserError, match="type the search's command again"):
        read(tmp_path)
    assert read(tmp_path / "nowhere") is None


def test_the_record_gives_optunas_study_back(folder: Path) -> None:
    searched = read(folder)
    study = as_study(searched)
    assert study.best_value == searched.chosen.values[0]
    assert [t.params for t in study.trials] == [t.params for t in searched.trials]
    assert [t.state.name for t in study.trials] == [t.state for t in searched.trials]


def test_knee_gives_up_least() -> None:
    points = np.array([[0.0, 1.0], [0.9, 0.8], [1.0, 0.0]])
    assert knee(points, (True, True)) == 1
    assert knee(points * [1, -1], (True, False)) == 1
    assert knee(points * [1, 1000], (True, True)) == 1, "whatever the units"
    assert knee(points[:1], (True, True)) == 0


def trials(values: list[float]) -> Iterator[Trial]:
    for number, value in enumerate(values):
        yield Trial(number, "COMPLETE", (value,), {}, {}, {}, (), 0.0)


def test_best_so_far() -> None:
    found = list(trials([0.3, 0.1, 0.5, 0.5, 0.4]))
    assert best_so_far(found, True) == [(0, 0.3), (2, 0.5)]
    assert best_so_far(found, False) == [(0, 0.3), (1, 0.1)]
    found[2] = replace(found[2], excess=(1.0,))
    assert best_so_far(found, True) == [(0, 0.3), (3, 0.5)]


def test_importance_finds_the_key_that_matters_and_says_how_sure_it_is() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

    def objective(trial: optuna.Trial) -> float:
        much, little = trial.suggest_float("much", 0, 1), trial.suggest_float("little", 0, 1)
        return much + 0.1 * little + 0 * trial.suggest_int("nothing", 0, 9)

    study.optimize(objective, n_trials=40)
    found = importances(study, 0, np.random.default_rng(0))
    assert found[0].key == "much" and found[0].low > 0.5 > found[1].high
    assert sum(one.share for one in found) == pytest.approx(1.0, abs=1e-6)
    assert all(one.low <= one.share <= one.high for one in found) and RESAMPLES > 20
    assert importances(optuna.create_study(), 0, np.random.default_rng(0)) == []


def test_it_shows_what_was_searched(folder: Path, page: str) -> None:
    rows = {row["key"]: row for row in rows_of(folder, "search_space")}
    chosen = read(folder).chosen
    rate = rows["trainer.learning_rate"]
    assert rate["range"] == "1e-5 to 0.1, evenly over orders of magnitude"
    assert float(rate["chosen"]) == pytest.approx(chosen.params["trainer.learning_rate"], rel=0.01)
    assert float(rate["untuned"]) > 0
    assert rows["trainer.warmup_fraction"]["range"] == "0 to 0.9"
    assert rows["trainer.group_size"]["range"] == "2, 4, 8"


@pytest.mark.parametrize(
    ("kind", "rung", "seeds"),
    [("median", 3, 0.3), ("median", 10, 1.0), ("median", 12, 3.0), ("wilcoxon", 2, 2)],
)
def test_curves_go_on_from_seed_to_seed(several: Path, kind: str, rung: int, seeds: float) -> None:
    searched = read(several)
    searched.data["pruner"]["kind"] = kind
    assert trained(searched, rung) == pytest.approx(seeds)


def test_numbers_of_keys_are_short_and_whole_ones_exact() -> None:
    numbers = {3e-4: "3e-4", 0.00031234: "3.12e-4", 0.0684: "0.0684", 128.0: "128", 1024: "1024"}
    assert {value: value_words(value) for value in numbers} == numbers
    assert value_words("[pointwise,reflect]") == "pointwise+reflect"


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same search without giving up, and one by random draws of fewer trials."""
    root = tmp_path_factory.mktemp("others")
    whole = simulate_search(root, name="whole", n=6)
    words = ["hydra/sweeper/sampler=random", "hydra.sweeper.seed=1"]
    drawn = simulate_search(root, *words, name="drawn", n=4)
    return whole, drawn


def test_searches_beside_one_another_say_what_each_took_and_what_its_choice_is_worth(
    folder: Path, others: tuple[Path, Path]
) -> None:
    whole, drawn = map(read, others)
    found = compose(others, "x").sides
    assert found is not None
    keys = [column.key for column in found.table.columns]
    rows = {row[0].value: dict(zip(keys, row, strict=True)) for row in found.table.rows}
    assert list(rows) == ["whole", "drawn", "untuned"], "as typed, and the untuned one once"
    for searched in (whole, drawn):
        row = rows[searched.data["name"]]
        assert row["tokens"].value == sum(trial.tokens for trial in searched.trials)
        assert row["trials"].value == len(searched.trials)
        assert row["found"].value == searched.chosen.values[0]
    assert rows["whole"]["minus"].value is None
    for name in ("drawn", "untuned"):
        minus = rows[name]["minus"]
        apart = rows[name]["again"].value - rows["whole"]["again"].value
        assert minus.value == pytest.approx(apart) and minus.low < minus.value < minus.high
    share = round(100 * (1 - rows["drawn"]["tokens"].value / rows["whole"]["tokens"].value))
    [line] = found.lines
    assert f"{share} % fewer than whole" in line and "On 3 fresh seeds" in line
    assert found.drawing.draw() is not None
    assert compose([folder], "x").sides is None


def test_searches_for_different_metrics_are_not_held_against_one_another(
    folder: Path, several: Path
) -> None:
    assert compose([folder, several], "x").sides is None


def test_results_hold_what_a_search_found_and_how_searches_compare(
    folder: Path, others: tuple[Path, Path], tmp_path: Path
) -> None:
    alone = results.entry(compose([folder], ""), "again").text
    for line in compose([folder], "").searches[0].lines:
        assert f"- {markdown(line)}\n" in alone
    beside = results.entry(compose(others, ""), "again")
    assert beside.sweep == "drawn+whole"
    text = results.collect(beside, tmp_path).read_text()
    assert "| drawn | random | none | 4 | 0 |" in text and "| untuned |" in text
    assert "The search whole:" in text and "fewer than whole" in text
    assert "no spread" not in text, "untuned is untuned in both"
