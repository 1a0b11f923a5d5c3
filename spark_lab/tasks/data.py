"""Questions of one's own, or of a known data set: files, folders or a data set of the hub."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import astuple, replace
from functools import lru_cache
from pathlib import Path

from spark_lab.errors import Problem, UserError
from spark_lab.records import Question
from spark_lab.schema import DataConfig
from spark_lab.tasks.reading import Source
from spark_lab.tasks.rows import Layout, question_of
from spark_lab.tasks.task import Task

SHOWN_PROBLEMS = 20
# What doesn't make a question another one.
_INSIGNIFICANT = re.compile(r"\s+|\$|\\(?:left|right|displaystyle|[,;:! ])")


def load(config: DataConfig, verifier: str) -> Task:
    """Training and held-out questions. UserError names the first bad rows by number and field."""
    loaded = _loaded(config, verifier)
    if isinstance(loaded, tuple):
        raise UserError(*loaded)
    return loaded


def check(config: DataConfig, verifier: str) -> list[Problem]:
    problems = []
    if config.choices_field is not None and verifier != "choice":
        got, fix = f"{verifier} for questions with options", "task.verifier=choice"
        problems.append(Problem("task.verifier", got, "choice", fix))
    if config.answer_form == "index" and config.choices_field is None:
        fix = "task.data.choices_field=FIELD, or task.data.answer_form=plain"
        got = "index without options"
        problems.append(Problem("task.data.answer_form", got, "options to count", fix))
    if config.eval_path is None and config.eval_size is None:
        got, fix = "no held-out questions", "task.data.eval_path=PATH, or task.data.eval_size=256"
        problems.append(Problem("task.data.eval_path", got, "a file, or a number to hold out", fix))
    if config.images_root is not None and not Path(config.images_root).expanduser().is_dir():
        where, fix = "task.data.images_root", "task.data.images_root=FOLDER"
        problems.append(Problem(where, config.images_root, "an existing folder", fix))
    if problems:
        return problems
    loaded = _loaded(config, verifier)
    return list(loaded) if isinstance(loaded, tuple) else []


def identity(question: Question) -> str:
    """What makes a question another one: its significant text, and its images."""
    images = [picture.fingerprint for picture in question.images]
    return "\0".join([significant(question.text), *images])


def significant(text: str) -> str:
    """A question without what doesn't make it another one: spaces, case, dollar signs, final stops."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return _INSIGNIFICANT.sub("", text).rstrip(".?!:")


def _loaded(config: DataConfig, verifier: str) -> Task | tuple[Problem, ...]:
    """Read once as long as neither the files nor the settings change."""
    sources = [_source(config, "train", verifier)]
    if config.eval_path is not None:
        sources.append(_source(config, "eval", verifier))
    stamps, problems = [], []
    for source in sources:
        try:
            stamps.append(source.stamp())
        except UserError as error:
            problems += error.problems
    if problems:
        return tuple(problems)
    return _read(astuple(config), verifier, tuple(sources), tuple(stamps))


def _layout(config: DataConfig, verifier: str, path: str) -> Layout:
    return Layout(
        config.question_field,
        config.question_form,
        config.answer_field,
        config.answer_form,
        config.choices_field,
        config.instruction,
        verifier,
        images_field=config.images_field,
        images_folder=_images_folder(config, path),
    )


def _images_folder(config: DataConfig, path: str) -> Path | None:
    """Where relative paths of images start: at the file with the rows, if it is on this machine."""
    if config.images_root is not None:
        return Path(config.images_root).expanduser()
    data = Path(path).expanduser()
    return data if data.is_dir() else data.parent if data.is_file() else None


def _source(config: DataConfig, name: str, verifier: str) -> Source:
    path = getattr(config, f"{name}_path")
    return Source(
        key=f"task.data.{name}_path",
        path=path,
        split=getattr(config, f"{name}_split"),
        subset=config.subset,
        revision=config.revision,
        fields=_layout(config, verifier, path).fields,
    )


@lru_cache(maxsize=4)
def _read(
    settings: tuple, verifier: str, sources: tuple[Source, ...], stamps: tuple
) -> Task | tuple[Problem, ...]:
    config = DataConfig(*settings)
    splits, counts, problems = [], {}, []
    for name, source in zip(("train", "eval"), sources, strict=False):
        try:
            questions, bad = read_split(source, _layout(config, verifier, source.path))
        except UserError as error:
            problems += error.problems
            continue
        if config.on_bad_row == "skip" and questions:
            counts[f"{name} rows skipped"], bad = len(bad), []
        problems += _cut(bad, source.path)
        splits.append(questions)
    if problems:
        return tuple(problems)
    return _split(config, verifier, splits, counts)


def read_split(source: Source, layout: Layout) -> tuple[list[Question], list[Problem]]:
    """The usable questions of a split, and what is wrong with its other rows. UserError where a
    file can't be read to its end, or where there are no rows."""
    questions: list[Question] = []
    problems: list[Problem] = []
    for where, row in source.rows():
        found = row
        if not isinstance(row, Problem):
            found = question_of(row, where, len(questions), layout)
        (problems if isinstance(found, Problem) else questions).append(found)
    if not questions and not problems:
        fix = f'rows like {{"{layout.question_field}": "1+1", "{layout.answer_field}": "2"}}'
        raise UserError(Problem(source.path, "no rows", "one question a row", fix))
    return questions, problems


def _split(
    config: DataConfig, verifier: str, splits: list[list[Question]], counts: dict[str, int]
) -> Task | tuple[Problem, ...]:
    train, held_out = splits if len(splits) == 2 else (splits[0], _held_out(*splits, config))
    held_out = held_out[: config.eval_size]
    train, overlap = _without(train, held_out)
    if overlap and config.eval_path is not None and config.on_overlap == "error":
        return (_overlapping(overlap, config.train_path),)
    if not train:
        fix = "give more rows, or a smaller task.data.eval_size"
        return (Problem("task.data", "no training questions left", "at least one", fix),)
    taken_out = len(overlap) - (len(held_out) if config.eval_path is None else 0)
    train = _numbered(train[: config.train_size])
    counts["repeated in training"] = len(train) - len(set(map(identity, train)))
    counts["taken out of training"] = taken_out
    sizes = {"train": len(train), "eval": len(held_out)}
    noted = {name: count for name, count in counts.items() if count}
    return Task(train, _numbered(held_out), verifier, sizes | noted)


def _cut(problems: list[Problem], path: str) -> list[Problem]:
    if len(problems) <= SHOWN_PROBLEMS:
        return problems
    more = f"{len(problems) - SHOWN_PROBLEMS + 1} more bad rows"
    fix = "correct them, or task.data.on_bad_row=skip to leave them out"
    return [*problems[: SHOWN_PROBLEMS - 1], Problem(path, more, "none", fix)]


def _held_out(questions: Sequence[Question], config: DataConfig) -> list[Question]:
    """`eval_size` questions, chosen by what they say: more rows, or another order of them, leave
    most of the chosen ones."""
    distinct = {identity(question): question for question in reversed(questions)}
    ranked = sorted(distinct, key=lambda text: hashlib.sha256(text.encode()).hexdigest())
    return [distinct[text] for text in ranked[: config.eval_size]]


def _without(
    train: Sequence[Question], held_out: Sequence[Question]
) -> tuple[list[Question], list[Question]]:
    asked = set(map(identity, held_out))
    kept: list[Question] = []
    dropped: list[Question] = []
    for question in train:
        (dropped if identity(question) in asked else kept).append(question)
    return kept, dropped


def _overlapping(overlap: Sequence[Question], path: str) -> Problem:
    return Problem(
        "task.data",
        f"{len(overlap)} questions in both files, such as {min(one.text for one in overlap)[:60]!r}",
        "held-out questions that are not trained on (spaces, case and $ don't count)",
        f"remove them from {path}, or task.data.on_overlap=skip",
    )


def _numbered(questions: Sequence[Question]) -> list[Question]:
    return [replace(question, index=index) for index, question in enumerate(questions)]
