"""The tracking store opens whole or not at all, for any number of processes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from spark_lab.errors import UserError
from spark_lab.tracking.store import Store, open_store, store_uri


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def store(root: Path) -> Store:
    return open_store(root, None, "spark-lab")


def test_a_store_that_cannot_be_opened_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is no database " * 100)
    with pytest.raises(UserError) as raised:
        open_store(tmp_path, None, "spark-lab")
    [problem] = raised.value.problems
    assert problem.where == "tracking.mlflow_uri" and "spark-lab sync" in problem.fix


def test_a_deleted_experiment_is_bad_input(root: Path, store: Store) -> None:
    gone = open_store(root, None, "gone").experiment
    store.client.delete_experiment(gone)
    with pytest.raises(UserError) as raised:
        open_store(root, None, "gone")
    [problem] = raised.value.problems
    assert problem.where == "tracking.experiment" and gone in problem.fix


def test_store_uris_do_not_depend_on_the_folder_one_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert store_uri(Path("runs"), None) == f"sqlite:///{tmp_path}/runs/mlflow.db"
    assert store_uri(Path("runs"), "sqlite:///x.db") == f"sqlite:///{tmp_path}/x.db"
    assert store_uri(Path("runs"), "http://host:5000") == "http://host:5000"


def test_the_store_writes_ahead(root: Path, store: Store) -> None:
    [mode] = sqlite3.connect(root / "mlflow.db").execute("pragma journal_mode").fetchone()
    assert mode == "wal"


@pytest.mark.slow
def test_four_processes_may_create_the_store_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from spark_lab.tracking.store import open_store;"
        "print(open_store(Path(sys.argv[1]), None, 'spark-lab').experiment)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    workers = [subprocess.Popen(command, stdout=-1, stderr=-1, text=True) for _ in range(4)]
    answers = [worker.communicate() for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4
    assert {out for out, _ in answers} == {"1\n"}
    # Migrations and warnings are MLflow's business, not the user's.
    assert [noise for _, noise in answers] == [""] * 4


@pytest.mark.slow
def test_a_kill_while_the_store_is_created_costs_nothing(tmp_path: Path) -> None:
    """The tables take seconds: half of them must never be taken for a database."""
    code = "import sys\nfrom pathlib import Path\nfrom spark_lab.tracking.store import open_store\n"
    code += "open_store(Path(sys.argv[1]), None, 'spark-lab')"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    part = tmp_path / "mlflow.db.part"
    while not (part.exists() and part.stat().st_size > 0):
        assert process.poll() is None
    process.kill()
    process.wait()
    assert not (tmp_path / "mlflow.db").exists()
    opened = open_store(tmp_path, None, "spark-lab")
    assert opened.client.get_experiment(opened.experiment).name == "spark-lab"
    assert not part.exists()
