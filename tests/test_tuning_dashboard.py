"""optuna-dashboard on a search's journal, by the command that the README gives."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from searches import METRIC, desk, metrics_of, search

from spark_lab.tracking.ui import free_port

pytest.importorskip("optuna_dashboard")
PROGRAM = Path(sys.executable).parent / "optuna-dashboard"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """The root of a search that goes on, and the address of its pages."""
    wanted = search(tmp_path, "hydra/sweeper/pruner=median", n=4)
    one = desk(wanted)
    for state in ("complete", "pruned", "failed"):
        asked = one.ask()
        one.report(asked.number, {1: 0.5})
        one.tell(asked.number, state, [metrics_of(asked)])
    one.close()
    port = free_port(None)
    words = [PROGRAM, wanted.folder / "study.journal", "--port", str(port)]
    log = (tmp_path / "log").open("w")
    process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        yield tmp_path, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)
        log.close()


def fetch(url: str) -> str:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with suppress(URLError, ConnectionError), urlopen(url, timeout=60) as page:
            return page.read().decode()
        time.sleep(0.1)
    raise AssertionError(f"{url} did not answer")


@pytest.mark.slow
def test_it_shows_a_search_that_goes_on_meanwhile(served: tuple[Path, str]) -> None:
    root, url = served
    assert "<title>Optuna Dashboard</title>" in fetch(f"{url}/dashboard/")
    [known] = json.loads(fetch(f"{url}/api/studies"))["study_summaries"]
    shown = json.loads(fetch(f"{url}/api/studies/{known['study_id']}"))
    assert [trial["state"] for trial in shown["trials"]] == ["Complete", "Pruned", "Fail"]
    assert shown["objective_names"] == [METRIC]
    one = desk(search(root, "hydra/sweeper/pruner=median", n=4))
    asked = one.ask()
    assert asked is not None and asked.number == 3
    one.tell(asked.number, "complete", [metrics_of(asked)])
    one.close()
    deadline = time.monotonic() + 120  # it keeps what it has read for some seconds
    while len(shown["trials"]) < 4 and time.monotonic() < deadline:
        time.sleep(0.5)
        shown = json.loads(fetch(f"{url}/api/studies/{known['study_id']}"))
    assert [trial["state"] for trial in shown["trials"]][3:] == ["Complete"]
