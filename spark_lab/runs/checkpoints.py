"""Which checkpoints of a run can be trusted: those whose manifest was sealed after the last file."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

from spark_lab.durable import write_text
from spark_lab.errors import Problem, UserError

_MANIFEST = "manifest.json"
_NAME = re.compile(r"checkpoint-(\d+)")


def path_of(folder: Path, step: int) -> Path:
    """The checkpoint of a run folder at an optimizer step."""
    return folder / "checkpoints" / f"checkpoint-{step}"


def seal(path: Path, keep: int | None = None) -> None:
    """Declare a checkpoint whole: write the names, sizes and sha256 of its files.

    With `keep`, delete all but the newest `keep` sealed checkpoints beside it, and torn older ones.
    """
    files = {
        str(file.relative_to(path)): {"size": file.stat().st_size, "sha256": digest(file)}
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != _MANIFEST
    }
    write_text(path / _MANIFEST, json.dumps(files, indent=1) + "\n")
    if keep is not None:
        _prune(path.parent, keep)


def _prune(folder: Path, keep: int) -> None:
    newest_first = sorted(_steps(folder), reverse=True)
    whole = [step for step in newest_first if (folder / f"checkpoint-{step}" / _MANIFEST).exists()]
    kept = set(whole[: max(keep, 1)])
    for step in newest_first:
        if step not in kept and step < max(kept):
            shutil.rmtree(folder / f"checkpoint-{step}")


def complete(folder: Path) -> list[int]:
    """Steps of a run's sealed checkpoints, oldest first. A torn one has no manifest."""
    steps = _steps(folder / "checkpoints")
    return sorted(step for step in steps if (path_of(folder, step) / _MANIFEST).exists())


def latest(folder: Path) -> int | None:
    """The step to go on from, or None. Raises UserError where that checkpoint is damaged."""
    steps = complete(folder)
    if not steps:
        return None
    verify(path_of(folder, steps[-1]))
    return steps[-1]


def verify(path: Path) -> None:
    """Raises UserError naming each file that is missing or differs from the manifest."""
    damaged = _damage(path)
    if damaged:
        raise UserError(
            Problem(
                str(path),
                f"a damaged checkpoint: {'; '.join(damaged)}",
                "the files that its manifest.json lists",
                "delete that folder to go on from the checkpoint before it, or add force=true to "
                "start this run over",
            )
        )


def digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _damage(path: Path) -> list[str]:
    try:
        files = json.loads((path / _MANIFEST).read_text(encoding="utf-8"))
        listed = {path / name: (entry["size"], entry["sha256"]) for name, entry in files.items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return [f"{_MANIFEST} can't be read"]
    damage = []
    for file, (size, sha256) in listed.items():
        if not file.is_file():
            damage.append(f"{file.name} is missing")
        elif file.stat().st_size != size:
            damage.append(f"{file.name} has {file.stat().st_size} bytes instead of {size}")
        elif digest(file) != sha256:
            damage.append(f"{file.name} has changed")
    return damage


def _steps(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    names = (_NAME.fullmatch(path.name) for path in folder.iterdir() if path.is_dir())
    return [int(name[1]) for name in names if name]
