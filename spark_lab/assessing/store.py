"""Where an evaluation on its own is kept, so that the same one is never measured twice.

<run>/evals/step<n>-<hash>/, or <root>/evals/<model>-<hash>/, for a benchmark with its name before the
hash: config.yaml (what shaped it), rollouts/*.jsonl.gz as in a run, and result.json, which is written
last.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from spark_lab import runner
from spark_lab.assessing.subject import Subject
from spark_lab.durable import write_text
from spark_lab.errors import Problem, UserError
from spark_lab.runs.provenance import environment, weights_digest
from spark_lab.tracking.jsonl import Row, write_rollouts

if TYPE_CHECKING:
    from spark_lab.evaluation import Evaluation

_RESULT = "result.json"

Result = dict[str, Any]
Settings = dict[str, Any]


def folder_of(subject: Subject, settings: Settings, label: str = "") -> Path:
    """Equal settings, which include the weights, share a folder, others never do."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    identity = hashlib.sha256(text.encode()).hexdigest()[:8]
    name = f"step{subject.step}"
    if subject.run is None:
        name = _file_name(Path(subject.config.model.path).name) or "model"
    root = Path(subject.config.root).absolute() if subject.run is None else subject.run
    return root / "evals" / "-".join(filter(None, (name, _file_name(label), identity)))


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip("-")


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
    if evaluation.outcomes:
        step = subject.step or 0
        write_rollouts(folder / "rollouts", "test_time", step, evaluation.outcomes)
    found = {
        "questions": questions,
        "metrics": evaluation.metrics,
        "seconds": evaluation.seconds,
        "generated_tokens": evaluation.generated_tokens,
    }
    return write(folder, subject, settings_of(subject), evaluation.rows, found)


def write(
    folder: Path, subject: Subject, settings: Settings, rows: list[Row], found: Result
) -> Result:
    """Settings and rollouts, and last the result: what was found, of which model, on which machine."""
    write_text(folder / "config.yaml", yaml.safe_dump(settings, sort_keys=False))
    write_rollouts(folder / "rollouts", "eval", subject.step or 0, rows)
    result = {
        "title": subject.title,
        "run": None if subject.run is None else str(subject.run),
        "step": subject.step,
        **found,
        "environment": environment(),
    }
    write_text(folder / _RESULT, json.dumps(result, indent=2) + "\n")
    return result


def settings_of(subject: Subject) -> Settings:
    """All that shapes the numbers of an evaluation on a task's own questions."""
    config = asdict(subject.config)
    evaluation = {key: value for key, value in config["eval"].items() if key != "every"}
    return {
        "weights": weights(subject),
        "judge_set": subject.judge_set is not None,
        "task": config["task"],
        "model": model_settings(subject),
        "eval": evaluation | {"max_completion_length": longest(subject)},
    }


def model_settings(subject: Subject) -> Settings:
    """How the model is asked, whatever its weights."""
    model = asdict(subject.config.model)
    return {key: value for key, value in model.items() if key not in ("path", "revision", "lora")}


def longest(subject: Subject) -> int:
    """Tokens of the longest completion."""
    config = subject.config
    return config.eval.max_completion_length or config.trainer.max_completion_length


def weights(subject: Subject) -> str:
    """By their content, not by where they lie; a hub's model by its name and commit."""
    model = subject.config.model
    found = runner.weights(model)
    base = found.get("model_sha256") or f"{model.path}@{found['model_commit']}"
    return base if subject.adapters is None else f"{base}+{weights_digest(subject.adapters)}"
