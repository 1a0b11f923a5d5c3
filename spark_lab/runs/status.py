"""What a run says about itself while it is on: status.json, train.log, and rows to be cut."""

from __future__ import annotations

import json
import logging
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from spark_lab.durable import full_disk, is_full_disk, write_text
from spark_lab.errors import Problem, UserError

_STATES = ("running", "done", "failed", "stopped", "pruned")
_START_OVER = "add force=true to start this run over"


class Pruned(Exception):
    """A run ends here on purpose: its search has seen enough of it."""


@contextmanager
def recorded(folder: Path) -> Iterator[None]:
    """Keep status.json and train.log while a run is on: running, then done, pruned, failed or
    stopped.

    A full disk becomes a UserError; Ctrl-C and any other exception go on to the caller.
    """
    previous = read_status(folder)
    write_status(
        folder,
        state="running",
        pid=os.getpid(),
        attempt=previous.get("attempt", 0) + 1,
        started=previous.get("started", time.time()),
        error=None,
    )
    with _log(folder / "train.log"):
        try:
            yield
        except KeyboardInterrupt:
            _close_status(folder, "stopped", "interrupted")
            raise
        except Pruned:
            write_status(folder, state="pruned")
            raise
        except BaseException as error:
            _close_status(folder, "failed", f"{type(error).__name__}: {error}")
            _keep_traceback(folder / "train.log", error)
            if is_full_disk(error) and not isinstance(error, UserError):
                raise UserError(full_disk(folder)) from error
            raise
    write_status(folder, state="done")


def read_status(folder: Path) -> dict[str, Any]:
    """status.json, or {} where a run was torn before it wrote one. UserError if damaged."""
    path = folder / "status.json"
    if not path.exists():
        return {}
    try:
        status = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        status = error
    if isinstance(status, dict) and status.get("state") in _STATES:
        return status
    raise UserError(
        Problem(
            str(path),
            f"not a status ({status})" if isinstance(status, ValueError) else "not a status",
            f"an object whose state is one of {', '.join(_STATES)}",
            f"delete this file to go on from the last checkpoint, or {_START_OVER}",
        )
    )


def write_status(folder: Path, **fields: Any) -> None:
    """Replace the given fields of status.json in one move; the others stay."""
    status = read_status(folder) | fields | {"updated": time.time()}
    write_text(folder / "status.json", json.dumps(status, indent=2) + "\n")


def truncate(folder: Path, step: int) -> None:
    """Cut everything that a run wrote after `step`, and lines torn by a kill, from its files."""
    for name in ("metrics.jsonl", "eval.jsonl"):
        _truncate_rows(folder / name, step)
    for path in (folder / "rollouts").glob("*-*.jsonl.gz*"):
        number = path.name.split(".")[0].split("-")[-1]
        if path.suffix != ".gz" or (number.isdigit() and int(number) > step):
            path.unlink()


def _truncate_rows(path: Path, step: int) -> None:
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    kept = []
    for number, line in enumerate(lines, start=1):
        row = _row(line)
        if row is None and number == len(lines):
            break  # torn by a kill
        if row is None:
            raise UserError(
                Problem(
                    f"{path}:{number}",
                    f"not a row: {line.strip()[:60]!r}",
                    "one JSON object with a step a line",
                    f"repair or delete that line, or {_START_OVER}",
                )
            )
        if row["step"] <= step:
            kept.append(line)
    if len(kept) < len(lines):
        write_text(path, "".join(kept))


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(row, dict) and isinstance(row.get("step"), int) and line.endswith("\n")
    return row if whole else None


@contextmanager
def _log(path: Path) -> Iterator[None]:
    """Log records and warnings of the run go to a file; warnings are kept off the terminal."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root, warned = logging.getLogger(), logging.getLogger("py.warnings")
    propagates = warned.propagate
    root.addHandler(handler)
    warned.addHandler(handler)
    warned.propagate = False
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        warned.propagate = propagates
        warned.removeHandler(handler)
        root.removeHandler(handler)
        with suppress(OSError):
            handler.close()


def _close_status(folder: Path, state: str, error: str) -> None:
    # The reason why the run ended must reach the user even where the status can't be written.
    with suppress(OSError, UserError):
        write_status(folder, state=state, error=error)


def _keep_traceback(path: Path, error: BaseException) -> None:
    with suppress(OSError), path.open("a", encoding="utf-8") as log:
        traceback.print_exception(error, file=log)
