"""Where a run's numbers come from: code, package versions, machine, model and data."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from spark_lab.durable import write_text
from spark_lab.errors import Problem, UserError
from spark_lab.runs.checkpoints import digest

_PACKAGES = (
    "spark-lab",
    "torch",
    "trl",
    "transformers",
    "tokenizers",
    "accelerate",
    "datasets",
    "peft",
    "math-verify",
    "numpy",
    "hydra-core",
    "omegaconf",
    "mlflow",
)


def write_env(folder: Path, **facts: Any) -> None:
    """Write env.json, or add `facts` (such as model_sha256, dataset_fingerprint) to it."""
    path = folder / "env.json"
    known = read_env(folder) if path.exists() else environment()
    write_text(path, json.dumps(known | facts, indent=2) + "\n")


def read_env(folder: Path) -> dict[str, Any]:
    """env.json. UserError if damaged."""
    path = folder / "env.json"
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        known = None
    if isinstance(known, dict):
        return known
    fix = "delete this file: it is written anew, for the machine as it is now"
    raise UserError(Problem(str(path), "not a JSON object", "the run's environment", fix))


def environment() -> dict[str, Any]:
    """What can be told without loading a model."""
    return {
        "git": git_state(),
        "source_sha256": source_digest(),
        "packages": versions(),
        "python": platform.python_version(),
        "machine": {
            "system": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
        },
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def versions() -> dict[str, str]:
    """Installed versions of the packages that can change a result; absent ones are left out."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_state() -> dict[str, Any] | None:
    """Commit and dirty flag of the checkout that the code runs from; None for an installed wheel."""
    checkout = Path(__file__).resolve().parent.parent
    if not (checkout / ".git").exists():
        return None
    commit = _git(checkout, "rev-parse", "HEAD")
    changes = _git(checkout, "status", "--porcelain", "--untracked-files=no")
    return None if commit is None else {"commit": commit, "dirty": bool(changes)}


@cache
def source_digest() -> str:
    """sha256 over the names and contents of the library's files: what git says of an installed copy is
    nothing, and of a checkout with changes too little."""
    total, library = hashlib.sha256(), Path(__file__).resolve().parent.parent
    for file in sorted(library.rglob("*")):
        if file.is_file() and file.suffix != ".pyc":
            total.update(f"{file.relative_to(library)} {digest(file)}\n".encode())
    return total.hexdigest()


def weights_digest(folder: Path) -> str:
    """sha256 over the names and contents of a model folder's weights and tokenizer."""
    total = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*.json")):
        total.update(f"{file.name} {digest(file)}\n".encode())
    return total.hexdigest()


def _git(checkout: Path, *words: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(checkout), *words],
            check=False,
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
