"""Where the MLflow copy lives: the tracking store, opened safely by any number of processes.

Nothing of MLflow is imported before a store is opened (its import takes over a second). Creating
one sqlite database from several processes at once destroys it, so opening is done under a lock.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from filelock import FileLock

from spark_lab.errors import Problem, UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient

SQLITE = "sqlite:///"
LOCK_SECONDS = 120


class Store(NamedTuple):
    """An open tracking store: never the process-wide "active run" of MLflow's fluent interface."""

    client: MlflowClient
    uri: str
    experiment: str


def store_uri(root: Path, uri: str | None) -> str:
    """The tracking URI of a root: `<root>/mlflow.db` unless `uri` says otherwise; never relative."""
    if uri is None:
        return SQLITE + str((root / "mlflow.db").resolve())
    if uri.startswith(SQLITE):
        return SQLITE + str(Path(uri.removeprefix(SQLITE)).resolve())
    return uri


def open_store(root: Path, uri: str | None, experiment: str) -> Store:
    """Opens the store and the experiment, creating either where it is missing.

    Raises UserError when it can't be opened: a tracker that was asked for must start.
    """
    uri = store_uri(root, uri)
    quieten()
    from mlflow import MlflowClient

    # What goes wrong reaches the caller as an exception; MLflow would print its traceback as well.
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    root.mkdir(parents=True, exist_ok=True)
    try:
        with lock(root):
            _create_database(uri, root)
            client = MlflowClient(tracking_uri=uri)
            found = client.get_experiment_by_name(experiment)
            _write_ahead(uri)
            if found is None:
                return Store(client, uri, _create(client, uri, root, experiment))
    except failures() as error:
        raise UserError(_cannot_open(uri, error)) from error
    if found.lifecycle_stage != "active":
        raise UserError(_deleted(experiment, found.experiment_id))
    return Store(client, uri, found.experiment_id)


def failures() -> tuple[type[Exception], ...]:
    """What a store can fail with: its own errors, the database's, the disk's or the network's."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, sqlite3.Error, OSError


def lock(root: Path) -> FileLock:
    """The lock under which databases, experiments and runs of a root are created."""
    return FileLock(root / ".mlflow.lock", timeout=LOCK_SECONDS)


def quieten() -> None:
    """Keeps MLflow's start-up chatter (schema migrations, telemetry) out of the user's terminal, and
    a server that is gone from holding up a run for minutes: what it misses is sent later."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _create(client: MlflowClient, uri: str, root: Path, experiment: str) -> str:
    if urlsplit(uri).scheme.startswith("http"):
        return client.create_experiment(experiment)
    artifacts = (root / "mlartifacts").resolve().as_uri()
    return client.create_experiment(experiment, artifact_location=artifacts)


def _create_database(uri: str, root: Path) -> None:
    """Make a missing sqlite database under another name and move it into place when it is whole.

    Its tables take seconds to create; a process that is killed meanwhile would leave a database
    that MLflow can neither use nor complete. Nobody needs a part of one, so that the disk is waited
    for once and not after each of MLflow's hundreds of changes to the tables.
    """
    database = Path(uri.removeprefix(SQLITE))
    if not uri.startswith(SQLITE) or database.exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import Engine, event

    part = database.with_name(f"{database.name}.part")
    for leftover in (part, part.with_name(f"{part.name}-journal")):
        leftover.unlink(missing_ok=True)
    event.listen(Engine, "connect", _without_waiting)
    try:
        store = SqlAlchemyStore(f"{SQLITE}{part}", (root / "mlartifacts").resolve().as_uri())
        store.engine.dispose()
    finally:
        event.remove(Engine, "connect", _without_waiting)
    with part.open("rb+") as whole:
        os.fsync(whole.fileno())
    os.replace(part, database)


def _without_waiting(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("pragma synchronous=off")
    connection.execute("pragma journal_mode=memory")


def _write_ahead(uri: str) -> None:
    # Readers and writers of a write-ahead log do not block one another; the mode stays in the file.
    if uri.startswith(SQLITE):
        database = sqlite3.connect(uri.removeprefix(SQLITE), timeout=LOCK_SECONDS)
        try:
            database.execute("pragma journal_mode=WAL")
        finally:
            database.close()


def _cannot_open(uri: str, error: Exception) -> Problem:
    reason = str(error).strip().splitlines()
    mend = "repair or move the store away (`spark-lab sync` rebuilds it from the run folders)"
    if urlsplit(uri).scheme.startswith("http"):
        mend = "start the server (mlflow server --host HOST --port PORT), or correct its address"
    return Problem(
        where="tracking.mlflow_uri",
        got=f"{uri} ({reason[0] if reason else type(error).__name__})",
        expected="a tracking store that can be opened",
        fix=f"{mend}, or type tracking.mlflow=false",
    )


def _deleted(experiment: str, identity: str) -> Problem:
    return Problem(
        where="tracking.experiment",
        got=f"{experiment!r}, which was deleted in the MLflow UI",
        expected="an active experiment",
        fix=f"type tracking.experiment=another_name, or restore it: "
        f"mlflow experiments restore --experiment-id {identity}",
    )
