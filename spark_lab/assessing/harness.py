"""Tasks of lm-evaluation-harness (Gao et al., doi 10.5281/zenodo.10256836), on the same model.

They are asked as the harness asks them, without a chat template, so that its published numbers compare;
what it says of a task is kept like any benchmark. data=DIR may hold task files of one's own.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from spark_lab.assessing import store
from spark_lab.assessing.subject import Subject
from spark_lab.errors import Problem, UserError, unknown

_Z95 = 1.96


def check(tasks: Sequence[str], data: Path | None) -> None:
    """Raises UserError where the harness is not installed, or doesn't know a task."""
    if find_spec("lm_eval") is None:
        fix = "pip install 'spark-lab[lm-eval]'"
        raise UserError(Problem("suite=lm_eval:...", "lm-eval is not installed", "the extra", fix))
    known = _manager(data).all_tasks
    problems = [
        unknown("suite", task, known, "suite=lm_eval:") for task in tasks if task not in known
    ]
    if problems:
        raise UserError(*(_shortened(problem) for problem in problems))


def _shortened(problem: Problem) -> Problem:
    """There are thousands."""
    expected = "a task of lm-eval (lm-eval ls tasks), or of data=DIR"
    return Problem(problem.where, problem.got, expected, problem.fix)


@functools.cache  # it reads thousands of files
def _manager(data: Path | None) -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=None if data is None else str(data))


def result(
    task: str,
    subject: Subject,
    weights: str,
    data: Path | None,
    limit: int | None,
    asked: Callable[[], tuple[Any, Any]],
) -> store.Result:
    """What is kept of it, else what is found now; `folder` says where that is."""
    settings = {
        "weights": weights,
        "model": store.model_settings(subject),
        "benchmark": f"lm_eval:{task}",
        "lm_eval": metadata.version("lm_eval"),
        "own": _digest(data),
        "limit": limit,
        "seed": subject.config.eval.seed,
    }
    folder = store.folder_of(subject, settings, f"lm_eval-{task}")
    found = None if subject.config.force else store.load(folder)
    if found is None:
        store.prepare(folder)
        measured = _measure(task, subject, data, limit, asked)
        found = store.write(folder, subject, settings, [], {"benchmark": task, **measured})
    return found | {"folder": str(folder)}


def _digest(data: Path | None) -> str | None:
    """Of task files of one's own."""
    if data is None:
        return None
    digest = hashlib.sha256()
    for file in sorted(data.rglob("*.yaml")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _measure(
    task: str,
    subject: Subject,
    data: Path | None,
    limit: int | None,
    asked: Callable[[], tuple[Any, Any]],
) -> dict[str, Any]:
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    from spark_lab.models.vision import tokenizer_of

    began = time.perf_counter()
    model, processing = asked()
    model.eval()
    seed = subject.config.eval.seed
    found = lm_eval.simple_evaluate(
        HFLM(
            pretrained=model,
            tokenizer=tokenizer_of(processing),
            batch_size=subject.config.eval.batch_size,
        ),
        tasks=[task],
        limit=limit,
        task_manager=_manager(data),
        log_samples=False,
        bootstrap_iters=1000,
        random_seed=seed,
        numpy_random_seed=seed,
        torch_random_seed=seed,
        fewshot_random_seed=seed,
    )
    assert found is not None, "one process"
    metrics, intervals = _figures(found["results"], task)
    counts = found["n-samples"]
    return {
        "metrics": metrics,
        "intervals": intervals,
        "counts": {name: sum(one["effective"] for one in counts.values()) for name in metrics},
        "tokens": {},
        "trained_on": None,
        "seconds": time.perf_counter() - began,
        "generated_tokens": 0,
    }


def _figures(
    results: dict[str, dict[str, Any]], task: str
) -> tuple[dict[str, float], dict[str, list[float | None]]]:
    """Of a task its metrics; of a group, also those of its parts."""
    metrics: dict[str, float] = {}
    intervals: dict[str, list[float | None]] = {}
    for part, found in results.items():
        for key, value in found.items():
            name, comma, filtered = key.partition(",")
            if not comma or name.endswith("_stderr") or not isinstance(value, int | float):
                continue
            own = name if filtered == "none" else f"{name} ({filtered})"
            own = own if part == task else f"{part}/{own}"
            error = found.get(f"{name}_stderr,{filtered}")
            known = isinstance(error, int | float)
            metrics[own] = float(value)
            intervals[own] = [value - _Z95 * error, value + _Z95 * error] if known else [None, None]
    return metrics, intervals
