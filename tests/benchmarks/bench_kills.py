"""Does a search survive? Twenty real trials, and ten kills at random moments, in each storage.

By `make bench ARGS=kills`: some minutes for each. PostgreSQL is killed in the tests, where its
trials are formulas.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from search_kills import VICTIMS, check, survive

TRIALS, KILLS = 20, 10
ENDS = {"COMPLETE": "complete", "PRUNED": "pruned"}


@pytest.mark.parametrize("kept", ["journal", "sqlite"])
def test_twenty_trials_survive_ten_kills(kept: str, tmp_path: Path) -> None:
    victims = [VICTIMS[number % len(VICTIMS)] for number in range(KILLS)]
    storage = f"sqlite:///{tmp_path}/study.db" if kept == "sqlite" else None
    found = survive(tmp_path, TRIALS, victims, storage)
    check(found, TRIALS)
    query = """select trial.value, state.value from runs join tags trial using (run_uuid)
        join tags state using (run_uuid) where lifecycle_stage = 'active'
        and trial.key = 'trial' and state.key = 'trial_state'"""
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        told = {int(number): state for number, state in database.execute(query)}
    assert told == {trial.number: ENDS[trial.state.name] for trial in found.trials}
