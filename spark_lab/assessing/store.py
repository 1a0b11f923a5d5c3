"""Where an evaluation on its own is kept, so that the same one is never measured twice.

<run>/evals/step<n>-<hash>/, or <root>/evals/<model>-<hash>/: config.yaml (what shaped it),
rollouts/*.jsonl.gz as in a run, and result.json, which is written last.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from spark_lab.assessing.subject import Subject
from spark_lab.durable import write_text
from spark_lab.errors import Problem, UserError
from spark_lab.models.load import resolve_path
from spark_lab.runs.provenance import environment, weights_digest
from spark_lab.tracking.jsonl import write_rollouts

if TYPE_CHECKING:
    from spark_lab.evaluation import Evaluation

_RESULT = "result.json"

Result = dict[str, Any]


def folder_of(subject: Subject) -> Path:
    """Equal settings and weights share a folder, others never do."""
    settings = _settings(subject)
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    identity = hashlib.sha256(text.encode()).hexdigest()[:8]
    if subject.run is not None:
        return subject.run / "evals" / f"step{subject.step}-{identity}"
    name = re.sub(r"[^\w.-]+", "-", Path(subject.config.model.path).name).strip("-") or "model"
    return Path(subject.config.root).absolute() / "evals" / f"{name}-{identity}"


def load(folder: Path) -> Result | None:
    """The finished result; None where there is none yet. UserError where it is damaged."""
    path = folder / _RESULT
    if not path.exists():
        return None
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        result = error
    if isinstance(result, dict) and isinstance(result.get("metrics"), dict):
        return result
    fix = "force=true measures it anew"
    raise UserError(Problem(str(path), "not a result", "an object with metrics", fix))


def prepare(folder: Path) -> None:
    """Raises UserError where the evaluation could not be written, before it is made."""
    try:
        (folder / "rollouts").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        got = f"can't write there: {error.strerror}"
        fix = "change its permissions, or root=PATH with another folder for model.path="
        raise UserError(Problem(str(folder), got, "a folder you may write to", fix)) from error


def save(folder: Path, subject: Subject, evaluation: Evaluation, questions: str) -> Result:
    """Write an evaluation's rollouts and outcomes, and its result last."""
    step = subject.step or 0
    write_text(folder / "config.yaml", yaml.safe_dump(_settings(subject), sort_keys=False))
    write_rollouts(folder / "rollouts", "eval", step, evaluation.rows)
    if evaluation.outcomes:
        write_rollouts(folder / "rollouts", "test_time", step, evaluation.outcomes)
    result = {
        "title": subject.title,
        "run": None if subject.run is None else str(subject.run),
        "step": subject.step,
        "questions": questions,
        "metrics": evaluation.metrics,
        "seconds": evaluation.seconds,
        "generated_tokens": evaluation.generated_tokens,
        "environment": environment(),
    }
    write_text(folder / _RESULT, json.dumps(result, indent=2) + "\n")
    return result


def _settings(subject: Subject) -> dict[str, Any]:
    """All that shapes the numbers: the weights by their content, not by where they lie."""
    config = asdict(subject.config)
    model = {k: v for k, v in config["model"].items() if k not in ("path", "revision", "lora")}
    evaluation = {key: value for key, value in config["eval"].items() if key != "every"}
    length = config["eval"]["max_completion_length"] or config["trainer"]["max_completion_length"]
    return {
        "weights": _weights(subject),
        "judge_set": subject.judge_set is not None,
        "task": config["task"],
        "model": model,
        "eval": evaluation | {"max_completion_length": length},
    }


def _weights(subject: Subject) -> str:
    model = subject.config.model
    folder = Path(resolve_path(model.path))
    base = weights_digest(folder) if folder.is_dir() else f"{model.path}@{model.revision}"
    return base if subject.adapters is None else f"{base}+{weights_digest(subject.adapters)}"
