"""A run that another comparison below the same root has already made: taken over, not repeated.

Named sweeps share arms (their baseline above all). Runs of one identity, made by the same code from
the same weights and questions, differ in nothing but the names of their sweep and arm.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from spark_lab.durable import write_text
from spark_lab.errors import UserError
from spark_lab.runs.folder import Run
from spark_lab.runs.provenance import read_env, write_env
from spark_lab.runs.status import read_status, write_status

# What must be the same for two runs of one identity to be the same run.
_SAME = ("source_sha256", "packages", "python", "machine", "model_sha256", "model_commit")
_SAME += ("dataset_fingerprint", "ranks")
_OF_ITS_OWN = (
    ".lock",
    "config.yaml",
    "overrides.yaml",
    "env.json",
    "status.json",
    "train.log",
    "mlflow.json",
)
_RESULTS = ("step", "fraction", "seconds", "start", "final")


def find(run: Run) -> Path | None:
    """The finished run that this one would repeat; None where there is none. `run` must be fresh, with
    its env.json."""
    env = read_env(run.folder)
    root = run.folder.parents[2]
    for folder in sorted(root.glob(f"*/*/{run.folder.name}")):
        if folder != run.folder and _repeats(env, folder):
            return folder
    return None


def adopt(twin: Path, folder: Path) -> None:
    """Copy the results of `twin`; checkpoints, which are never written to again, by hard link.

    The status comes last: torn before, the folder is that of a run torn at its last checkpoint.
    """
    for path in sorted(twin.iterdir()):
        if path.name in _OF_ITS_OWN or path.name.endswith(".part"):
            continue
        if path.is_dir():
            shutil.copytree(path, folder / path.name, copy_function=_link, dirs_exist_ok=True)
        else:
            write_text(folder / path.name, path.read_text(encoding="utf-8"))
    # A twin that was taken over itself says where it was made.
    made_at = {"taken_over_from": os.path.relpath(twin, folder.parents[2])}
    write_env(folder, **made_at | read_env(twin))
    status = read_status(twin)
    write_status(folder, **{key: status[key] for key in _RESULTS if key in status})


def _repeats(env: dict[str, Any], folder: Path) -> bool:
    try:
        return _finished(folder) and _same(env, read_env(folder))
    except UserError:  # damaged: another comparison's business, which must not fail this one
        return False


def _finished(folder: Path) -> bool:
    whole = all((folder / name).exists() for name in ("config.yaml", "env.json"))
    return whole and read_status(folder).get("state") == "done"


def _same(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    return all(ours.get(key) == theirs.get(key) for key in _SAME)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)
