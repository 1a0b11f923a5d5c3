"""`spark-lab ui`: MLflow's pages on this machine, with the right store and a link that compares."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

from spark_lab.errors import Problem, UserError
from spark_lab.tracking.store import quieten, store_uri
from spark_lab.tracking.sync import sync

if TYPE_CHECKING:
    from mlflow.entities import Run

HOST = "127.0.0.1"
PORTS = range(5000, 5050)
START_SECONDS = 90
COMPARED_METRIC = "policy/accuracy"


def serve(argv: list[str]) -> None:
    """`spark-lab ui [ROOT] [--port N]`: serves until Ctrl-C.

    Raises UserError where there is no run, no free port, or MLflow does not start.
    """
    parser = argparse.ArgumentParser(prog="spark-lab ui", description="MLflow of these runs.")
    parser.add_argument("root", nargs="?", default="runs", help="folder of the runs (runs)")
    parser.add_argument("--port", type=int, help="port on 127.0.0.1 (the first free from 5000)")
    args = parser.parse_args(argv)
    root = Path(args.root)
    # The default action would leave the server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sync(root)
    with server(root, free_port(args.port)) as (process, url):
        for words, link in links(root, url):
            print(f"\n{words}\n  {link}")
        print("\nCtrl-C stops it.", flush=True)
        try:
            process.wait()
        except KeyboardInterrupt:
            print()


@contextmanager
def server(root: Path, port: int) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """MLflow's server on the store of `root`; gives (process, URL) once it answers, ends with it.

    Raises UserError where it does not come up; its own words are in <root>/mlflow-ui.log.
    """
    quieten()
    url = f"http://{HOST}:{port}"
    log = root / "mlflow-ui.log"
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    command += ["--host", HOST, "--port", str(port), "--backend-store-uri", store_uri(root, None)]
    command += ["--default-artifact-root", (root / "mlartifacts").resolve().as_uri()]
    # MLflow's own jobs would be seven processes more, and there are none.
    env = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=env, start_new_session=True
        )
    try:
        print("starting MLflow (some ten seconds) ...", flush=True)
        _wait(process, url, log)
        yield process, url
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    # MLflow starts workers of its own and does not always end them.
    for order, patience in ((signal.SIGTERM, 3), (signal.SIGKILL, 10)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, order)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=patience)


def free_port(wanted: int | None) -> int:
    """The port asked for, or the first free one from 5000. UserError where there is none."""
    candidates = PORTS if wanted is None else [wanted]
    for port in candidates:
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except (OSError, OverflowError):
                continue
            return port
    tried = f"{candidates[0]}" if wanted is not None else f"{PORTS.start} to {PORTS.stop - 1}"
    raise UserError(
        Problem(
            "--port", f"{tried}: in use", "a free port on this machine", "spark-lab ui --port 8080"
        )
    )


def links(root: Path, url: str) -> list[tuple[str, str]]:
    """(what it shows, link): all runs, and the runs of the latest sweep side by side."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store_uri(root, None))
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found = client.search_runs(
        experiments, order_by=["attributes.start_time DESC"], max_results=1000
    )
    tagged = [run for run in found if "arm" in run.data.tags]
    if not tagged:
        return [("all runs", url)]
    latest = tagged[0]
    charts = f"{url}/#/experiments/{latest.info.experiment_id}/runs?compareRunsMode=CHART"
    sweep = sorted(
        (run for run in tagged if _sweep(run) == _sweep(latest)), key=lambda run: run.info.run_name
    )
    return [("all runs", charts), *_compare(sweep, url)]


def _sweep(run: Run) -> tuple[str, str]:
    return run.info.experiment_id, run.data.tags["sweep"]


def _compare(sweep: list[Run], url: str) -> list[tuple[str, str]]:
    experiment, name = _sweep(sweep[0])
    if len(sweep) == 1:
        run = f"{url}/#/experiments/{experiment}/runs/{sweep[0].info.run_id}"
        return [("latest run", run)]
    runs = f"runs={_listed([run.info.run_id for run in sweep])}&experiments={_listed([experiment])}"
    return [
        (f"compare {name!r}", f"{url}/#/compare-runs?{runs}"),
        ("its curves over steps", _curves(url, runs, COMPARED_METRIC)),
        ("its curves over generated tokens", _curves(url, runs, f"tokens/{COMPARED_METRIC}")),
    ]


def _curves(url: str, runs: str, metric: str) -> str:
    name = quote(json.dumps(metric), safe="")
    return f"{url}/#/metric?{runs}&metric={name}&plot_metric_keys={_listed([metric])}&x_axis=step"


def _listed(values: list[str]) -> str:
    return quote(json.dumps(values, separators=(",", ":")), safe="[],")


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(f"{url}/health", timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.3)
    tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
    raise UserError(
        Problem(
            where="spark-lab ui",
            got="MLflow did not start: " + " / ".join(tail),
            expected=f"an answer at {url}",
            fix=f"read {log}; `spark-lab ui --port N` takes another port",
        )
    )
