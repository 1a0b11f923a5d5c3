"""Files that are either the old or the new one, whatever kills the process or fills the disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from spark_lab.errors import Problem, UserError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Libraries in other languages pass the disk's error on as text; torch.save says no more of it than
# that a stream failed, and what fails it is want of space.
_NO_SPACE_TEXTS = (
    "No space left on device",
    "Disk quota exceeded",
    *(f"(os error {number})" for number in _NO_SPACE),
    "basic_ios::clear: iostream error",
)


def write_text(path: Path, text: str) -> None:
    """Replace `path` in one move, after its content has reached the disk.

    Raises UserError where the disk is full; the old file is untouched then.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        _sync_folder(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        if is_full_disk(error):
            raise UserError(full_disk(path)) from error
        raise


def is_full_disk(error: BaseException | None) -> bool:
    """Whether a full disk is the error or a cause of it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_SPACE:
            return True
        if any(text in str(error) for text in _NO_SPACE_TEXTS):
            return True
        error = error.__cause__ or error.__context__
    return False


def full_disk(path: Path) -> Problem:
    return Problem(
        where=str(path),
        got="no space left on the disk",
        expected="room for checkpoints and logs; what was written before is intact",
        fix="free some space and type the same command: it goes on from the last checkpoint "
        "(trainer.keep_checkpoints and tracking.rollouts_every save space)",
    )


def _sync_folder(folder: Path) -> None:
    """A rename is only durable once its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
