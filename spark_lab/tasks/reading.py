"""Rows of a data set, wherever it lies: a file, a folder of files, or a data set of the hub.

A row that can't be read is handed over as a Problem with its place, so that all of them can be told
at once, or counted and left out.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spark_lab.errors import Problem, UserError

UTF8_MARK = b"\xef\xbb\xbf"
ENDINGS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
_HUB = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?P<inside>(?:/[\w.-]+)*)")

Place = str
Row = dict[str, Any]
Rows = Iterator[tuple[Place, Row | Problem]]


@dataclass(frozen=True)
class Source:
    """One split of a data set. `key` is the configuration key of its path, such as
    task.data.train_path; `fields` are the columns that are read of Parquet files."""

    key: str
    path: str
    split: str
    subset: str | None
    revision: str | None
    fields: frozenset[str]

    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Changes with any of the files; empty for a data set of the hub."""
        found = [(file, file.stat()) for file in self.files()]
        return tuple((str(file), stat.st_mtime_ns, stat.st_size) for file, stat in found)

    def files(self) -> list[Path]:
        """Those on this machine, in order. UserError where there should be some and are none."""
        path = Path(self.path).expanduser()
        if path.is_file():
            if path.suffix.lower() in ENDINGS:
                return [path]
            got, fix = f"{path}, whose ending says nothing", "rename it"
            raise UserError(Problem(self.key, got, f"one of {', '.join(ENDINGS)}", fix))
        if path.is_dir():
            return self._of_folder(path)
        # "data/train.jsonl" is a file that isn't there; a hub's file has two names before its own.
        looks_like_file = self.path.endswith(ENDINGS) and self.path.count("/") < 2
        if looks_like_file or not _HUB.fullmatch(self.path):
            raise UserError(self._absent())
        return []

    def rows(self) -> Rows:
        """Every row with its place. UserError where a whole file can't be read."""
        files = self.files()
        if not files:
            yield from self._of_hub()
        for file in files:
            yield from _READERS[file.suffix.lower()](file, self.fields)

    def _of_folder(self, folder: Path) -> list[Path]:
        found = sorted(file for file in folder.rglob("*") if file.suffix.lower() in ENDINGS)
        if self.subset is not None:
            found = [file for file in found if self.subset in file.relative_to(folder).parts[:-1]]
        named = re.compile(rf"{re.escape(self.split)}(?:[-_.].*)?")
        chosen = [
            file for file in found if any(map(named.fullmatch, file.relative_to(folder).parts))
        ]
        if chosen:
            return chosen
        shown = ", ".join(str(file.relative_to(folder)) for file in found[:4]) or "no data files"
        wanted = self.split if self.subset is None else f"{self.subset} and {self.split}"
        split = self.key.replace("_path", "_split")
        fix = f"{split}=NAME, or {self.key}=FILE"
        raise UserError(Problem(self.key, f"{folder} with {shown}", f"files named {wanted}", fix))

    def _of_hub(self) -> Rows:
        match = _HUB.fullmatch(self.path)
        assert match is not None
        # It takes seconds to import, which data in files doesn't pay for.
        from datasets import load_dataset
        from datasets.exceptions import DatasetsError

        inside = match["inside"].lstrip("/")
        single = inside.endswith(ENDINGS)
        pattern = inside if single else f"{inside}/{self.split}*"
        try:
            found = load_dataset(
                match["name"],
                self.subset,
                split="train" if single else self.split,
                data_files={("train" if single else self.split): pattern} if inside else None,
                revision=self.revision,
            )
        except (OSError, ValueError, DatasetsError) as error:
            got = f"{self.path} ({str(error).splitlines()[0][:200]})"
            expected = "a file, a folder, or a data set of the hub that can be loaded"
            raise UserError(Problem(self.key, got, expected, f"{self.key}=PATH")) from error
        kept = [name for name in found.column_names if name in self.fields]
        number = 0
        # As Arrow has them: images as the bytes or paths that they are, not decoded.
        for table in found.select_columns(kept).with_format("arrow").iter(1024):
            for row in table.to_pylist():
                number += 1
                yield f"{self.path} {self.split}, row {number}", row

    def _absent(self) -> Problem:
        expected = f"a file ({', '.join(ENDINGS)}), a folder of them, or OWNER/NAME of the hub"
        got = f"{self.path}, which is not there"
        return Problem(self.key, got, expected, f"{self.key}=PATH")


def _jsonl(file: Path, fields: frozenset[str]) -> Rows:
    for number, line in enumerate(_bytes(file).split(b"\n"), start=1):
        if line.strip():
            where = f"{file}, line {number}"
            yield where, _object(line, where)


def _json(file: Path, fields: frozenset[str]) -> Rows:
    """One object, or a list of them."""
    text = _bytes(file)
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        fix = "correct it, or name it .jsonl if it has one object a line"
        raise UserError(
            Problem(str(file), f"no JSON ({error})", "a list of objects", fix)
        ) from None
    rows = found if isinstance(found, list) else [found]
    for number, row in enumerate(rows, start=1):
        where = f"{file}, row {number}"
        yield where, row if isinstance(row, dict) else _no_object(where, repr(row))


def _object(line: bytes, where: str) -> Row | Problem:
    try:
        row = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        return _no_object(where, f"{line[:60]!r} ({error})")
    return row if isinstance(row, dict) else _no_object(where, f"{line[:60]!r}")


def _no_object(where: str, got: str) -> Problem:
    return Problem(where, got[:120], "one JSON object in UTF-8", "correct the line")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _csv(file: Path, fields: frozenset[str]) -> Rows:
    try:
        text = _bytes(file).decode("utf-8")
    except UnicodeDecodeError as error:
        got = f"byte {error.object[error.start]:#04x} at offset {error.start}"
        raise UserError(Problem(str(file), got, "text in UTF-8", "save it as UTF-8")) from None
    separator = "\t" if file.suffix.lower() == ".tsv" else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    names = reader.fieldnames or []
    if len(set(names)) < len(names) or not all(name and name.strip() for name in names):
        got = f"the header {','.join(names)[:80]!r}"
        expected = "a first line that gives every column a name of its own"
        raise UserError(Problem(str(file), got, expected, "correct the first line"))
    while True:
        where = f"{file}, line {reader.line_num + 1}"
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise UserError(
                Problem(where, str(error), "quoted fields that end", "correct the line")
            ) from None
        if row is None:
            return
        if None in row or None in row.values():
            width = len([value for value in row.values() if value is not None])
            got = f"{width + len(row.get(None, [])) - (None in row)} fields"
            expected = f"{len(names)}, as in the header"
            yield where, Problem(where, got, expected, "quote fields that hold a separator")
        else:
            yield where, row


def _parquet(file: Path, fields: frozenset[str]) -> Rows:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(file)
        kept = [name for name in table.schema_arrow.names if name in fields]
        number = 0
        for batch in table.iter_batches(1024, columns=kept):
            for row in batch.to_pylist():
                number += 1
                yield f"{file}, row {number}", row
    except (pyarrow.ArrowException, OSError) as error:
        got = f"no Parquet file ({str(error).splitlines()[0][:120]})"
        fix = "write it anew, or give another file"
        raise UserError(Problem(str(file), got, "a whole Parquet file", fix)) from None


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes().removeprefix(UTF8_MARK)
    except OSError as error:
        got, fix = f"{error.strerror}", f"chmod u+r {file}"
        raise UserError(Problem(str(file), got, "a readable file", fix)) from None


_READERS = {".jsonl": _jsonl, ".json": _json, ".csv": _csv, ".tsv": _csv, ".parquet": _parquet}
