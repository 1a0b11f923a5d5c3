"""study.json in a search's folder: all that the report needs, wherever the storage is by then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_lab import runs
from spark_lab.durable import write_text
from spark_lab.sweeping import labels
from spark_lab.tracking.jsonl import read_rows
from spark_lab.tuning.desk import ERROR, EXCESS, RESULT
from spark_lab.tuning.endings import COMPLETE, FAILED, PRUNED, words_of
from spark_lab.tuning.search import Search

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

NAME = "study.json"
_ENDED = {"COMPLETE": COMPLETE, "PRUNED": PRUNED, "FAIL": FAILED}


def write(search: Search, study: Study) -> Path:
    """Replace the snapshot in one move, unless nothing has changed."""
    path = search.folder / NAME
    text = json.dumps(as_data(search, study), indent=1) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
    return path


def as_data(search: Search, study: Study) -> dict[str, Any]:
    """The search and its trials as plain values."""
    identity = search.identity()
    identity.pop("config")
    folders: dict[int, list[Path]] = {}
    for folder in runs.find_runs(search.folder):
        number = runs.trial_of(folder.parent.name)
        if number is not None:
            folders.setdefault(number, []).append(folder)
    return {
        "name": search.name,
        "n_trials": search.n_trials,
        "fresh_seeds": list(search.fresh_seeds),
        "directions": list(search.settings.directions),
        "keys": [d.key for d in search.space.dimensions],
        "short": labels.short_keys([d.key for d in search.space.dimensions]),
        **identity,
        "trials": [
            _trial(trial, folders.get(trial.number, []))
            for trial in study.get_trials(deepcopy=False)
        ],
    }


def _trial(trial: FrozenTrial, folders: list[Path]) -> dict[str, Any]:
    from optuna.distributions import distribution_to_json

    attrs = trial.user_attrs
    return {
        "number": trial.number,
        "state": trial.state.name,
        "ended": _ENDED.get(trial.state.name) and words_of(_ENDED[trial.state.name], folders),
        "values": trial.values,
        "params": trial.params,
        "distributions": {
            key: json.loads(distribution_to_json(value))
            for key, value in trial.distributions.items()
        },
        "intermediate": {str(rung): v for rung, v in sorted(trial.intermediate_values.items())},
        "result": attrs.get(RESULT, {}),
        "excess": attrs.get(EXCESS, []),
        "error": attrs.get(ERROR),
        "tokens": sum(_tokens(folder) for folder in folders),
    }


def _tokens(folder: Path) -> float:
    """What the run has generated, wherever it ended: the later of its last rows."""
    rows = [read_rows(folder / f"{name}.jsonl").rows[-1:] for name in ("metrics", "eval")]
    return max((row[0].get("compute/generated_tokens", 0.0) for row in rows if row), default=0.0)
