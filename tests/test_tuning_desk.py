"""Asking and telling on real storages: whatever dies, each trial is done exactly once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path

import optuna
import pytest
from searches import METRIC, SPACE, desk, finish, metrics_of, search

from spark_lab.tuning import samplers, storage
from spark_lab.tuning import study as studies
from spark_lab.tuning.desk import OWNER, Asked
from spark_lab.tuning.search import Search
from spark_lab.tuning.worker import _ends, rungs_of

GRID = ["trainer.group_size=2,4", "trainer.warmup_fraction=range(0,0.8,0.3)"]
ENDED = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)


def trials(wanted: Search) -> list[optuna.trial.FrozenTrial]:
    return studies.open_study(wanted).get_trials()


def stored(name: str, tmp_path: Path) -> list[str]:
    return [f"hydra.sweeper.storage=sqlite:///{tmp_path}/study.db"] if name == "sqlite" else []


@pytest.mark.parametrize("sampler", sorted(samplers.OPTIONS["sampler"]))
def test_every_sampler_fills_the_study_and_goes_on_without_repeating_itself(
    sampler: str, tmp_path: Path
) -> None:
    if sampler == "cmaes":
        pytest.importorskip("cmaes")
    space = GRID if sampler == "grid" else SPACE
    words = [f"hydra/sweeper/sampler={sampler}"]
    if sampler in ("tpe", "gp"):
        words += [f"hydra.sweeper.sampler.n_startup_trials={4}"]
    if sampler == "nsgaii":
        words += ["hydra.sweeper.sampler.population_size=4"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", optuna.exceptions.ExperimentalWarning)
        first = finish_formula(search(tmp_path, *words, n=4, space=space))
        wanted = search(tmp_path, *words, n=8, space=space)
        second = finish_formula(wanted)
    assert [asked.number for asked in first + second] == list(range(8 if sampler != "grid" else 6))
    points = [json.dumps(asked.params, sort_keys=True) for asked in first + second]
    assert len(set(points)) == len(points)
    assert all(trial.state in ENDED for trial in trials(wanted))
    assert desk(wanted).ask() is None


def finish_formula(wanted: Search) -> list[Asked]:
    one, found = desk(wanted), []
    while (asked := one.ask()) is not None:
        found.append(asked)
        value = sum(float(v) for v in asked.params.values())
        one.tell(asked.number, "complete", [{METRIC: 1 / (1 + value)}])
    one.close()
    return found


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsgaii", "qmc"])
def test_a_torn_search_asks_what_a_whole_one_asks(sampler: str, tmp_path: Path) -> None:
    word = f"hydra/sweeper/sampler={sampler}"
    whole = finish(search(tmp_path / "whole", word, n=14))
    torn = search(tmp_path / "torn", word, n=14)
    for number in range(12):
        one = desk(torn)
        asked = one.ask()
        assert asked == whole[number]
        one.close()  # as if it had been killed while training
        again = desk(torn)
        assert again.ask() == asked
        again.tell(number, "complete", [metrics_of(asked)])
        again.close()
    assert finish(torn) == whole[12:]


@pytest.mark.parametrize("moment", ["before it is owned", "between its parameters"])
def test_a_trial_torn_while_it_is_asked_for_is_completed(moment: str, tmp_path: Path) -> None:
    wanted = search(tmp_path, "hydra/sweeper/sampler=random", n=3)
    study = studies.open_study(wanted)
    trial = study.ask()
    if moment == "between its parameters":
        trial.set_user_attr(OWNER, "of a process that is no more")
        trial.suggest_float("trainer.learning_rate", 1e-5, 1e-1, log=True)
    done = finish(wanted)
    assert [asked.number for asked in done] == [0, 1, 2]
    assert trial.params.items() <= done[0].params.items() and len(done[0].params) == 3


def test_processes_take_turns_and_the_last_waits_for_what_others_may_lose(tmp_path: Path) -> None:
    wanted = search(tmp_path, n=2)
    first, second = desk(wanted), desk(wanted)
    a, b = first.ask(), second.ask()
    assert (a.number, b.number) == (0, 1)
    first.tell(0, "complete", [metrics_of(a)])
    second.close()
    assert first.ask() == b, "the second has died: its trial is taken over, not asked for anew"
    first.tell(1, "complete", [metrics_of(b)])
    assert first.ask() is None


def test_failed_trials_are_asked_for_anew_up_to_a_limit(tmp_path: Path) -> None:
    wanted = search(tmp_path, "hydra.sweeper.max_failures=2", n=2)
    one = desk(wanted)
    asked = one.ask()
    one.tell(asked.number, "failed", [], "out of memory")
    asked = one.ask()
    one.tell(asked.number, "complete", [{"policy/tokens": 1.0}])  # without the metric it is for
    assert one.ask() is None
    one.close()
    assert [trial.state.name for trial in trials(wanted)] == ["FAIL", "FAIL"]
    assert [asked.number for asked in finish(wanted)] == [2, 3]


def test_tpe_beats_random_search_on_a_hill(tmp_path: Path) -> None:
    best = {}
    for sampler in ("tpe", "random"):
        wanted = search(tmp_path / sampler, f"hydra/sweeper/sampler={sampler}")
        found = finish(wanted)
        best[sampler] = sum(metrics_of(asked)[METRIC] for asked in found[20:]) / 20
    assert best["tpe"] > best["random"] + 0.05


def test_constraints_steer_the_search_and_the_choice(tmp_path: Path) -> None:
    bound = "hydra.sweeper.constraints=['fixed/judge/parse_failure_rate<=0.02']"
    wanted = search(tmp_path, bound)
    asked = finish(wanted)
    broken = [a.params["trainer.warmup_fraction"] > 0.2 for a in asked]
    assert sum(broken[25:]) < 5 < sum(broken[:10])
    excess = [trial.user_attrs["excess"] for trial in trials(wanted)]
    assert [value > 0 for [value] in excess] == broken


def test_several_metrics(tmp_path: Path) -> None:
    wanted = search(
        tmp_path,
        "hydra.sweeper.maximize=[policy/accuracy,fixed/judge/pointwise_balanced_accuracy]",
        "hydra.sweeper.minimize=[compute/generated_tokens]",
        "budget=steps",
        n=12,
    )
    finish(wanted)
    study = studies.open_study(wanted)
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MAXIMIZE", "MINIMIZE"]
    assert all(len(trial.values) == 3 for trial in study.get_trials())


@pytest.mark.parametrize("pruner", ["none", "median", "hyperband"])
def test_pruners_over_rungs(pruner: str, tmp_path: Path) -> None:
    """Bad trials are given up early and good ones never, on noiseless curves."""
    words = [f"hydra/sweeper/pruner={pruner}", "hydra/sweeper/sampler=random"]
    wanted = search(tmp_path, *words, n=30)
    one = desk(wanted)
    saved = 0
    while (asked := one.ask()) is not None:
        value, state = metrics_of(asked)[METRIC], "complete"
        for rung in range(1, 10):
            if one.report(asked.number, {rung: value * rung / 10}):
                state, saved = "pruned", saved + 10 - rung
                break
        one.tell(asked.number, state, [metrics_of(asked)])
    states = {trial.number: trial.state.name for trial in trials(wanted)}
    scores = {t.number: t.user_attrs["result"][METRIC] for t in trials(wanted)}
    best = max(scores, key=scores.__getitem__)
    assert states[best] == "COMPLETE"
    assert (saved == 0) == (pruner == "none")
    if pruner != "none":
        pruned = [scores[n] for n, state in states.items() if state == "PRUNED"]
        whole = [scores[n] for n, state in states.items() if state == "COMPLETE"]
        assert saved > 60 and sum(pruned) / len(pruned) < sum(whole) / len(whole)


@pytest.mark.parametrize(
    ("pruner", "given_up_after", "rungs"),
    [
        ("wilcoxon", 3, [1, 2, 3]),  # its p is 0.125 there, and 0.25 before
        ("median", 1, [10]),
    ],
)
def test_hopeless_trials_stop_between_seeds(
    pruner: str, given_up_after: int, rungs: list[int], tmp_path: Path
) -> None:
    """Wilcoxon's test pairs the seeds of two trials; the median is of the means so far."""
    words = [f"hydra/sweeper/pruner={pruner}", "seed=0,1,2,3,4", "hydra/sweeper/sampler=random"]
    if pruner == "median":
        words += ["hydra.sweeper.pruner.over=seeds", "hydra.sweeper.pruner.n_startup_trials=1"]
    wanted = search(tmp_path, *words, n=6)
    one, noise, ends = desk(wanted), random.Random(0), []
    run = wanted.run("any", {}, 0)
    for level in (0.8, 0.5, 0.9):
        asked = one.ask()
        finals: list[dict[str, float]] = []
        while len(finals) < 5:
            finals.append({METRIC: level + noise.gauss(0, 0.01)})
            if _ends(wanted, one, asked.number, run, finals):
                break
        ends.append(len(finals))
        one.tell(asked.number, "complete" if len(finals) == 5 else "pruned", finals)
    assert ends == [5, given_up_after, 5]
    first, hopeless, _ = trials(wanted)
    assert list(hopeless.intermediate_values) == rungs
    reported = list(first.intermediate_values.values())
    mean = first.user_attrs["result"][METRIC]
    assert (reported[-1] == pytest.approx(mean)) == (pruner == "median")


def test_a_trial_whose_constraint_was_not_measured_breaks_it(tmp_path: Path) -> None:
    bound = "hydra.sweeper.constraints=['fixed/judge/parse_failure_rate<=0.02']"
    wanted = search(tmp_path, bound, n=1)
    one = desk(wanted)
    one.tell(one.ask().number, "complete", [{METRIC: 0.9}])
    [trial] = trials(wanted)
    assert trial.state.name == "COMPLETE" and trial.user_attrs["excess"] == [1e9]


def test_what_was_reported_stays_as_it_was(tmp_path: Path) -> None:
    wanted = search(tmp_path, "hydra/sweeper/pruner=median", n=1)
    one = desk(wanted)
    number = one.ask().number
    one.report(number, {1: 0.1, 2: 0.2})
    one.report(number, {1: 0.9, 2: 0.9, 3: 0.3})
    [trial] = trials(wanted)
    assert trial.intermediate_values == {1: 0.1, 2: 0.2, 3: 0.3}


def test_rungs_lie_on_the_line_between_evaluations() -> None:
    rows = [{"fraction": f, METRIC: 2 * f} for f in (0.0, 0.07, 0.33, 0.5)]
    found = rungs_of(rows, METRIC, 10)
    assert list(found) == [1, 2, 3, 4, 5]
    assert found == pytest.approx({rung: 2 * rung / 10 for rung in found})
    assert rungs_of(rows[:1], METRIC, 10) == {}
    last = [*rows, {"fraction": 1.0, METRIC: 2.0}]
    assert list(rungs_of(last, METRIC, 4)) == [1, 2, 3], "the end is told, not reported"


WORKER = """
import random, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from searches import desk, metrics_of, search
from spark_lab.tuning import desk as desks
desks._LOOK_SECONDS = 0.05
one = desk(search(Path({root!r}), *{words!r}, n=20))
while (asked := one.ask()) is not None:
    with open({log!r}, "a") as log:
        log.write(f"begin {{asked.number}}\\n")
    for rung in range(1, 4):
        time.sleep(0.01)
        if one.report(asked.number, {{rung: metrics_of(asked)["policy/accuracy"]}}):
            break
    one.tell(asked.number, "complete", [metrics_of(asked)])
    with open({log!r}, "a") as log:
        log.write(f"end {{asked.number}}\\n")
one.close()
"""


def start(tmp_path: Path, words: list[str]) -> subprocess.Popen:
    code = WORKER.format(
        tests=str(Path(__file__).parent),
        root=str(tmp_path / "runs"),
        words=words,
        log=str(tmp_path / "log"),
    )
    return subprocess.Popen([sys.executable, "-c", code], env=os.environ, start_new_session=True)


def survive(tmp_path: Path, words: list[str]) -> None:
    """Kill both of two processes five times, let two finish, and count the trials."""
    draw = random.Random(7)
    log = tmp_path / "log"
    for _ in range(5):
        before = log.read_text().count("begin") if log.exists() else 0
        workers = [start(tmp_path, words) for _ in range(2)]
        while not log.exists() or log.read_text().count("begin") < before + 2:
            assert any(worker.poll() is None for worker in workers)
            time.sleep(0.02)
        time.sleep(draw.uniform(0.0, 0.2))
        for worker in workers:
            with suppress(ProcessLookupError):  # it may have ended by itself
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
    for worker in [start(tmp_path, words) for _ in range(2)]:
        assert worker.wait(timeout=200) == 0
    found = trials(search(tmp_path / "runs", *words, n=20))
    assert [trial.number for trial in found] == list(range(20))
    assert all(trial.state in ENDED for trial in found)
    told = [line for line in log.read_text().splitlines() if line.startswith("end")]
    assert len(told) == len(set(told))
    params = [json.dumps(trial.params, sort_keys=True) for trial in found]
    assert len(set(params)) == 20


def test_a_point_of_a_grid_that_failed_is_asked_for_anew(tmp_path: Path) -> None:
    wanted = search(tmp_path, "hydra/sweeper/sampler=grid", n=6, space=GRID)
    one = desk(wanted)
    first = one.ask()
    one.tell(first.number, "failed", [], "out of memory")
    rest = []
    while (asked := one.ask()) is not None:
        one.tell(asked.number, "complete", [{METRIC: 0.5}])
        rest.append(asked.params)
    assert len(rest) == 6 and rest[-1] == first.params
    assert len({json.dumps(params, sort_keys=True) for params in rest}) == 6


def test_a_line_that_one_worker_left_torn_costs_the_others_nothing(tmp_path: Path) -> None:
    wanted = search(tmp_path, n=3)
    one, other = desk(wanted), desk(wanted)
    first = one.ask()
    with (wanted.folder / "study.journal").open("a") as journal:
        journal.write('{"op_code":8,"worker_id":"x","tri')
    second = other.ask()
    for worker, asked in ((one, first), (other, second)):
        worker.tell(asked.number, "complete", [metrics_of(asked)])
    assert [trial.state for trial in trials(wanted)] == [optuna.trial.TrialState.COMPLETE] * 2


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["journal", "sqlite"])
def test_killed_at_random_moments_by_two_processes(kept: str, tmp_path: Path) -> None:
    """Exactly as many trials as asked for, in order, none lost and none told twice."""
    survive(tmp_path, [*stored(kept, tmp_path), "hydra/sweeper/pruner=median"])


def test_the_disk_is_waited_for_only_where_a_lost_line_would_hurt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optuna.storages.journal._storage import JournalOperation

    wanted = search(tmp_path, "hydra/sweeper/pruner=median", n=1)
    one, waited, sync = desk(wanted), [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (waited.append(file), sync(file)))
    asked = one.ask()
    assert len(waited) == 1 + len(asked.params), "the trial and each of its parameters"
    for rung in range(1, 10):
        one.report(asked.number, {rung: 0.5})
    assert len(waited) == 1 + len(asked.params)
    one.tell(asked.number, "complete", [metrics_of(asked)])
    assert len(waited) == 2 + len(asked.params)
    [trial] = trials(wanted)
    assert len(trial.intermediate_values) == 9 and trial.user_attrs["result"]
    names = {JournalOperation(number).name for number in storage._REPEATED}
    kinds = ("INTERMEDIATE_VALUE", "USER_ATTR", "SYSTEM_ATTR")
    assert names == {f"SET_TRIAL_{kind}" for kind in kinds}
