"""A search in PostgreSQL, served by a real server: two processes share it, and both are killed."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_tuning_desk import survive

from spark_lab.errors import UserError
from spark_lab.tuning.storage import open_storage, place

pytestmark = pytest.mark.slow


def tool(name: str) -> str | None:
    """Debian keeps the server's programs beside one another, off the PATH."""
    kept = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return shutil.which(name) or (kept[-1] if kept else None)


def as_its_user(*words: str) -> list[str]:
    """The server refuses to be run by root."""
    return ["runuser", "-u", "postgres", "--", *words] if os.getuid() == 0 else [*words]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a database on a server of its own, at a socket in its folder."""
    pytest.importorskip("psycopg")
    initdb, pg_ctl, createdb = map(tool, ("initdb", "pg_ctl", "createdb"))
    if initdb is None or pg_ctl is None or createdb is None:
        if os.environ.get("NEEDS_POSTGRES"):
            pytest.fail("no PostgreSQL: apt-get install postgresql")
        pytest.skip("no PostgreSQL on this machine")
    # Short: a socket's path has 107 characters at most.
    folder = Path(subprocess.check_output(as_its_user("mktemp", "-d"), text=True).strip())
    data = str(folder / "data")

    def run(*words: str) -> None:
        done = subprocess.run(as_its_user(*words), capture_output=True, text=True, cwd="/")
        assert done.returncode == 0, done.stdout + done.stderr

    run(initdb, "-D", data, "-A", "trust", "-U", "tester", "--no-sync")
    options = f"-c listen_addresses= -k {folder} -F"
    run(pg_ctl, "-D", data, "-o", options, "-l", str(folder / "log"), "-w", "start")
    try:
        run(createdb, "-h", str(folder), "-U", "tester", "tune")
        yield f"postgresql://tester@/tune?host={folder}"
    finally:
        run(pg_ctl, "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def test_two_processes_share_a_search_and_are_killed(server: str, tmp_path: Path) -> None:
    survive(tmp_path, [f"hydra.sweeper.storage='{server}'", "hydra/sweeper/pruner=median"])


def test_a_server_that_is_not_there_is_an_error_of_the_users(server: str, tmp_path: Path) -> None:
    address = place(f"postgresql://tester@/tune?host={tmp_path}", tmp_path)
    with pytest.raises(UserError, match="start, mend or correct it"):
        open_storage(address)
