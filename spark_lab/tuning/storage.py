"""Where a search is kept: Optuna's storages, opened so that no kill can spoil them."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from filelock import FileLock, Timeout

from spark_lab.errors import Problem, UserError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

LOCK_SECONDS = 60.0
_BLOCK = 1 << 16
_BEGINS = b'{"op_code":'
_SQLITE = "sqlite:///"
_WHERE = "hydra.sweeper.storage"
# Operations of a journal: a value on the way, an attribute of a trial (two kinds).
_REPEATED = (7, 8, 9)


def place(storage: str | None, folder: Path) -> str:
    """Absolute: "journal:///FILE", or a database's address. UserError for any other."""
    if storage is None:
        return f"journal://{folder.absolute() / 'study.journal'}"
    if storage.startswith(_SQLITE):
        return _SQLITE + str(Path(storage.removeprefix(_SQLITE)).absolute())
    scheme, colon, rest = storage.partition("://")
    if colon and scheme in ("postgresql", "postgresql+psycopg"):
        return f"postgresql+psycopg://{rest}"
    expected = "sqlite:///FILE, postgresql://USER:PASSWORD@HOST/DATABASE, or null for a journal"
    raise UserError(Problem(_WHERE, shown(storage), expected, f"{_WHERE}={_SQLITE}study.db"))


def shown(address: str) -> str:
    """Without its password."""
    parts = urlsplit(address)
    if parts.password is None:
        return address
    host = parts.netloc.replace(f":{parts.password}@", ":...@")
    return urlunsplit(parts._replace(netloc=host))


def open_storage(address: str) -> BaseStorage:
    """Raises UserError where it is locked, damaged, or can't be reached."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if address.startswith("journal://"):
        return _open_journal(Path(address.removeprefix("journal://")))
    return _open_database(address)


def _open_journal(path: Path) -> BaseStorage:
    from optuna.storages import JournalStorage

    lock = KernelLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        lock.release()
        return JournalStorage(JournalFile(path, lock))
    except OSError as error:
        problem = Problem(
            str(path),
            f"can't be opened: {error.strerror}",
            "a file that you may read and write",
            "root=PATH with another folder, or change its permissions",
        )
        raise UserError(problem) from error
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        detail = " ".join(str(error).split())[:100]
        problem = Problem(
            str(path),
            f"damaged ({type(error).__name__}: {detail})",
            "a journal that Optuna wrote",
            "restore the file, or name=NAME for a search of its own",
        )
        raise UserError(problem) from error


def _cut_torn_line(path: Path) -> None:
    """A kill or a full disk may tear the last line, and the next one would be lost with it.

    Raises ValueError where the end was never a line of a journal: nothing is cut then.
    """
    if not path.exists():
        return
    with path.open("rb+") as file:
        end = size = file.seek(0, os.SEEK_END)
        tail = b""
        while end > 0 and tail.count(b"\n") < 2:
            start = max(0, end - _BLOCK)
            file.seek(start)
            tail = file.read(end - start) + tail
            end = start
        *whole, torn = tail.split(b"\n")
        for line in [*whole[-1:], torn]:
            if line[: len(_BEGINS)] != _BEGINS[: len(line)]:
                raise ValueError(f"{line[:40]!r} is no operation of Optuna's")
        if torn:
            file.truncate(size - len(torn))


class KernelLock:
    """Optuna's lock of a journal, as one that the kernel frees when its holder dies.

    Optuna's own leaves a file behind, which holds up every other process for half a minute. Whoever
    has it may write: what another one has left torn is cut off first.
    """

    def __init__(self, path: Path):
        self._path = path
        self._lock = FileLock(path.with_name(f".{path.name}.flock"))

    def acquire(self) -> bool:
        try:
            self._lock.acquire(timeout=LOCK_SECONDS, poll_interval=0.005)
        except Timeout:
            raise UserError(_locked(str(self._path))) from None
        try:
            _cut_torn_line(self._path)
        except (OSError, ValueError):
            self._lock.release()
            raise
        return True

    def release(self) -> None:
        self._lock.release()


class JournalFile:
    """Optuna's journal in a file, which waits for the disk only where losing a line would hurt.

    A kill loses nothing that was written; a power failure loses what the disk does not have. Values
    reported on the way are reported again by the run that goes on, and a trial's attributes are
    followed by a parameter or its end, for which the disk takes them all.
    """

    def __init__(self, path: Path, lock: KernelLock):
        from optuna.storages.journal import JournalFileBackend

        self._path, self._lock = path, lock
        self._file = JournalFileBackend(str(path), lock)

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        return self._file.read_logs(log_number_from)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        if any(log["op_code"] not in _REPEATED for log in logs):
            self._file.append_logs(logs)
            return
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._lock.acquire()
        try:
            with self._path.open("ab") as file:
                file.write(lines.encode())
        finally:
            self._lock.release()


def _open_database(address: str) -> BaseStorage:
    from optuna.exceptions import OptunaError
    from optuna.storages import RDBStorage, get_storage
    from sqlalchemy.exc import SQLAlchemyError

    is_file = address.startswith(_SQLITE)
    options = {"connect_args": {"timeout": LOCK_SECONDS}} if is_file else {"pool_pre_ping": True}
    try:
        if is_file:
            Path(address.removeprefix(_SQLITE)).parent.mkdir(parents=True, exist_ok=True)
        return get_storage(RDBStorage(address, engine_kwargs=options))
    except ImportError as error:
        fix = "pip install 'spark-lab[postgres]'"
        raise UserError(Problem(_WHERE, str(error), "the driver of this database", fix)) from error
    except (SQLAlchemyError, OptunaError, RuntimeError, OSError, ValueError) as error:
        detail = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        if "database is locked" in str(error):
            raise UserError(_locked(shown(address))) from error
        problem = Problem(
            f"{_WHERE}={shown(address)}",
            detail,
            "a database that can be opened and was not damaged",
            f"start, mend or correct it, or leave {_WHERE} out for a journal",
        )
        raise UserError(problem) from error


def _locked(place: str) -> Problem:
    return Problem(
        place,
        f"locked by another process for over {LOCK_SECONDS:.0f} s",
        "a storage that is free now and then",
        "end that process, or wait for it",
    )
