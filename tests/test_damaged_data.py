"""Thirty-odd data files that can't be used: each is refused with its place before anything starts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from known_data import GSM8K, MATH_500, SPARK_IMAGE, jsonl, parquet_file
from pyarrow import parquet

from spark_lab.build import build_trainer
from spark_lab.config import compose
from spark_lab.errors import Problem, UserError

GOOD = b'{"question": "1+1", "answer": 2}\n'
CHOICES = ["task.verifier=choice", "task.data.choices_field=options"]


def options(answer: object, *texts: object, found: object = None) -> bytes:
    listed = list(texts) if found is None else found
    return json.dumps({"question": "?", "answer": answer, "options": listed}).encode()


# Name: ending, content, further words, what is said.
FILES: dict[str, tuple[str, bytes, list[str], str]] = {
    "empty": ("jsonl", b"", [], "no rows"),
    "blank lines": ("jsonl", b"\n \n\n", [], "no rows"),
    "no JSON": ("jsonl", GOOD + b"question: 1+1\n", [], "line 2"),
    "half a line": ("jsonl", GOOD + GOOD[:20], [], "line 2"),
    "a list": ("jsonl", b"[1, 2]\n", [], "one JSON object"),
    "two objects on a line": ("jsonl", GOOD.strip() + GOOD, [], "Extra data"),
    "a trailing comma": ("jsonl", b'{"question": "1+1", "answer": 2,}\n', [], "line 1"),
    "single quotes": ("jsonl", b"{'question': '1+1', 'answer': 2}\n", [], "line 1"),
    "NaN": ("jsonl", b'{"question": "1+1", "answer": NaN}\n', [], "NaN is not JSON"),
    "nested too deep": ("jsonl", b"[" * 100_000 + b"]" * 100_000, [], "line 1"),
    "Latin-1": ("jsonl", '{"question": "é", "answer": 1}\n'.encode("latin-1"), [], "UTF-8"),
    "UTF-16": ("jsonl", '{"question": "1", "answer": 1}\n'.encode("utf-16"), [], "UTF-8"),
    "half a surrogate pair": ("jsonl", b'{"question": "\\ud800", "answer": 1}\n', [], "'question'"),
    "binary": ("jsonl", bytes(range(256)), [], "line 1"),
    "another field": ("jsonl", b'{"problem": "1", "answer": 1}\n', [], "its fields: 'problem', 'answer'"),
    "no answer": ("jsonl", GOOD + b'{"question": "1"}\n', [], "answer=nothing"),
    "null for an answer": ("jsonl", b'{"question": "1", "answer": null}\n', [], "answer=None"),
    "an empty question": ("jsonl", b'{"question": " ", "answer": 1}\n', [], "text or a number"),
    "an answer of true": ("jsonl", b'{"question": "1", "answer": true}\n', [], "answer=True"),
    "an answer too large": ("jsonl", b'{"question": "1", "answer": 1e999}\n', [], "answer=inf"),
    "no number": ("jsonl", b'{"question": "1", "answer": "one"}\n', ["task.verifier=numeric"], "not a number"),
    "no pattern": ("jsonl", b'{"question": "1", "answer": "a("}\n', ["task.verifier=regex"], "unterminated"),
    "no visible answer": ("jsonl", b'{"question": "1", "answer": "$$"}\n', [], "not an answer"),
    "a letter that is no option": ("jsonl", options("C", 1, 2), CHOICES, "one of the 2 options (A, B)"),
    "an answer that is no option": ("jsonl", options("3", 1, 2), CHOICES, "one of the 2 options"),
    "two options alike": ("jsonl", options("x y", "x y", "x  y"), CHOICES, "one of the 2 options"),
    "one option": ("jsonl", options("A", 1), CHOICES, "2 to 26 options"),
    "an option that is null": ("jsonl", options("A", 1, None), CHOICES, "2 to 26 options"),
    "options that are text": ("jsonl", options("A", found="1, 2"), CHOICES, "2 to 26 options"),
    "letters out of order": ("jsonl", options("A", found={"B": 1, "A": 2}), CHOICES, "2 to 26 options"),
    "an index beyond the options": (
        "jsonl", options(2, "u", "v"), [*CHOICES, "task.data.answer_form=index"], "one of the 2 options"),
    "no box": ("jsonl", GOOD, ["task.data.answer_form=boxed"], "an answer in the form 'boxed'"),
    "no hashes": ("jsonl", GOOD, ["task.data.answer_form=hashes"], "an answer in the form 'hashes'"),
    "no messages": ("jsonl", GOOD, ["task.data.question_form=chat"], "messages with role and content"),
    "an image": (
        "jsonl", json.dumps(SPARK_IMAGE).encode(),
        ["task.data.question_field=message", "task.data.question_form=chat"], "task.data.images_field=message"),
    "a path of an image": (
        "jsonl", b'{"question": "1", "answer": 1, "image_path": "a.png"}', [], "task.data.images_field=image_path"),
    "lines named as a list": ("json", GOOD + GOOD, [], "name it .jsonl"),
    "a list of numbers": ("json", b"[1, 2]", [], "row 1"),
    "half a list": ("json", b'[{"question": "1", "answer": 1}', [], "no JSON"),
    "no header": ("csv", b"1+1,2\n2+2,4\n", [], "its fields: '1+1', '2'"),
    "a nameless column": ("csv", b"question,,answer\n1,2,3\n", [], "a name of its own"),
    "a column twice": ("csv", b"question,answer,answer\n1,2,3\n", [], "a name of its own"),
    "a comma too many": ("csv", b"question,answer\n1,2\n3,4,5\n", [], "line 3"),
    "a field too few": ("csv", b"question,answer\n1\n", [], "1 fields"),
    "a quote that never ends": ("csv", b'question,answer\n"1,2\n3,4\n', [], "quoted fields that end"),
    "Latin-1 in a table": ("csv", "question,answer\né,1\n".encode("latin-1"), [], "0xe9"),
    "commas between tabs": ("tsv", b"question,answer\n1,2\n", [], "its fields: 'question,answer'"),
    "no Parquet": ("parquet", b"PAR1 no", [], "no Parquet file"),
    "another ending": ("txt", GOOD, [], ".jsonl, .json"),
}  # fmt: skip


def refused(*words: str) -> tuple[Problem, ...]:
    with pytest.raises(UserError) as caught:
        compose(["task=data", *words])
    return caught.value.problems


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cant_be_used(name: str, tmp_path: Path) -> None:
    ending, content, words, said = FILES[name]
    train = tmp_path / f"train.{ending}"
    train.write_bytes(content)
    problems = refused(f"task.data.train_path={train}", "task.data.eval_size=1", *words)
    text = "\n".join(map(str, problems))
    assert said in text and str(tmp_path) in text
    assert all(problem.fix and problem.expected for problem in problems)


def cut(folder: Path) -> Path:
    file = Path(parquet_file(folder / "train.parquet", GSM8K))
    file.write_bytes(file.read_bytes()[:-30])
    return file


def other_columns(folder: Path) -> Path:
    return Path(parquet_file(folder / "train.parquet", MATH_500))


def nested(folder: Path) -> Path:
    file = folder / "train.parquet"
    parquet.write_table(pa.table({"question": [["1"]], "answer": [[{"a": 1}]]}), file)
    return file


def no_split(folder: Path) -> Path:
    jsonl(folder / "validation.jsonl", {"question": "1", "answer": 1})
    return folder


def empty_folder(folder: Path) -> Path:
    return folder


def half_of_two(folder: Path) -> Path:
    parquet_file(folder / "train-00000-of-00002.parquet", GSM8K)
    (folder / "train-00001-of-00002.parquet").write_bytes(b"PAR1")
    return folder


def absent(folder: Path) -> Path:
    return folder / "nowhere" / "train.jsonl"


PLACES: dict[Callable[[Path], Path], str] = {
    cut: "no Parquet file",
    other_columns: "text or a number in the field 'question'",
    nested: "row 1",
    no_split: "with validation.jsonl",
    empty_folder: "no data files",
    half_of_two: "train-00001-of-00002.parquet",
    absent: "which is not there",
}


@pytest.mark.parametrize("make", PLACES, ids=lambda make: make.__name__)
@pytest.mark.parametrize("on_bad_row", ["error", "skip"])
def test_a_place_that_cant_be_read(
    make: Callable[[Path], Path], on_bad_row: str, tmp_path: Path
) -> None:
    words = [f"task.data.train_path={make(tmp_path)}", "task.data.eval_size=1"]
    problems = refused(*words, f"task.data.on_bad_row={on_bad_row}")
    assert PLACES[make] in "\n".join(map(str, problems))


def test_a_data_set_of_the_hub_that_cant_be_had() -> None:
    (problem,) = refused("task.data.train_path=no-such-owner/no-such-data", "task.data.eval_size=1")
    assert problem.where == "task.data.train_path" and "no-such-owner" in problem.got


def test_settings_that_contradict_one_another(tmp_path: Path) -> None:
    train = f"task.data.train_path={jsonl(tmp_path / 't.jsonl', {'question': '1', 'answer': 1})}"
    assert "task.data.eval_size=256" in refused(train)[0].fix
    assert "no training questions left" in refused(train, "task.data.eval_size=1")[0].got
    assert "task.verifier=choice" in refused(train, "task.data.choices_field=x")[0].fix
    assert "options to count" in refused(train, "task.data.answer_form=index")[0].expected
    assert "at least 1" in refused(train, "task.data.train_size=0")[0].expected


@pytest.mark.parametrize("reward", ["verifier", "self_judge"])
def test_fewer_rows_than_a_window_has_questions(tmp_path: Path, reward: str) -> None:
    rows = [{"question": f"{n}+1", "answer": n + 1} for n in range(10)]
    train = f"task.data.train_path={jsonl(tmp_path / 'train.jsonl', *rows)}"
    (problem,) = refused(train, "task.data.eval_size=2", f"reward={reward}")
    assert problem.where == "task.data.train_path" and "8 training questions" in problem.got
    assert "trainer.prompts_per_window=8" in problem.fix
    few = ["task.data.eval_size=2", "trainer.prompts_per_window=4"]
    assert compose(["task=data", train, *few])
    (problem,) = refused(train, *few, "reward=partial", "reward.labelled=0.25")
    assert problem.where == "reward.labelled" and "2 labelled questions" in problem.got


def test_every_bad_row_is_named_with_its_number_and_field(tmp_path: Path) -> None:
    train = tmp_path / "train.jsonl"
    bad = [b'{"question": "no answer"}', b"", b"not json", b'{"question": "", "answer": "1"}']
    train.write_bytes(GOOD + b"\n".join(bad))
    problems = refused(f"task.data.train_path={train}", "task.data.eval_size=1")
    assert [problem.where.rpartition(" ")[2] for problem in problems] == ["2", "4", "5"]
    assert "answer" in problems[0].expected and "question" in problems[2].expected


def test_hundreds_of_bad_rows_are_cut_short(tmp_path: Path) -> None:
    train = jsonl(tmp_path / "train.jsonl", *[{"q": 1}] * 500)
    problems = refused(f"task.data.train_path={train}", "task.data.eval_size=1")
    assert len(problems) == 20 and problems[-1].got == "481 more bad rows"


def test_questions_beyond_the_models_context(tmp_path: Path) -> None:
    texts = [f"{n}+1" for n in range(9)] + ["+".join("1" * 300)]
    rows = [{"question": text, "answer": 1} for text in texts]
    train = f"task.data.train_path={jsonl(tmp_path / 'train.jsonl', *rows)}"
    words = ["task=data", train, "task.data.eval_size=1", "trainer.prompts_per_window=4"]
    with pytest.raises(UserError) as caught:
        build_trainer(compose(words), tmp_path)
    [problem] = caught.value.problems
    assert problem.where == "task" and "1 of 9 training questions of up to 6" in problem.got
