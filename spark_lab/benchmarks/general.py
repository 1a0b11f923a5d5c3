"""General questions about pictures: those of the paper's table 4 that need no paid judge.

The official prompts ask for the letter or the word alone; these ask for reasoning and a box, so that one
reader serves all benchmarks. MMVet's free answers are graded by GPT-4, so it is not here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from spark_lab import answers
from spark_lab.benchmarks.benchmark import VISUAL, Benchmark, Entry, Unusable, text_of
from spark_lab.benchmarks.figures import Figure, ratio, share
from spark_lab.benchmarks.visual import all_variants
from spark_lab.tasks.reading import Row

# What can't be measured here: its title, and why.
JUDGED = {"mmvet": ("MMVet", "its free answers are graded by GPT-4, which is a paid service")}
_EMPTY = (None, "", "nan")
_MMMU_IMAGES = tuple(f"image_{number}" for number in range(1, 8))
# RealWorldQA's own requests for the bare answer.
_DIRECTLY = re.compile(r"\s*Please answer directly with [^.]*\.\s*$")


def _mmbench(row: Row) -> list[Row]:
    """Its circular protocol: asked once with every rotation of the options."""
    options = [row[letter] for letter in "ABCD" if row[letter] not in _EMPTY]
    place = "ABCD".find(str(row["answer"]).strip())
    if not 0 <= place < len(options) or len(str(row["answer"]).strip()) != 1:
        raise Unusable(f"answer={row['answer']!r}", f"the letter of one of {len(options)} options")
    question = text_of(row, "question")
    if row["hint"] not in _EMPTY:
        question = f"{row['hint']}\n{question}"
    return [
        row
        | {
            "question": question,
            "choices": [*options[turn:], *options[:turn]],
            "answer": "ABCD"[(place - turn) % len(options)],
            "part": str(turn),
        }
        for turn in range(len(options))
    ]


def _mmmu(row: Row) -> list[Row]:
    item = row | {"image": [row[name] for name in _MMMU_IMAGES if row[name] is not None]}
    if row["kind"] == "multiple-choice":
        return [item | {"choices": _literal(row["choices"]), "verifier": "choice"}]
    item["choices"] = None
    accepted = str(row["answer"]).strip()
    if accepted.startswith("["):
        texts = "|".join(re.escape(str(text).strip()) for text in _literal(accepted))
        return [item | {"answer": f"(?i)(?:{texts})", "verifier": "regex"}]
    return [item | {"verifier": "math"}]


def _literal(text: object) -> list[str]:
    """MMMU writes its lists as Python does."""
    try:
        found = ast.literal_eval(text) if isinstance(text, str) else text
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, list) or not found:
        raise Unusable(f"{text!r}"[:120], "a list of texts")
    return found


def _scienceqa(row: Row) -> list[Row]:
    """The part with pictures."""
    if row["image"] is None:
        return []
    context = f"Context: {row['hint']}\n" if row["hint"] else ""
    return [row | {"question": context + text_of(row, "question")}]


def _seedbench(row: Row) -> list[Row]:
    """The part about images; the other part is about videos."""
    choices = [row[f"choice_{letter}"] for letter in "abcd"]
    return [row | {"choices": choices}] if row["kind"] == "image" else []


def _realworldqa(row: Row) -> list[Row]:
    lettered = re.fullmatch(r"[A-H]", str(row["answer"]).strip()) is not None
    question = _DIRECTLY.sub("", text_of(row, "question"))
    return [row | {"question": question, "verifier": "choice" if lettered else "math"}]


def _circular(
    entries: Sequence[Entry], right: Sequence[bool], given: Sequence[str | None]
) -> dict[str, Figure]:
    return {"circular": all_variants(entries, right, given)["every_variant"]}


def _detection(
    entries: Sequence[Entry], right: Sequence[bool], given: Sequence[str | None]
) -> dict[str, Figure]:
    """POPE asks whether an object is there. What can't be read is no yes."""
    there = [_yes(entry.question.answer) for entry in entries]
    said = [_yes(answer) for answer in given]
    hits = [float(one and other) for one, other in zip(said, there, strict=True)]
    named = [one + other for one, other in zip(said, there, strict=True)]
    return {
        "f1": ratio([2 * hit for hit in hits], named),
        "precision": ratio(hits, said),
        "recall": ratio(hits, there),
        "yes_rate": share(list(map(float, said))),
    }


def _yes(answer: str | None) -> bool:
    return answers.verify("exact", answer, "yes")


BENCHMARKS = (
    Benchmark(
        "mmbench",
        "MMBench",
        hub="lmms-lab/MMBench",
        subset="en",
        splits=("dev",),
        size=4329,
        cites="Liu et al. 2023, arXiv 2307.06281",
        columns={
            **{name: name for name in ("question", "hint", "A", "B", "C", "D", "answer", "image")},
            "unit": "index",
            "category": "L2-category",
        },
        adapt=_mmbench,
        verifier="choice",
        prompts=VISUAL,
        headline="circular",
        extra=_circular,
        note="a question is right if it is with every rotation of its options",
    ),
    Benchmark(
        "mmstar",
        "MMStar",
        hub="Lin-Chen/MMStar",
        splits=("val",),
        size=1500,
        cites="Chen et al. 2024, arXiv 2403.20330",
        columns={name: name for name in ("question", "answer", "image", "category")},
        verifier="choice",
        prompts=VISUAL,
    ),
    Benchmark(
        "mmmu",
        "MMMU",
        hub="lmms-lab/MMMU",
        splits=("validation",),
        size=900,
        cites="Yue et al. 2023, arXiv 2311.16502",
        columns={
            "question": "question",
            "answer": "answer",
            "choices": "options",
            "kind": "question_type",
            "image": "image_1",
            **{name: name for name in _MMMU_IMAGES},
        },
        adapt=_mmmu,
        prompts=VISUAL,
    ),
    Benchmark(
        "scienceqa",
        "ScienceQA",
        hub="derek-thomas/ScienceQA",
        splits=("test",),
        size=2017,
        cites="Lu et al. 2022, arXiv 2209.09513",
        columns={
            **{name: name for name in ("question", "answer", "choices", "image", "hint")},
            "category": "subject",
        },
        adapt=_scienceqa,
        answer_form="index",
        verifier="choice",
        prompts=VISUAL,
        note="its questions with a picture",
    ),
    Benchmark(
        "pope",
        "POPE",
        hub="lmms-lab/POPE",
        splits=("test",),
        size=9000,
        cites="Li et al. 2023, arXiv 2305.10355",
        columns={name: name for name in ("question", "answer", "image", "category")},
        verifier="exact",
        prompts=VISUAL,
        headline="f1",
        extra=_detection,
        note="F1 of saying that the object is there",
    ),
    Benchmark(
        "seedbench",
        "SeedBench",
        hub="lmms-lab/SEED-Bench",
        splits=("test",),
        size=None,
        cites="Li et al. 2023, arXiv 2307.16125",
        columns={
            **{name: name for name in ("question", "answer", "image")},
            **{f"choice_{letter}": f"choice_{letter}" for letter in "abcd"},
            "kind": "data_type",
        },
        adapt=_seedbench,
        verifier="choice",
        prompts=VISUAL,
        note="its questions about single images",
    ),
    Benchmark(
        "realworldqa",
        "RealWorldQA",
        hub="xai-org/RealworldQA",
        splits=("test",),
        size=765,
        cites="xAI 2024 (released with Grok-1.5 Vision)",
        columns={name: name for name in ("question", "answer", "image")},
        adapt=_realworldqa,
        prompts=VISUAL,
    ),
)
