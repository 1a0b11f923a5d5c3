"""Optuna's study of a search: made once, found again, and refused where it is another search's."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from spark_lab import runs
from spark_lab.durable import write_text
from spark_lab.errors import Problem, UserError
from spark_lab.tuning import samplers, storage
from spark_lab.tuning.search import Search

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage

# The study's own note of what it searches, and the token of the folder with its runs.
MARK, FOLDER = "spark-lab", "spark-lab folder"
_TOKEN = ".study"


def lock(folder: Path) -> FileLock:
    """Held while a trial is asked for: processes that share a search take turns."""
    return FileLock(folder / ".study.lock")


def open_study(search: Search) -> Study:
    """Make the study, or go on with it.

    Raises UserError where the storage can't be used, holds another search of that name, or its runs
    are in another folder.
    """
    from optuna.study import load_study

    search.folder.mkdir(parents=True, exist_ok=True)
    kept = storage.open_storage(search.storage)
    with lock(search.folder):
        if search.name not in [study.study_name for study in kept.get_all_studies()]:
            _create(search, kept)
        study = load_study(study_name=search.name, storage=kept)
        _refuse_other(search, study)
    return study


def _create(search: Search, kept: BaseStorage) -> None:
    from optuna.study import create_study

    study = create_study(
        storage=kept, study_name=search.name, directions=list(search.settings.directions)
    )
    _describe(search, study)


def _describe(search: Search, study: Study) -> None:
    """The note comes last: a study without it was torn while it was made, and has no trial."""
    token = search.folder / _TOKEN
    if not token.exists():
        write_text(token, f"{uuid.uuid4().hex}\n")
    with samplers.quiet():  # for optuna-dashboard, which says "Objective 0" otherwise
        study.set_metric_names(list(search.settings.metrics))
    study.set_user_attr(FOLDER, token.read_text(encoding="utf-8").strip())
    study.set_user_attr(MARK, search.identity())


def _refuse_other(search: Search, study: Study) -> None:
    attrs = study.user_attrs
    if MARK not in attrs and not study.get_trials(deepcopy=False):
        _describe(search, study)
        return
    where = f"{storage.shown(search.storage)}, study {search.name}"
    own = "name=NAME for a search of its own"
    if MARK not in attrs:
        got = "a study that spark-lab did not make"
        raise UserError(Problem(where, got, "a search of spark-lab's", own))
    changed = _changes(attrs[MARK], json.loads(json.dumps(search.identity())))
    if changed:
        got = "another search:\n    " + "\n    ".join(changed)
        raise UserError(Problem(where, got, "the search that you asked for", own))
    token = search.folder / _TOKEN
    if not token.exists() or token.read_text(encoding="utf-8").strip() != attrs.get(FOLDER):
        got = f"its runs are not in {search.folder}"
        fix = f"root=PATH of the folder that holds them, or {own}"
        raise UserError(Problem(where, got, "a search and its runs", fix))


def _changes(stored: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    found = [
        f"{key}: {_words(stored.get(key))} in the storage, {_words(wanted[key])} now"
        for key in wanted
        if key != "config" and stored.get(key) != wanted[key]
    ]
    changed = runs.changes(stored.get("config", {}), wanted["config"])
    return found + [line.replace("in the folder", "in the storage") for line in changed]


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {one}" for key, one in value.items())
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
