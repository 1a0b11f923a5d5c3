"""Images of data sets: found in every form, looked at before a run, and part of what a question is."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from known_data import ASK, SPARK_IMAGE, VIRL39K, VIRL_IMAGE, jsonl, parquet_file
from pyarrow import parquet
from test_pictures import drawn, encoded

from spark_lab.config import compose, compose_node, typed
from spark_lab.errors import Problem, UserError
from spark_lab.records import Question
from spark_lab.tasks import Task, build_task, check_task, pictured
from spark_lab.tasks.pictures import ImageBytes, ImageFile
from spark_lab.tasks.row_images import without_placeholders

RED, BLUE = encoded(drawn("red")), encoded(drawn("blue"), "JPEG")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/1.png").write_bytes(RED)
    (tmp_path / "images/2.jpg").write_bytes(BLUE)
    return tmp_path


def config_of(train: str, *words: str, option: str = "data"):
    """The task's section; the tiny model, which sees no images, isn't asked."""
    settings = [f"task={option}", f"task.data.train_path={train}", "task.data.eval_size=1", *words]
    return typed(compose_node(settings)).task


def loaded(train: str, *words: str, option: str = "data") -> Task:
    return build_task(config_of(train, *words, option=option))


def asked(task: Task) -> dict[str, Question]:
    return {question.text: question for question in (*task.train, *task.eval)}


def refused(train: str, *words: str) -> tuple[Problem, ...]:
    problems = check_task(config_of(train, "task.data.images_field=image", *words))
    assert problems and all(problem.fix and problem.expected for problem in problems)
    return tuple(problems)


def row(question: str, image: Any) -> dict[str, Any]:
    return {"question": question, "answer": "1", "image": image}


def test_every_form_of_an_image(folder: Path) -> None:
    url = "data:image/png;base64," + base64.b64encode(RED).decode()
    forms = {
        "relative": "images/1.png",
        "absolute": str(folder / "images/1.png"),
        "url": f"file://{folder}/images/1.png",
        "encoded": url,
        "dict": {"path": "images/1.png"},
        "list": ["images/1.png", {"path": "images/2.jpg"}],
        "nothing": None,
        "empty": [],
    }
    rows = [row(name, form) for name, form in forms.items()]
    found = asked(loaded(jsonl(folder / "t.jsonl", *rows), "task.data.images_field=image"))
    counts = {name: len(question.images) for name, question in found.items()}
    assert counts == dict.fromkeys(forms, 1) | {"list": 2, "nothing": 0, "empty": 0}
    pictures = [image for question in found.values() for image in question.images]
    assert {picture.load().size for picture in pictures} == {(60, 40)}
    assert all(isinstance(one, ImageBytes if "encoded" in name else ImageFile)
               for name, question in found.items() for one in question.images)  # fmt: skip


def test_bytes_of_parquet_files_as_the_hub_writes_them(folder: Path) -> None:
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table(
        {
            "question": ["one", "none", "two"],
            "answer": ["1", "2", "3"],
            "image": pa.array(
                [
                    [{"bytes": RED, "path": "a.png"}],
                    [],
                    [{"bytes": RED, "path": None}, {"bytes": None, "path": "images/2.jpg"}],
                ],
                pa.list_(image),
            ),
        }
    )
    parquet.write_table(table, folder / "t.parquet")
    found = asked(loaded(str(folder / "t.parquet"), "task.data.images_field=image"))
    assert found["one"].images == (ImageBytes(RED),)
    assert found["two"].images == (ImageBytes(RED), ImageFile(str(folder / "images/2.jpg")))
    assert found["none"].images == ()


def test_lists_in_a_table_of_commas(folder: Path) -> None:
    file = folder / "t.csv"
    file.write_text('question,answer,image\na,1,images/1.png\nb,2,"[""images/1.png""]"\nc,3,\n')
    found = asked(loaded(str(file), "task.data.images_field=image"))
    assert [len(found[name].images) for name in "abc"] == [1, 1, 0]


def test_images_of_a_data_set_of_the_hub_are_not_decoded(folder: Path, monkeypatch) -> None:
    """`datasets` decodes them unless it is asked not to; here it reads the same file."""
    import datasets

    file = folder / "t.parquet"
    features = datasets.Features(
        question=datasets.Value("string"), answer=datasets.Value("string"), image=datasets.Image()
    )
    rows = [row(name, {"bytes": RED, "path": None}) for name in "ab"]
    datasets.Dataset.from_list(rows, features=features).to_parquet(file)
    real = datasets.load_dataset
    monkeypatch.setattr(
        datasets, "load_dataset", lambda *_, **__: real("parquet", data_files=str(file))["train"]
    )
    monkeypatch.setattr(datasets.Image, "decode_example", lambda *_: pytest.fail("decoded"))
    found = asked(loaded("OWNER/NAME", "task.data.images_field=image"))
    assert {question.images for question in found.values()} == {(ImageBytes(RED),)}


def test_the_authors_messages_with_their_images(folder: Path) -> None:
    other = json.dumps([{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": f"file://{folder}/images/2.jpg"}},
        {"type": "text", "text": f"What colour?\n{ASK}"}]}])  # fmt: skip
    file = folder / "infer_data.json"
    file.write_text(json.dumps([SPARK_IMAGE, {"message": other, "answer": "blue"}]))
    found = asked(loaded(str(file), option="spark_data"))
    assert found["How long is AB?"].images == (ImageFile(str(folder / "images/1.png")),)
    assert found["What colour?"].images == (ImageFile(str(folder / "images/2.jpg")),)


def test_virl39k_in_its_true_schema(folder: Path) -> None:
    file = parquet_file(folder / "39Krelease.parquet", [*VIRL39K, VIRL_IMAGE])
    task = loaded(file, option="virl39k")
    question = asked(task)["Which is longer, AB or BC?"]
    assert question.images == (ImageFile(str(folder / "images/1.png")),)
    assert question.answer == "AB" and len(asked(task)) == 6
    elsewhere = parquet_file(folder / "data/39Krelease.parquet", [*VIRL39K, VIRL_IMAGE])
    assert "No such file" in str(check_task(config_of(elsewhere, option="virl39k"))[0])
    assert loaded(elsewhere, f"task.data.images_root={folder}", option="virl39k").train


@pytest.mark.parametrize(
    ("text", "images", "left"),
    [
        ("<image>\nWhat is it?", 1, "What is it?"),
        ("What is <image> it?", 1, "What is  it?"),
        ("<image><image> Which?", 2, "Which?"),
        ("Is <image> like <image>?", 2, "Is [image 1] like [image 2]?"),
        ("<image 1>\nIs it in <image_2>?", 2, "Is it in [image 2]?"),
        ("No place.", 3, "No place."),
    ],
)
def test_placeholders_say_which_image_is_meant(text: str, images: int, left: str) -> None:
    assert without_placeholders(text, images) == left


BAD: dict[str, tuple[Any, str]] = {
    "missing": ("images/3.png", "images/3.png: No such file"),
    "no image": ("t.jsonl", "no image of a known kind"),
    "cut off": ("images/half.png", "a PNG that is cut off"),
    "a folder": ("images", "Is a directory"),
    "the web": ("https://example.org/a.png", "download it"),
    "no base64": ("data:image/png;base64,!!!", "an image in base64"),
    "broken base64": ("data:image/png;base64,AAAA", "no image of a known kind"),
    "a number": (7, "a path, bytes, or a list of them"),
    "an empty dict": ({"bytes": None, "path": None}, "a path, bytes, or a list of them"),
    "one of a list": (["images/1.png", "images/3.png"], "image[1]"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_image_that_cant_be_used_is_a_problem_of_its_row(folder: Path, name: str) -> None:
    (folder / "images/half.png").write_bytes(RED[: len(RED) // 2])
    image, said = BAD[name]
    file = jsonl(folder / "t.jsonl", row("a", "images/1.png"), row("b", image))
    [problem] = refused(file)
    assert "line 2" in problem.where and said in f"{problem}"
    task = loaded(file, "task.data.images_field=image", "task.data.on_bad_row=skip",
                  "task.data.eval_size=null", f"task.data.eval_path={jsonl(folder / 'e.jsonl', row('c', None))}")  # fmt: skip
    assert task.counts["train rows skipped"] == 1


def test_other_things_that_are_wrong_with_images(folder: Path) -> None:
    file = jsonl(
        folder / "t.jsonl",
        {"question": "<image> or <image>?", "answer": 1, "image": "images/1.png"},
    )
    assert "2 places for images" in str(refused(file)[0])
    file = jsonl(folder / "u.jsonl", {"question": "a", "answer": 1})
    assert "its fields: 'question', 'answer'" in str(refused(file)[0])
    [problem] = refused(file, "task.data.images_root=nowhere")
    assert problem.where == "task.data.images_root"
    chat = ["task.data.question_form=chat", "task.data.question_field=message"]
    file = jsonl(folder / "v.jsonl", SPARK_IMAGE | {"image": "images/1.png"})
    assert "images in one place" in str(refused(file, *chat)[0])


def test_the_same_words_about_another_image_are_another_question(folder: Path) -> None:
    (folder / "images/copy.png").write_bytes(RED)
    names = ["1.png", "2.jpg", "copy.png"]
    rows = [row("What is it?", f"images/{name}") for name in names]
    held_out = jsonl(folder / "e.jsonl", row("What  is it?", "images/2.jpg"))
    words = [
        "task.data.images_field=image",
        "task.data.eval_size=null",
        f"task.data.eval_path={held_out}",
    ]
    file = jsonl(folder / "t.jsonl", *rows)
    assert "1 questions in both files" in str(check_task(config_of(file, *words))[0])
    task = loaded(file, *words, "task.data.on_overlap=skip")
    assert task.counts["taken out of training"] == 1
    assert task.counts["repeated in training"] == 1, "a copy of an image is the same image"


def test_a_model_of_text_alone_is_refused_before_it_is_loaded(folder: Path) -> None:
    words = ["task=data", "task.data.eval_size=1", "task.data.images_field=image"]
    words += ["trainer.prompts_per_window=1"]
    rows = [row(name, "images/1.png") for name in "ab"]
    file = jsonl(folder / "t.jsonl", *rows, row("c", None))
    assert pictured(config_of(file, "task.data.images_field=image")) == 2
    with pytest.raises(UserError) as caught:
        compose([*words, f"task.data.train_path={file}"])
    [problem] = caught.value.problems
    assert problem.where == "model.path" and "for 2 questions with images" in problem.got
    skipping = ["task.data.images_field=null", "task.data.on_bad_row=skip"]
    file = jsonl(folder / "u.jsonl", *rows, *[row(name, None) for name in "cd"])
    assert compose([*words, f"task.data.train_path={file}", *skipping])
