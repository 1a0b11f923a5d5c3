"""What a search refuses before its first trial, and the named searches, which it must not refuse."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from filelock import FileLock
from searches import SPACE, desk, search
from tiny_spark import SMALL, trainer_of

from spark_lab.analysis.search import UNTUNED
from spark_lab.errors import UserError
from spark_lab.plugins import OPTUNA
from spark_lab.tuning import command, storage
from spark_lab.tuning import search as searches
from spark_lab.tuning import study as studies

SEARCHES = sorted(
    path.stem for path in (Path(__file__).parent.parent / "sweeps").glob("tune_*.yaml")
)
LR = "trainer.learning_rate=tag(log,interval(1e-5,1e-3))"
TWO = "hydra.sweeper.maximize=[policy/accuracy,fixed/judge/pairwise_accuracy]"


@pytest.mark.parametrize(
    ("words", "where", "said"),
    [
        (["trainer.learning_rate=interval(1e-3,1e-5)"], "trainer.learning_rate", "empty interval"),
        (["trainer.lerning_rate=interval(0,1)"], "trainer.lerning_rate", "did you mean"),
        (["trainer.learning_rate=interval(0,1)"], "trainer.learning_rate", "above 0"),
        (["trainer.group_size=interval(2,8)"], "trainer.group_size", "a whole number"),
        (["schedule=joint,mixt"], "schedule", "did you mean"),
        ([], "hydra/sweeper=optuna", "nothing to search"),
        (["seed=0,1"], "hydra/sweeper=optuna", "nothing to search"),
        ([LR, "seed=interval(0,3)"], "seed", "seeds one by one"),
        ([LR, "seed=0,0"], "seed", "a seed twice"),
        ([LR, "hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials", "at least 1"),
        ([LR, "hydra.sweeper.n_trials=2,3"], "hydra.sweeper.n_trials", "one value"),
        ([LR, "hydra.sweeper.n_trials=many"], "hydra.sweeper.n_trials", "Integer"),
        ([LR, "+hydra.sweeper.n_trails=9"], "hydra.sweeper.n_trails", "did you mean"),
        ([LR, "hydra.sweeper.maximize=[policy/acuracy]"], "maximize", "policy/accuracy"),
        ([LR, "hydra.sweeper.maximize=[]"], "maximize", "no metric"),
        ([LR, "hydra.sweeper.minimize=[policy/accuracy]"], "maximize", "policy/accuracy twice"),
        (
            [LR, "hydra.sweeper.minimize=[compute/generated_tokens]"],
            "minimize",
            "which all trials spend alike",
        ),
        ([LR, "hydra.sweeper.constraints=['a<1']"], "constraints", "METRIC<=NUMBER"),
        ([LR, "hydra.sweeper.constraints=['polcy/tokens<=9']"], "constraints", "policy/tokens"),
        ([LR, "hydra.sweeper.when=['a if b']"], "hydra.sweeper.when", "KEY if OTHER"),
        ([LR, "hydra/sweeper/sampler=tpee"], "sampler=tpee", "did you mean"),
        ([LR, "hydra.sweeper.sampler.n_ei_candidates=0"], "n_ei_candidates", "at least 1"),
        ([LR, "hydra/sweeper/sampler=grid"], "trainer.learning_rate", "a grid tries each"),
        ([LR, "hydra/sweeper/sampler=cmaes"], "cmaes", "two or more"),
        ([LR, "hydra/sweeper/pruner=median", TWO], "pruner=median", "one metric"),
        ([LR, "hydra/sweeper/pruner=median", "eval.every=0"], "pruner=median", "no evaluation"),
        ([LR, "hydra/sweeper/pruner=wilcoxon", "seed=0,1"], "pruner=wilcoxon", "0.5 at best"),
        ([LR, "hydra.sweeper.storage=study.db"], "hydra.sweeper.storage", "sqlite:///FILE"),
        ([LR, "force=true"], "force", "name=NAME"),
        ([LR, "+arms={a: []}"], "arms", "named arms"),
    ],
)
def test_wrong_searches_start_nothing(
    refused: Callable[..., str], tmp_path: Path, words: list[str], where: str, said: str
) -> None:
    told = refused("-m", "hydra/sweeper=optuna", f"root={tmp_path / 'runs'}", *words)
    assert where in told and said in told
    assert not (tmp_path / "runs").exists()


def test_the_other_sweeper_names_this_one(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "hydra/sweeper=optuna" in refused("-m", LR, f"root={tmp_path / 'runs'}")


def test_a_launcher_that_does_not_say_how_much_it_does_is_asked(tmp_path: Path) -> None:
    """submitit and ray; here any other one stands for them."""
    words = ["hydra.launcher._target_=hydra_plugins.cluster.Launcher"]
    with pytest.raises(UserError, match=r"hydra\.sweeper\.workers"):
        search(tmp_path, *words)
    assert search(tmp_path, *words, "hydra.sweeper.workers=3").workers == 3


def test_another_search_of_the_same_name_is_refused_with_the_difference(tmp_path: Path) -> None:
    studies.open_study(search(tmp_path, "name=mine"))
    studies.open_study(search(tmp_path, "name=mine", n=99))  # only longer
    for words, said in [
        (["hydra/sweeper/sampler=random"], "sampler: kind tpe"),
        (["seed=1"], "seed: 0 in the storage, 1 now"),
        (["trainer.beta=0.1"], "trainer.beta: 0.0 in the storage, 0.1 now"),
        (["hydra.sweeper.maximize=[policy/pass_at_4]"], "maximize: policy/accuracy"),
    ]:
        with pytest.raises(UserError) as caught:
            studies.open_study(search(tmp_path, "name=mine", *words))
        assert said in str(caught.value) and "name=NAME" in str(caught.value)
    with pytest.raises(UserError, match="space: "):
        studies.open_study(search(tmp_path, "name=mine", space=SPACE[:2]))


def test_a_study_of_somebody_else_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    foreign = optuna.create_study(storage=url, study_name="mine")
    foreign.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(UserError, match="spark-lab did not make"):
        studies.open_study(search(tmp_path, "name=mine", f"hydra.sweeper.storage={url}"))


def test_a_search_whose_runs_are_elsewhere_is_refused(tmp_path: Path) -> None:
    words = ["name=mine", f"hydra.sweeper.storage=sqlite:///{tmp_path}/study.db"]
    studies.open_study(search(tmp_path / "here", *words))
    with pytest.raises(UserError, match="its runs are not in"):
        studies.open_study(search(tmp_path / "there", *words))


@pytest.mark.parametrize(
    "content",
    ["nonsense\n", "nonsense", '{"op_code": 4, "study_id": 7}\n', "[]\n", '{"op_code": 99}\n'],
)
def test_a_damaged_journal_is_refused_and_left_alone(content: str, tmp_path: Path) -> None:
    wanted = search(tmp_path, "name=mine")
    wanted.folder.mkdir(parents=True)
    journal = wanted.folder / "study.journal"
    journal.write_text(content)
    with pytest.raises(UserError, match="damaged"):
        studies.open_study(wanted)
    assert journal.read_text() == content


def test_a_journal_with_a_torn_last_line_is_mended(tmp_path: Path) -> None:
    wanted = search(tmp_path, n=3)
    one = desk(wanted)
    first = one.ask()
    one.close()
    journal = wanted.folder / "study.journal"
    whole = journal.read_bytes()
    for cut in (1, 7, 30):
        last = whole.splitlines(keepends=True)[-1]
        journal.write_bytes(whole + last[:-1][: len(last) - cut])
        again = desk(wanted)
        assert again.ask() == first
        again.close()
        assert all(json.loads(line) for line in journal.read_bytes().splitlines())


def test_a_database_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("nonsense " * 200)
    with pytest.raises(UserError, match="not a database"):
        studies.open_study(search(tmp_path, f"hydra.sweeper.storage=sqlite:///{tmp_path}/study.db"))


@pytest.mark.parametrize("kept", ["journal", "sqlite"])
def test_a_locked_storage_is_refused(
    kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "study.db"
    words = [f"hydra.sweeper.storage=sqlite:///{file}"] if kept == "sqlite" else []
    wanted = search(tmp_path, *words)
    studies.open_study(wanted)
    monkeypatch.setattr(storage, "LOCK_SECONDS", 0.2)
    with pytest.raises(UserError, match="locked by another process"):
        if kept == "sqlite":
            other = sqlite3.connect(file, isolation_level=None)
            other.execute("begin exclusive")
            studies.open_study(wanted)
        with FileLock(wanted.folder / ".study.journal.flock"):
            studies.open_study(wanted)


def test_passwords_are_not_shown() -> None:
    found = storage.place("postgresql://me:secret@db.example/lab", Path("runs"))
    assert found == "postgresql+psycopg://me:secret@db.example/lab"
    assert storage.shown(found) == "postgresql+psycopg://me:...@db.example/lab"


def test_a_server_that_is_not_there_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    url = "hydra.sweeper.storage=postgresql://me:secret@127.0.0.1:1/lab"
    with pytest.raises(UserError) as caught:
        studies.open_study(search(tmp_path, url))
    assert "secret" not in str(caught.value) and "127.0.0.1" in str(caught.value)


@pytest.mark.parametrize("name", SEARCHES)
def test_every_named_search_says_what_it_asks_and_can_be_read(name: str, tmp_path: Path) -> None:
    found = searches.read(name, [f"root={tmp_path}"], False)
    assert found is not None and found.name == name and found.settings._target_ == OPTUNA
    assert found.axes.question is not None and found.axes.question.baseline == UNTUNED
    assert found.axes.question.primary == found.settings.metrics[0]
    assert found.untuned is not None and len(found.fresh_seeds) == 5


def test_the_command_that_is_kept_makes_the_search_anew(tmp_path: Path) -> None:
    """What is asked and how, not where; a password least of all."""
    search_words = ["seed=7", "hydra/sweeper/sampler=random", "hydra.sweeper.n_trials=3"]
    where = ["hydra.sweeper.storage=postgresql://me:secret@db/lab", "hydra.sweeper.workers=2"]
    found = searches.read("tune_mix", [*search_words, *where, f"root={tmp_path}"], False)
    assert found is not None
    assert found.axes.command == ("spark-lab", "-cn", "tune_mix", *search_words)
    again = searches.read("tune_mix", [*search_words, f"root={tmp_path}"], False)
    assert again is not None and again.identity() == found.identity() and again.n_trials == 3
    typed = search(tmp_path, "name=mine").axes.command
    assert typed[:3] == ("spark-lab", "-m", "hydra/sweeper=optuna") and "name=mine" in typed


def test_what_is_typed_wins_over_a_named_search(tmp_path: Path) -> None:
    """A choice that is settled decides the conditions that rest on it."""
    for schedule in ("mixed", "joint"):
        typed = ["objective.pairwise.share=1,2", f"schedule={schedule}", "seed=7"]
        found = searches.read("tune_mix", [*typed, f"root={tmp_path}"], False)
        assert found is not None and found.seeds == (7,) and found.fresh_seeds[0] == 8
        dimensions = {d.key: d for d in found.space.dimensions}
        assert dimensions["objective.pairwise.share"].choices == ("1", "2")
        assert "schedule" not in dimensions and found.example.schedule.kind == schedule
        assert ("schedule.fraction" in dimensions) == (schedule == "mixed")


@pytest.mark.slow
@pytest.mark.parametrize("name", SEARCHES)
def test_trials_of_every_named_search_train(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Dry first, then three windows and more of its first trials."""
    words = [*SMALL, "trainer.prompts_per_window=10", "eval.samples=1", f"root={tmp_path}/runs"]
    dry = searches.read(name, [*words, "dry_run=true"], True)
    assert dry is not None and command.run(dry, []) == command.DONE
    said = capsys.readouterr().out
    assert name in said and "runs of" in said and not (tmp_path / "runs").exists()
    found = searches.read(name, words, True)
    assert found is not None
    one = desk(found)
    for asked in (one.ask(), one.ask()):
        config = found.trial_run(asked.number, asked.params, found.seeds[0]).config
        config.budget.unit, config.budget.limit = "steps", 3
        trainer, notebook = trainer_of(config, tmp_path / str(asked.number))
        trainer.train()
        assert trainer.loop.state_dict()["window"] >= 3
        assert all(math.isfinite(row["loss"]) for row in notebook.rows)
