"""Rows in the true schema of every benchmark, with the answers that are right and wrong for them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from PIL import Image
from pyarrow import parquet

Row = dict[str, Any]


def png(shade: int) -> Row:
    """As Parquet files hold a picture."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": f"{shade}.png"}


class Known(NamedTuple):
    """Rows, the true answers of the questions they become, and for each a right and a wrong box."""

    rows: list[Row]
    gold: list[str]
    right: list[str]
    wrong: list[str]


def _aime(id: int, problem: str, answer: str) -> Row:
    return {
        "id": id,
        "problem": problem,
        "solution": "...",
        "answer": answer,
        "url": "",
        "year": "2024",
    }


def _vista(pid: int, **own: Any) -> Row:
    usual = {"pid": str(pid), "image": f"images/{pid}.jpg", "decoded_image": png(pid), "choices": None,
             "unit": None, "precision": None, "question_type": "free_form", "query": "Hint: ...",
             "metadata": {"category": "math-targeted-vqa", "task": "geometry problem solving"}}  # fmt: skip
    return usual | own


def _vision(id: int, options: list[str], answer: str) -> Row:
    return {"id": str(id), "question": "Which one fits? <image1>", "options": options,
            "image": f"images/{id}.jpg", "decoded_image": png(id), "answer": answer, "solution": None,
            "level": 2, "subject": "analytic geometry"}  # fmt: skip


def _verse(index: int, version: str, question: str, kind: str, answer: str) -> Row:
    return {"sample_index": str(index), "problem_index": "1", "problem_version": version,
            "question": question, "image": png(index), "answer": answer, "question_type": kind,
            "metadata": {"split": "testmini", "source": "GeoQA", "subject": "Plane Geometry",
                         "subfield": "Angle"}, "query_wo": "...", "query_cot": "..."}  # fmt: skip


def _wemath(key: str, answer: str, option: str = "A. 300;B\uff0e400; C. 5, 6.; D. none") -> Row:
    return {"ID": "2steps_7", "split": "testmini", "knowledge concept": "Area", "question": f"How long ({key})?",
            "option": option, "answer": answer, "image_path": png(len(key)), "key": key,
            "question number": 7, "knowledge concept description": "..."}  # fmt: skip


def _dyna(id: str, shade: int, kind: str, truth: str) -> Row:
    return {"id": id, "question": "What is its period? Choices: (A) 1 (B) 2", "image": f"images/{shade}.png",
            "decoded_image": png(shade), "ground_truth": truth, "answer_type": kind,
            "subject": "analytic geometry", "knowledge_level": "high school"}  # fmt: skip


def _logic(id: str, answer: str) -> Row:
    return {"imagesource": "a.png", "sourcelink": "", "liscenced": "yes", "id": id, "image": png(9),
            "question": "Which boxes come next? Select from A, B, C, D.", "answer": answer,
            "reasoning": "...", "skill": ["inductive"], "broad_capability": ["patterns"],
            "specific_capability": ["sequences"]}  # fmt: skip


def _mmbench(index: int, answer: str, **own: Any) -> Row:
    return {"index": index, "question": "What is it?", "hint": "nan", "answer": answer, "A": "cat", "B": "dog",
            "C": "nan", "D": "nan", "category": "object_localization", "image": png(index), "source": "coco",
            "L2-category": "finegrained_perception", "comment": "nan", "split": "dev"} | own  # fmt: skip


def _mmmu(id: str, kind: str, options: str, answer: str, images: int) -> Row:
    shown = {f"image_{number}": png(number) if number <= images else None for number in range(1, 8)}
    return {"id": id, "question": "What do <image 1> and <image 2> show?", "options": options, "explanation": "",
            **shown, "img_type": "['Tables']", "answer": answer, "topic_difficulty": "Easy",
            "question_type": kind, "subfield": "Accounting"}  # fmt: skip


def _pope(id: int, answer: str, category: str) -> Row:
    return {"id": str(id), "question_id": str(id), "question": "Is there a dog in the image?", "answer": answer,
            "image_source": "COCO_1", "image": png(id), "category": category}  # fmt: skip


def _seed(id: str, kind: str, answer: str) -> Row:
    return {"answer": answer, "choice_a": "One", "choice_b": "Two", "choice_c": "Three", "choice_d": "Four",
            "data_id": "1", "data_type": kind, "question": "How many towels?", "question_id": id,
            "question_type_id": 5, "image": [png(3)], "segment": None}  # fmt: skip


def _science(question: str, answer: int, image: Row | None, hint: str) -> Row:
    return {"image": image, "question": question, "choices": ["north", "south"], "answer": answer, "hint": hint,
            "task": "closed choice", "grade": "grade2", "subject": "natural science", "topic": "physics",
            "category": "Magnets", "skill": "...", "lecture": "", "solution": ""}  # fmt: skip


KNOWN: dict[str, Known] = {
    "gsm8k": Known(
        [{"question": "Ann has 1,000 pens and buys 24. How many?", "answer": "1000+24=<<1000+24=1024>>1024\n#### 1,024"},
         {"question": "Half of 7 pies?", "answer": "7/2\n#### 3.5"}],
        ["1,024", "3.5"], ["1024", r"\frac{7}{2}"], ["1023", "3"]),
    "math500": Known(
        [{"problem": "Write $(0,3)$ in polar form.", "solution": "...", "answer": r"\left( 3, \frac{\pi}{2} \right)",
          "subject": "Precalculus", "level": 2, "unique_id": "test/precalculus/807.json"}],
        [r"\left( 3, \frac{\pi}{2} \right)"], [r"$\left( 3, \frac{\pi}{2} \right)$."], [r"(3, \pi)"]),
    "aime24": Known([_aime(60, "Find the number of minutes.", "204")], ["204"], ["204"], ["205"]),
    "aime25": Known([{"problem": "Find the sum of bases.", "answer": "070", "id": "0"}], ["070"], ["70"], ["7"]),
    "amc23": Known(
        [{"id": 0, "question": "How far from City A?", "answer": "27.0", "url": ""}], ["27.0"], ["27"], ["28"]),
    "mmlu_stem": Known(
        [{"question": "What is 2+2?", "subject": "abstract_algebra", "choices": ["3", "4", "5", "6"], "answer": 1}],
        ["B. 4"], ["(B)"], ["A. 4"]),
    "mathvista": Known(
        [_vista(1, question="Find m.", choices=["4", "5"], answer="5", question_type="multi_choice", answer_type="text"),
         _vista(2, question="How much?", answer="1.2", answer_type="float", precision=1.0, unit="g"),
         _vista(3, question="How many?", answer="14", answer_type="integer"),
         _vista(4, question="Range?", answer="[0, 8]", answer_type="list")],
        ["B. 5", "1.2", "14", "[0, 8]"], ["B", "1.24", "14", "[0, 8]"], ["A", "1.26", "15", "[0, 9]"]),
    "mathvision": Known(
        [_vision(1, ["A", "B", "C", "D", "E"], "C"), _vision(2, [], "45"), _vision(3, ["$x$", "$y$"], "A")],
        ["C. C", "45", "A. $x$"], ["C", "45", "A"], ["D", "46", "B"]),
    "wemath": Known(
        [_wemath("2steps_1", "A"), _wemath("2steps_2", "B"), _wemath("2steps_multi", "C")],
        ["A", "B", "C"], ["A", "B. 400", "(C)"], ["B", "A", "D"]),
    "mathverse": Known(
        [_verse(1, "Text Dominant", "Find angle A.\nChoices:\nA:40\nB:50", "multi-choice", "B"),
         _verse(2, "Vision Only", "", "multi-choice", "B"),
         _verse(3, "Text Lite", "Find x.", "free-form", r"2 \sqrt{3}")],
        ["B", "B", r"2 \sqrt{3}"], ["B", "(B)", r"2 \sqrt{3}"], ["A", "", r"\sqrt{3}"]),
    "dynamath": Known(
        [_dyna("1", 1, "float", "2.0944"), _dyna("1", 2, "float", "0.5"), _dyna("2", 3, "multiple choice", "B"),
         _dyna("2", 4, "text", "May")],
        ["2.0944", "0.5", "B", "May"], ["2.094", r"\frac12", "B", "may"], ["2.09", "0.6", "A", "June"]),
    "logicvista": Known([_logic("1", "B"), _logic("2", "A, C")], ["B", "A, C"], ["B", "C, A"], ["C", "A"]),
    "mmk12": Known(
        [{"id": "5", "question": "Which? A. 1 B. 2 C. 3 D. 4", "answer": "D", "subject": "math", "image": png(1)}],
        ["D"], ["D. 4"], ["A"]),
    "mmbench": Known(
        [_mmbench(7, "B", hint="Look closely.")], ["B. dog", "A. dog"], ["dog", "A"], ["A", "B"]),
    "mmstar": Known(
        [{"index": 0, "question": "Which? Options: A: red, B: blue", "image": png(2), "answer": "B",
          "category": "math", "l2_category": "geometry",
          "meta_info": {"source": "MMBench", "split": "val", "image_path": "a.jpg"}}],
        ["B"], ["B"], ["A"]),
    "mmmu": Known(
        [_mmmu("a_1", "multiple-choice", "['$6', '$7']", "B", 2), _mmmu("a_2", "open", "[]", "['8.4', '8.40%']", 2),
         _mmmu("a_3", "open", "[]", "8", 2)],
        ["B. $7", r"(?i)(?:8\.4|8\.40%)", "8"], ["B", "8.40%", "8.0"], ["A", "84", "9"]),
    "scienceqa": Known(
        [_science("Which way?", 1, png(1), "See the magnet."), _science("Text only?", 0, None, "")],
        ["B. south"], ["south"], ["A"]),
    "pope": Known(
        [_pope(1, "yes", "random"), _pope(2, "no", "popular"), _pope(3, "no", "adversarial")],
        ["yes", "no", "no"], ["Yes.", "no", "No"], ["no", "yes", "maybe"]),
    "seedbench": Known(
        [_seed("1", "image", "A"), _seed("2", "video", "B")], ["A. One"], ["A"], ["B"]),
    "realworldqa": Known(
        [{"image": png(1), "question": "Which way?\nA. left\nB. right\nPlease answer directly with only the letter of"
          " the correct option and nothing else.", "answer": "A"},
         {"image": png(2), "question": "How many? Please answer directly with a single word or number.", "answer": "3"}],
        ["A", "3"], ["A", "3"], ["B", "4"]),
}  # fmt: skip


def _choice(id: str, subset: str, right: list[str], wrong: list[str]) -> Row:
    return {"id": id, "prompt": f"Question {id}?", "chosen": right, "rejected": wrong, "num_correct": len(right),
            "num_rejected": len(wrong), "total_completions": len(right) + len(wrong), "models": ["a", "b"],
            "subset": subset, "additional_metadata": {"category": None}}  # fmt: skip


REWARD_BENCH_2 = [
    _choice("1", "Math", ["right"], ["w1", "w2", "w3"]),
    _choice("2", "Math", ["right"], ["w1", "w2", "w3"]),
    _choice("3", "Safety", ["right"], ["w1", "w2", "w3"]),
    _choice("ref:0", "Ties", ["red"], ["seven", "dog"]),
    _choice("tied:0", "Ties", ["red", "blue"], ["seven", "dog"]),
]


def _pair(id: str, ranking: list[int]) -> Row:
    return {"id": id, "query": "<image>\nWhat is shown?", "response": ["First.", "Second."], "image": png(5),
            "query_source": id.split("_")[0], "human_ranking": ranking, "ground_truth": "", "models": ["a", "b"],
            "rationale": "", "judge": "human"}  # fmt: skip


VL_REWARD_BENCH = [
    _pair("mathverse_1", [0, 1]),
    _pair("mmmu_2", [1, 0]),
    _pair("RLAIF-V_3", [0, 1]),
    _pair("wildvision-battle_4", [0, 1]),
]


def copy(name: str, folder: Path, rows: list[Row]) -> Path:
    """A Parquet copy in `folder`, as data=DIR finds it; JSON lines for what Arrow can't hold."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows)
    parquet.write_table(table, folder / f"{name}.parquet")
    return folder


def lines(name: str, folder: Path, rows: list[Row]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return folder
