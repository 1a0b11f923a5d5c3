"""MLflow's pages come up on this machine only, with links to the latest sweep."""

from __future__ import annotations

import json
import socket
import sqlite3
from pathlib import Path
from urllib.parse import unquote
from urllib.request import Request, urlopen

import pytest
from simulated import simulate_run

from spark_lab.errors import UserError
from spark_lab.tracking.sync import sync
from spark_lab.tracking.ui import free_port, links, serve, server

SMALL = {"questions": 6, "steps": 4, "evaluations": 2, "samples": 1}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    simulate_run(root, "none", 0, **SMALL)
    return root


@pytest.fixture(scope="module")
def synced(root: Path) -> dict[Path, str]:
    for arm in ("pointwise", "none"):
        for seed in (0, 1):
            folder = simulate_run(root, arm, seed, sweep="objectives", **SMALL)
            status = json.loads((folder / "status.json").read_text())
            (folder / "status.json").write_text(
                json.dumps(status | {"started": status["started"] + 60})
            )
    return sync(root)


def test_a_taken_port_is_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"{port}: in use"):
            free_port(port)
        assert free_port(None) != port


def test_no_runs_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run folders"):
        serve([str(tmp_path)])
    assert not (tmp_path / "mlflow.db").exists()


def test_links_compare_the_runs_of_the_latest_sweep(root: Path, synced: dict[Path, str]) -> None:
    found = dict(links(root, "http://here"))
    names = [f"{arm} seed{seed}" for arm in ("none", "pointwise") for seed in (0, 1)]
    database = sqlite3.connect(root / "mlflow.db")
    latest = {run for folder, run in synced.items() if "objectives" in folder.parts}
    ids = [
        run
        for name in names
        for (run,) in database.execute("select run_uuid from runs where name = ?", (name,))
        if run in latest
    ]
    compare = unquote(found["compare 'objectives'"])
    assert compare == f'http://here/#/compare-runs?runs={_json(ids)}&experiments=["1"]'
    tokens = unquote(found["its curves over generated tokens"])
    assert f"runs={_json(ids)}" in tokens and 'metric="tokens/policy/accuracy"' in tokens
    assert found["all runs"].startswith("http://here/#/experiments/1/")


@pytest.mark.slow
def test_the_server_answers_with_the_runs(root: Path, synced: dict[Path, str]) -> None:
    port = free_port(None)
    with server(root, port) as (process, url):
        assert url == f"http://127.0.0.1:{port}"
        query = json.dumps({"experiment_ids": ["1"]}).encode()
        headers = {"Content-Type": "application/json"}
        request = Request(f"{url}/api/2.0/mlflow/runs/search", query, headers)
        with urlopen(request, timeout=30) as answer:
            runs = json.load(answer)["runs"]
        assert {run["info"]["run_id"] for run in runs} == set(synced.values())
    assert process.poll() is not None


def _json(values: list[str]) -> str:
    return json.dumps(values, separators=(",", ":"))
