"""Opening a run: skip what is done, resume what was torn, refuse what is another's.

Whatever kills a run, the same command goes on from its last sealed checkpoint.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

import yaml

from spark_lab.durable import full_disk, is_full_disk, write_text
from spark_lab.errors import Problem, UserError
from spark_lab.runs import checkpoints, provenance
from spark_lab.runs.identity import folder_of, refuse_other
from spark_lab.runs.status import read_status, recorded, truncate
from spark_lab.schema import Config

_LOCK = ".lock"
_WRITTEN_FIRST = (_LOCK, "overrides.yaml", "env.json")
_FOLDER_NAME = re.compile(r"seed\d+-[0-9a-f]{8}")
# Below this a first checkpoint and its logs would not fit.
_ROOM_BYTES = 20 * 2**20


@dataclass(frozen=True)
class Run:
    """An opened run. `resume_step` is None for a fresh start; `done` runs, and those that a search
    has pruned, are to be left alone."""

    folder: Path
    config: Config
    resume_step: int | None
    done: bool
    _lock: IO[str] | None = field(default=None, repr=False, compare=False)

    @property
    def resume_checkpoint(self) -> str | None:
        """The folder of the checkpoint to go on from, or None."""
        if self.resume_step is None:
            return None
        return str(checkpoints.path_of(self.folder, self.resume_step))

    def close(self) -> None:
        """Let other processes write in the folder."""
        if self._lock is not None:
            self._lock.close()


def find_runs(root: Path) -> list[Path]:
    """All run folders at or below `root`, in order of their paths."""
    found = []
    for folder, names, files in os.walk(root):
        if _FOLDER_NAME.fullmatch(Path(folder).name) and "config.yaml" in files:
            found.append(Path(folder))
            names.clear()
    return sorted(found)


def open_run(config: Config, overrides: list[str]) -> Run:
    """Create the run's folder, or find it done, or prepare it for going on where it was torn.

    Raises UserError where the folder can't be written, is locked by another process, belongs to
    another configuration, or holds damaged files. Nothing is deleted then.
    """
    folder = folder_of(config)
    _make(folder)
    lock = _lock(folder)
    try:
        return _open_locked(folder, config, overrides, lock)
    except BaseException:
        lock.close()
        raise


def _open_locked(folder: Path, config: Config, overrides: list[str], lock: IO[str]) -> Run:
    if _is_new(folder):
        _check_room(folder)
        _describe(folder, config, overrides)
        return Run(folder, config, None, False, lock)
    refuse_other(folder, config)
    if config.force:
        _clear(folder)
        _describe(folder, config, overrides)
        return Run(folder, config, None, False, lock)
    if read_status(folder).get("state") in ("done", "pruned"):
        lock.close()
        return Run(folder, config, None, True)
    _check_room(folder)
    step = checkpoints.latest(folder)
    truncate(folder, -1 if step is None else step)
    return Run(folder, config, step, False, lock)


def is_written(folder: Path) -> bool:
    """Whether a living process holds the run's folder."""
    try:
        with (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is none yet; or no lock can be had, which opening the run explains
        return False
    return False


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / _LOCK).open("a"):
            pass
    except OSError as error:
        if is_full_disk(error):
            raise UserError(full_disk(folder)) from error
        raise UserError(
            Problem(
                f"root={folder.parents[2]}",
                f"can't write there: {error.strerror}",
                "a folder that you may write to",
                "root=PATH with another folder, or change its permissions",
            )
        ) from error


def _lock(folder: Path) -> IO[str]:
    """The kernel frees the lock of a process that died, so no lock is ever stale."""
    lock = (folder / _LOCK).open("r+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise UserError(
            Problem(
                str(folder),
                f"another process is writing this run (pid {owner})",
                "one process for each run",
                "wait until it ends, or give this run another seed or name",
            )
        ) from error
    except OSError as error:
        lock.close()
        fix = "root=PATH on another one, or mount it with locks (Lustre: -o flock)"
        got = f"a file system without locks ({error.strerror})"
        where = f"root={folder.parents[2]}"
        raise UserError(Problem(where, got, "locks that all hosts see", fix)) from error
    with suppress(OSError):  # the name only serves the message above
        lock.truncate()
        lock.write(f"{os.getpid()} on {os.uname().nodename}")
        lock.flush()
    return lock


def _is_new(folder: Path) -> bool:
    """Empty but for what a kill may leave between the folder's creation and config.yaml."""
    if (folder / "config.yaml").exists():
        return False
    foreign = sorted(
        path.name
        for path in folder.iterdir()
        if path.name not in _WRITTEN_FIRST and not path.name.endswith(".part")
    )
    if foreign:
        raise UserError(
            Problem(
                str(folder),
                f"files that are not a run's: {', '.join(foreign[:9])}",
                "an empty folder, or a run's folder with its config.yaml",
                "move these files away, or choose another root or name",
            )
        )
    return True


def _check_room(folder: Path) -> None:
    if shutil.disk_usage(folder).free < _ROOM_BYTES:
        raise UserError(full_disk(folder))


def _describe(folder: Path, config: Config, overrides: list[str]) -> None:
    """Written before anything else; config.yaml last, since it makes the folder a run's."""
    write_text(folder / "overrides.yaml", yaml.safe_dump(overrides, sort_keys=False))
    provenance.write_env(folder)
    write_text(folder / "config.yaml", yaml.safe_dump(asdict(config), sort_keys=False))


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name == _LOCK:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def recording(run: Run) -> Iterator[None]:
    """Keep the run's status and log while it is on, and give up its lock at the end."""
    try:
        with recorded(run.folder):
            yield
    finally:
        run.close()
