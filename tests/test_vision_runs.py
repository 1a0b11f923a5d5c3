"""A whole run on questions with images: its folder, what is looked at, and its checkpoints asked again."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
from known_benchmarks import KNOWN, VL_REWARD_BENCH, copy
from PIL import Image
from rich.console import Console
from tiny_vlms import picture, questions, saved, words_for

from spark_lab import runner
from spark_lab.analysis.report import samples
from spark_lab.assessing import command, solving
from spark_lab.build import build_evaluator, load_generator
from spark_lab.config import compose
from spark_lab.errors import UserError
from spark_lab.records import Prompt
from spark_lab.runs import find_runs
from spark_lab.runs.provenance import read_env
from spark_lab.tasks import build_task
from spark_lab.tasks.pictures import ImageBytes
from spark_lab.tracking import thumbnails
from spark_lab.tracking.rollout_view import Filter, show


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder of a finished run, and the words that made it."""
    root = tmp_path_factory.mktemp("run")
    model = saved("qwen2_5_vl", root / "model")
    words = words_for(model, questions(root, 8, text_every=4))
    words += [f"root={root}/runs", "budget.limit=2", "trainer.save_every=1", "eval.every=1"]
    words += ["tracking.console=off", "tracking.mlflow=false", "tracking.rollouts_every=1"]
    words = [word for word in words if word != "tracking=off"]
    runner.run(compose(words), words)
    [folder] = find_runs(root / "runs")
    return folder, words


def rows_of(folder: Path, name: str) -> list[dict]:
    with gzip.open(folder / "rollouts" / f"{name}.jsonl.gz") as file:
        return [json.loads(line) for line in file]


def test_rows_name_thumbnails_and_hold_no_image(made) -> None:
    folder, words = made
    task = build_task(compose(words).task)
    kept = {path.name for path in (folder / "rollouts/images").iterdir()}
    for name, asked in (("train-000001", task.train), ("eval-000002", task.eval)):
        for row in rows_of(folder, name):
            named = [f"images/{one.fingerprint}.png" for one in asked[row["question"]].images]
            assert row.get("images", []) == named
            assert all(Path(one).name in kept for one in named)
    entries = [json.loads(line) for line in (folder / "judge_set.jsonl").read_text().splitlines()]
    prints = [[one.fingerprint for one in question.images] for question in task.eval]
    assert [entry.get("images", []) for entry in entries[1:]] == prints
    env = read_env(folder)
    assert env["scoring"].startswith("shared prompts") and env["generation"] == "shared prompts"


def test_rollouts_are_read_with_their_images(made, capsys: pytest.CaptureFixture) -> None:
    folder, _ = made
    show(folder, Filter(objective="solve"), 3, Console(width=100))
    assert f"image: {folder}/rollouts/images/" in capsys.readouterr().out
    rows = [row for row in rows_of(folder, "eval-000002") if "images" in row]
    [first, *_] = [samples._sample(row, folder / "rollouts") for row in rows]
    [uri] = first.images
    assert uri.startswith("data:image/png;base64,")
    for name in ("images/../../env.json", "images/gone.png", 7, "images/x.svg"):
        assert samples._sample(rows[0] | {"images": [name]}, folder / "rollouts").images == ()


def test_a_large_image_is_kept_small(tmp_path: Path) -> None:
    big = picture(1, (900, 600))
    assert thumbnails.keep(tmp_path, [big, big]) == [f"images/{big.fingerprint}.jpg"] * 2
    with Image.open(tmp_path / f"images/{big.fingerprint}.jpg") as image:
        assert image.size == (320, 213)
    broken = ImageBytes(b"none")
    assert (tmp_path / thumbnails.keep(tmp_path, [picture(2)])[0]).is_file()
    with pytest.raises(UserError):
        thumbnails.keep(tmp_path, [broken])


def test_a_checkpoint_is_asked_about_its_images(made, capsys: pytest.CaptureFixture) -> None:
    folder, _ = made
    word = f"run={folder}"
    command.main([word, "eval.test_time_samples=4", "eval.samples=4"])
    out = capsys.readouterr().out
    assert "policy" in out or "accuracy" in out
    [evaluated] = (folder / "evals").iterdir()
    rows = rows_of(evaluated, "eval-000002")
    assert {row["set"] for row in rows} >= {"heldout", "test_time"}
    assert any(
        "images" in row for row in rows if row["set"] == "test_time" or row["set"] == "fixed"
    )


def test_a_question_about_a_file(made, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder, _ = made
    for seed in (3, 4):
        (tmp_path / f"{seed}.png").write_bytes(picture(seed).data)
    said = []
    for seed in (3, 4, 3):
        greedy = [f"run={folder}", "eval.answer_temperature=0", "eval.test_time_rounds=1"]
        solving.main([*greedy, f"image={tmp_path}/{seed}.png", "Sum?"])
        said.append(capsys.readouterr().out)
    assert said[0] == said[2] != said[1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["model.path=builtin:tiny", "image={file}", "1+1"], "a model that sees images"),
        (["model.path={model}", "image=/no/such.png", "1+1"], "No such file"),
        (["model.path={model}", "image={text}", "1+1"], "no image of a known kind"),
    ],
)
def test_an_image_that_cant_be_asked_about(made, tmp_path, words, expected) -> None:
    _, made_by = made
    (tmp_path / "1.png").write_bytes(picture(1).data)
    (tmp_path / "text").write_text("none")
    model = next(word for word in made_by if word.startswith("model.path=")).partition("=")[2]
    places = {"file": tmp_path / "1.png", "text": tmp_path / "text", "model": model}
    with pytest.raises(UserError, match=expected):
        solving.main([word.format(**places) for word in words])


def test_visual_benchmarks(made, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    _, words = made
    for name, rows in (
        ("mathvista", KNOWN["mathvista"].rows),
        ("vl_reward_bench", VL_REWARD_BENCH),
    ):
        copy(name, tmp_path, rows)
    asked = [word for word in words if word.startswith("model")]
    asked += ["eval.max_completion_length=8", "trainer.max_completion_length=8"]
    asked += ["eval.test_time_rounds=1"]
    asked += [f"data={tmp_path}", f"root={tmp_path}", "suite=[mathvista,vl_reward_bench]"]
    command.main([*asked, "samples=2"])
    out = capsys.readouterr().out
    assert "mathvista" in out and "vl_reward_bench" in out
    rows = [
        row
        for file in tmp_path.glob("evals/*/rollouts")
        for row in rows_of(file.parent, "eval-000000")
    ]
    assert rows and all(row["images"] for row in rows)


def test_the_same_words_about_other_images_are_asked_apart(made, tmp_path: Path) -> None:
    """Greedy answers and verdicts are asked once for equal prompts: images make them others."""
    _, words = made
    config = compose([*words, "eval.answer_temperature=0"])
    generator = load_generator(config, None)
    asked = [Prompt("Sum?", (picture(seed),)) for seed in (1, 2, 1)] + [Prompt("Sum?")]
    one, two, again, text = generator.complete(asked)
    assert one == again and one[0].ids != two[0].ids and text[0].ids not in (one[0].ids, two[0].ids)
    alone = [generator.complete([prompt])[0] for prompt in asked]
    assert alone == [one, two, again, text], "batches don't change an answer"
    task = build_task(config.task)
    same = [replace(question, text="Sum?", answer="1") for question in task.train]
    evaluator = build_evaluator(config, tmp_path / "judge_set.jsonl")
    evaluator._task = replace(task, eval=[one for one in same if one.images][:4])
    first, second = evaluator(generator), evaluator(generator, step=1)
    assert first.metrics == second.metrics
    solved = [row for row in first.rows if row["set"] == "heldout" and row["sample"] == 0]
    assert len({row["completion"] for row in solved}) > 1


def test_larger_images_are_scaled_down(made) -> None:
    _, words = made
    image = picture(5, (64, 64))
    whole, small = (
        load_generator(compose([*words, *more]), None)._encoder([Prompt("?", (image,))])[0]
        for more in ([], ["model.max_pixels=256"])
    )
    assert len(small.images["pixel_values"]) == 16 < len(whole.images["pixel_values"])
    for words in (["model.max_pixels=256"], ["model.freeze_vision=true"]):
        with pytest.raises(UserError, match="a model that sees images"):
            compose(words)
