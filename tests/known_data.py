"""Rows in the true schemas of known data sets, and the files that the options of `task` read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

ASK = r"Please first conduct reasoning, and then answer the question. Repeat the final answer using a '\boxed{}'."

GSM8K = [
    {"question": f"Natalia sold {n} clips in April and half as many in May. How many in all?",
     "answer": f"She sold {n}/2 = <<{n}/2={n // 2}>>{n // 2} clips in May.\nTogether {n + n // 2}.\n#### {n + n // 2:,}"}
    for n in (48, 2_000)
]  # fmt: skip
MATH = [
    {"problem": r"Compute $\frac{1}{2} + \frac{1}{4}$.", "level": "Level 1", "type": "Prealgebra",
     "solution": r"It is $\frac{2}{4} + \frac{1}{4} = \boxed{\frac{3}{4}}$."},
    {"problem": "What is $1 + 1$?", "level": "Level 1", "type": "Prealgebra", "solution": r"It is \boxed 2."},
]  # fmt: skip
MATH_500 = [
    {"problem": "Solve $x^2 = 9$ for $x > 0$.", "solution": r"So $x = \boxed{3}$.", "answer": "3",
     "subject": "Algebra", "level": 1, "unique_id": "test/algebra/1.json"},
]  # fmt: skip
SIMPLERL = [
    {"input": f"<|im_start|>user\n{q}<|im_end|>\n", "question": q, "ground_truth_answer": a, "subject": "Algebra",
     "target": a, "data_source": "simplelr_math", "prompt": [{"role": "user", "content": q}], "ability": "math",
     "reward_model": {"ground_truth": a, "style": "rule"}, "extra_info": {"index": i, "split": "train"}}
    for i, (q, a) in enumerate([("Factor $x^2-1$.", "(x-1)(x+1)"), ("Compute $2^{10}$.", "1024")])
]  # fmt: skip
DEEPMATH = [
    {"question": f"Evaluate the limit of $n/({k}n + 1)$.", "final_answer": rf"\frac{{1}}{{{k}}}", "difficulty": 4.5,
     "topic": "Mathematics -> Calculus", **{f"r1_solution_{i}": "Long." for i in (1, 2, 3)}}
    for k in range(2, 8)
]  # fmt: skip
SPARK_DATA = [
    {"message": json.dumps([{"role": "user", "content": [{"type": "text", "text": f"What is {n} + {n}?\n{ASK}"}]}]),
     "answer": str(2 * n)}
    for n in range(1, 8)
]  # fmt: skip
SPARK_IMAGE = {
    "message": [{"role": "user", "content": [
        {"type": "image", "image": "images/1.png", "max_pixels": 1048576},
        {"type": "text", "text": f"How long is AB?\n{ASK}"}]}],
    "answer": "B",
}  # fmt: skip

VIRL39K = [
    {"question": f"What is ${n} + {n}$?", "answer": rf"\boxed{{{2 * n}}}", "PassRate_32BTrained": 0.5,
     "PassRate_7BBase": 0.25, "category": "Math", "source": "DeepScaleR", "qid": f"d-{n}", "image": []}
    for n in range(1, 6)
]  # fmt: skip
VIRL_IMAGE = {
    "question": "<image>Which is longer, AB or BC?", "answer": r"\boxed{AB}", "PassRate_32BTrained": 1.0,
    "PassRate_7BBase": 0.0, "category": "Geometry", "source": "Processed", "qid": "p-0", "image": ["images/1.png"],
}  # fmt: skip


def jsonl(path: Path, *rows: object) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def parquet_file(path: Path, rows: list[dict[str, Any]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


def overrides(option: str, folder: Path) -> list[str]:
    """`task=OPTION` with files in the true schema in place of the hub's, in windows of one question."""
    return [f"task={option}", *_paths(option, folder), "trainer.prompts_per_window=1"]


def _paths(option: str, folder: Path) -> list[str]:
    paths: dict[str, str] = {}
    if option == "data":
        paths["train"] = jsonl(folder / "train.jsonl", {"question": "1+1", "answer": 2})
        paths["eval"] = jsonl(folder / "eval.jsonl", {"question": "2+2", "answer": 4})
    elif option == "gsm8k":
        jsonl(folder / "main/train.jsonl", *GSM8K[:1])
        jsonl(folder / "main/test.jsonl", *GSM8K[1:])
        paths = {"train": str(folder), "eval": str(folder)}
    elif option == "math":
        for number, row in enumerate(MATH):
            file = folder / f"MATH/train/prealgebra/{number}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(row))
        paths = {"train": str(folder / "MATH"), "eval": jsonl(folder / "test.jsonl", *MATH_500)}
    elif option == "simplerl":
        parquet_file(folder / "train.parquet", SIMPLERL)
        parquet_file(folder / "test.parquet", SIMPLERL[1:])
        paths = {"train": str(folder), "eval": str(folder)}
    elif option == "deepmath":
        parquet_file(folder / "data/train-00000-of-00002.parquet", DEEPMATH[:3])
        parquet_file(folder / "data/train-00001-of-00002.parquet", DEEPMATH[3:])
        return [f"task.data.train_path={folder}", "task.data.eval_size=2"]
    elif option in ("spark_data", "spark_data_32b"):
        file = folder / "infer_data.json"
        file.write_text(json.dumps(SPARK_DATA))
        return [f"task.data.train_path={file}", "task.data.eval_size=2"]
    elif option == "virl39k":
        file = parquet_file(folder / "39Krelease.parquet", VIRL39K)
        return [f"task.data.train_path={file}", "task.data.eval_size=2"]
    return [f"task.data.{name}_path={path}" for name, path in paths.items()]
