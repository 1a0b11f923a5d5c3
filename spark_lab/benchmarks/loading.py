"""From the rows of a benchmark, on the hub or in a copy on this machine, to its questions."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from spark_lab import answers
from spark_lab.benchmarks.benchmark import Benchmark, Entry, Unusable
from spark_lab.errors import Problem, UserError
from spark_lab.records import Question
from spark_lab.tasks.fields import get
from spark_lab.tasks.reading import ENDINGS, Row, Source
from spark_lab.tasks.rows import Layout, question_of

SHOWN_PROBLEMS = 20
Item = TypeVar("Item")
_HELD = ("question", "answer", "choices", "image")
# Images come before the text, which calls them by these numbers; some rows show several as one.
_PLACE = re.compile(r"<image ?(\d+)>")


def load(benchmark: Benchmark, data: Path | None, limit: int | None = None) -> list[Entry]:
    """All questions, or those of the first `limit` rows. UserError names the rows that can't be used."""
    folder = images_folder(benchmark, data)

    def make(row: Row, where: str, index: int) -> list[Entry] | Problem:
        return entries_of(row, where, index, benchmark, folder)

    return read(benchmark, data, limit, make)


def read(
    benchmark: Benchmark,
    data: Path | None,
    limit: int | None,
    make: Callable[[Row, str, int], list[Item] | Problem],
) -> list[Item]:
    """What `make` makes of each row: its values by our names for them, its place, how many there are."""
    items: list[Item] = []
    problems: list[Problem] = []
    for where, row in rows(benchmark, data, limit):
        found: Any = row if isinstance(row, Problem) else picked(row, where, benchmark)
        if not isinstance(found, Problem):
            found = make(found, where, len(items))
        if isinstance(found, Problem):
            problems.append(replace(found, fix=as_they_are(benchmark)))
        else:
            items += found
    if not items and not problems:
        problems = [Problem(place(benchmark), "no rows", "some to ask", as_they_are(benchmark))]
    if problems:
        raise UserError(*_cut(problems, benchmark))
    return items


def as_they_are(benchmark: Benchmark) -> str:
    """What helps: a benchmark's fields are not for anyone to configure."""
    return f"take the rows of {benchmark.hub} as they are"


def place(benchmark: Benchmark) -> str:
    return f"suite={benchmark.name}"


def _cut(problems: Sequence[Problem], benchmark: Benchmark) -> list[Problem]:
    if len(problems) <= SHOWN_PROBLEMS:
        return list(problems)
    got = f"{len(problems) - SHOWN_PROBLEMS + 1} more rows that can't be used"
    expected = "none: a part of a benchmark is another benchmark"
    more = Problem(place(benchmark), got, expected, as_they_are(benchmark))
    return [*problems[: SHOWN_PROBLEMS - 1], more]


def rows(
    benchmark: Benchmark, data: Path | None, limit: int | None = None
) -> Iterator[tuple[str, Row | Problem]]:
    """Of every split, as far as `limit` goes. UserError where there should be a copy and is none."""
    left = float("inf") if limit is None else limit
    for source in sources(benchmark, data):
        for where, row in source.rows():
            if left <= 0:
                return
            left -= 1
            yield where, row


def sources(benchmark: Benchmark, data: Path | None) -> list[Source]:
    """One for each split: the hub's, or those of the copy data/<name>.<ending> or data/<name>/."""
    copy = None if data is None else _copy(benchmark, data)
    single = copy is not None and copy.is_file()
    return [
        Source(
            key=place(benchmark),
            path=benchmark.hub if copy is None else str(_file(copy, split)),
            split=split,
            subset=benchmark.subset if copy is None or _divided(copy, benchmark) else None,
            revision=None,
            fields=frozenset(_columns(benchmark)),
        )
        for split in (benchmark.splits[:1] if single else benchmark.splits)
    ]


def _columns(benchmark: Benchmark) -> set[str]:
    named = {name for names in benchmark.columns.values() for name in names.split("|")}
    return named | {name.split(".")[0] for name in named}


def _copy(benchmark: Benchmark, data: Path) -> Path:
    name = benchmark.name
    for path in (data / name, *(data / f"{name}{ending}" for ending in ENDINGS)):
        if path.is_file():
            return path
        if path.is_dir():
            inside = [file for file in path.rglob("*") if file.suffix.lower() in ENDINGS]
            return inside[0] if len(inside) == 1 else path
    expected = f"{name}.jsonl (or {', '.join(ENDINGS[1:])}), or a folder {name}/"
    got = f"{data} without {name}" if data.is_dir() else f"{data}, which is no folder"
    fix = f"copy {benchmark.hub} there, or leave data= out to ask the hub"
    raise UserError(Problem(f"data={data}", got, expected, fix))


def _file(copy: Path, split: str) -> Path:
    """The file of exactly the split's name; "testmini_text_only" is another split than "testmini"."""
    exact = [file for file in copy.rglob(f"{split}.*") if file.suffix.lower() in ENDINGS]
    return exact[0] if len(exact) == 1 else copy


def _divided(copy: Path, benchmark: Benchmark) -> bool:
    return (
        any(path.is_dir() for path in copy.rglob(benchmark.subset)) if benchmark.subset else False
    )


def images_folder(benchmark: Benchmark, data: Path | None) -> Path | None:
    """Where relative paths of images start: at the file or in the folder of a copy."""
    if data is None:
        return None
    copy = _copy(benchmark, data)
    return copy if copy.is_dir() else copy.parent


def entries_of(
    row: Row, where: str, index: int, benchmark: Benchmark, folder: Path | None
) -> list[Entry] | Problem:
    """The questions of a row, numbered from `index`; none where it doesn't belong to the benchmark."""
    try:
        items = [row] if benchmark.adapt is None else benchmark.adapt(row)
    except Unusable as unusable:
        return Problem(where, *unusable.args, "")
    entries: list[Entry] = []
    for item in items:
        entry = _entry(item, where, index + len(entries), benchmark, folder)
        if isinstance(entry, Problem):
            return entry
        entries.append(entry)
    return entries


def picked(row: Row, where: str, benchmark: Benchmark) -> Row | Problem:
    """The row's values by our names for them."""
    found = {}
    for own, names in benchmark.columns.items():
        there = [name for name in names.split("|") if _has(row, name)]
        if not there:
            got = f"no {names.replace('|', ' or ')}; its fields: {', '.join(map(str, row))}"[:160]
            return Problem(where, got, f"the fields of {benchmark.hub}", "")
        found[own] = get(row, there[0])
    return found


def _has(row: Row, name: str) -> bool:
    try:
        get(row, name)
    except KeyError:
        return False
    return True


def _entry(
    item: Row, where: str, index: int, benchmark: Benchmark, folder: Path | None
) -> Entry | Problem:
    verifier = item.get("verifier", benchmark.verifier)
    names = {own: benchmark.columns.get(own, own).split("|")[0] for own in item}
    options = item.get("choices")
    layout = Layout(
        question_field=names["question"],
        question_form="text",
        answer_field=names["answer"],
        answer_form=item.get("form", benchmark.answer_form),
        choices_field=None if options is None else names["choices"],
        instruction=None,
        verifier=verifier,
        images_field=names["image"] if benchmark.visual else None,
        images_folder=folder,
    )
    held = {names[own]: item[own] for own in _HELD if own in item}
    if benchmark.visual and isinstance(item["question"], str):
        held[names["question"]] = _PLACE.sub(r"[image \1]", item["question"])
    question = question_of(held, where, index, layout)
    if isinstance(question, Problem):
        return question
    if benchmark.visual and not question.images:
        return Problem(where, f"{names['image']}=None", "an image", "")
    of_it = {name: str(item.get(name, "")) for name in ("category", "unit", "part")}
    return Entry(question, verifier, where, **of_it)


def questions(entries: Sequence[Entry]) -> list[Question]:
    return [entry.question for entry in entries]


def count(entries: Sequence[Entry]) -> int:
    """Of the rows that they are from."""
    return len({entry.place for entry in entries})


def fingerprint(entries: Sequence[Entry]) -> str:
    """12 hex digits that change with any question, image, answer, verifier, or their order."""
    told = [
        [
            entry.question.text,
            entry.question.answer,
            answers.fingerprint(entry.verifier),
            *(image.fingerprint for image in entry.question.images),
        ]
        for entry in entries
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]
