"""Mathematics and logic about pictures: the seven of the paper's tables 1 and 3.

Where the official scoring lets a paid model find the answer in the text, the box is read instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from spark_lab.benchmarks.benchmark import VISUAL, Benchmark, Entry, Unusable, text_of
from spark_lab.benchmarks.figures import Figure, mean, share
from spark_lab.tasks.reading import Row

_IN_PICTURE = "Answer the question that is shown in the picture."


def letter_or_value(row: Row) -> list[Row]:
    """Options are in the question's text, so only their letter is known; else any expression."""
    lettered = str(row["kind"]).replace("-", "_").startswith("multi")
    return [row | {"verifier": "choice" if lettered else "math"}]


def _mathvista(row: Row) -> list[Row]:
    """Numbers count as the official rule rounds them: to the row's precision."""
    unit = f" (Unit: {row['measured_in']})" if row["measured_in"] else ""
    if row["kind"] == "multi_choice":
        return [row | {"verifier": "choice", "question": f"{text_of(row, 'question')}{unit}"}]
    hint, verifier = {
        "integer": lambda _: (" Give a whole number.", "numeric"),
        "float": _rounded,
        "list": lambda _: (" Give a list such as [1, 2].", "math"),
    }.get(str(row["type"]), lambda _: ("", "math"))(row)
    question = f"{text_of(row, 'question')}{unit}{hint}"
    return [row | {"question": question, "verifier": verifier, "choices": None}]


def _rounded(row: Row) -> tuple[str, str]:
    if not isinstance(row["precision"], int | float) or not 1 <= row["precision"] <= 9:
        raise Unusable(f"precision={row['precision']!r}", "1 to 9 decimals of a float")
    places = int(row["precision"])
    return f" Give a number with {places} decimals.", f"within:{0.5 * 10**-places:.{places + 1}f}"


def _mathvision(row: Row) -> list[Row]:
    options = row["choices"] or None
    return [row | {"choices": options, "verifier": "choice" if options else "math"}]


def _mathverse(row: Row) -> list[Row]:
    """The version "Vision Only" has the question in the picture alone."""
    if row["category"] == "Vision Only" and not row["question"]:
        row = row | {"question": _IN_PICTURE}
    return letter_or_value(row)


def _wemath(row: Row) -> list[Row]:
    """Its options are one text, with semicolons within and missing between some of them."""
    return [row | {"question": f"{text_of(row, 'question')}\n{text_of(row, 'options')}"}]


def _mastery(
    entries: Sequence[Entry], right: Sequence[bool], given: Sequence[str | None]
) -> dict[str, Figure]:
    """We-Math's own scores, over problems whose steps were asked for one by one as well.

    A problem counts 1 if it was solved with its steps known, all of them (strict) or any (loose); half
    if only the whole was wrong, and 0 if it was right without the steps or a step was wrong, too.
    """
    problems: dict[str, dict[str, bool]] = defaultdict(dict)
    for entry, one in zip(entries, right, strict=True):
        problems[entry.unit][entry.part.rpartition("_")[2]] = one
    strict, loose = [], []
    for parts in problems.values():
        whole = parts.pop("multi", None)
        if whole is None or not parts:
            continue
        known = list(parts.values())
        otherwise = 0.5 if all(known) and not whole else 0.0
        strict.append(1.0 if whole and all(known) else otherwise)
        loose.append(1.0 if whole and any(known) else otherwise)
    return {"strict": mean(strict), "loose": mean(loose)} if strict else {}


def _dynamath(row: Row) -> list[Row]:
    """A float may be off by 0.001, as in the official rule."""
    kind = str(row["kind"])
    if kind == "float":
        question = f"{text_of(row, 'question')} Give a number with three decimals."
        return [row | {"question": question, "verifier": "within:0.001"}]
    return [row | {"verifier": "choice" if kind == "multiple choice" else "math"}]


def all_variants(
    entries: Sequence[Entry], right: Sequence[bool], given: Sequence[str | None]
) -> dict[str, Figure]:
    """Seed questions that were answered right in every variant."""
    variants: dict[str, list[bool]] = defaultdict(list)
    for entry, one in zip(entries, right, strict=True):
        variants[entry.unit].append(one)
    return {"every_variant": share([float(all(one)) for one in variants.values()])}


def _logicvista(row: Row) -> list[Row]:
    skills: Any = row["category"]
    return [row | {"category": ", ".join(skills) if isinstance(skills, list) else skills}]


BENCHMARKS = (
    Benchmark(
        "mathvista",
        "MathVista",
        hub="AI4Math/MathVista",
        splits=("testmini",),
        size=1000,
        cites="Lu et al. 2023, arXiv 2310.02255",
        columns={
            "question": "question",
            "answer": "answer",
            "choices": "choices",
            "image": "decoded_image|image",
            "kind": "question_type",
            "type": "answer_type",
            "precision": "precision",
            "measured_in": "unit",
            "category": "metadata.task",
        },
        adapt=_mathvista,
        prompts=VISUAL,
    ),
    Benchmark(
        "mathvision",
        "MathVision",
        hub="MathLLMs/MathVision",
        splits=("test",),
        size=3040,
        cites="Wang et al. 2024, arXiv 2402.14804",
        columns={
            "question": "question",
            "answer": "answer",
            "choices": "options",
            "image": "decoded_image|image",
            "category": "subject",
        },
        adapt=_mathvision,
        prompts=VISUAL,
    ),
    Benchmark(
        "wemath",
        "WeMath",
        hub="We-Math/We-Math",
        splits=("testmini",),
        size=1740,
        cites="Qiao et al. 2024, arXiv 2407.01284",
        columns={
            "question": "question",
            "answer": "answer",
            "options": "option",
            "image": "image_path",
            "unit": "ID",
            "part": "key",
        },
        adapt=_wemath,
        verifier="choice",
        prompts=VISUAL,
        extra=_mastery,
        note="accuracy, as the paper's number of the base model suggests; strict and loose are its own",
    ),
    Benchmark(
        "mathverse",
        "MathVerse",
        hub="AI4Math/MathVerse",
        subset="testmini",
        splits=("testmini",),
        size=3940,
        cites="Zhang et al. 2024, arXiv 2403.14624",
        columns={
            "question": "question",
            "answer": "answer",
            "image": "image",
            "kind": "question_type",
            "category": "problem_version",
            "unit": "problem_index",
        },
        adapt=_mathverse,
        prompts=VISUAL,
    ),
    Benchmark(
        "dynamath",
        "DynaMath",
        hub="DynaMath/DynaMath_Sample",
        splits=tuple(f"sample_variant{number}" for number in range(1, 11)),
        size=5010,
        cites="Zou et al. 2024, arXiv 2411.00836",
        columns={
            "question": "question",
            "answer": "ground_truth",
            "image": "decoded_image|image",
            "kind": "answer_type",
            "category": "subject",
            "unit": "id",
        },
        adapt=_dynamath,
        prompts=VISUAL,
        extra=all_variants,
    ),
    Benchmark(
        "logicvista",
        "LogicVista",
        hub="lscpku/LogicVista",
        splits=("test",),
        size=448,
        cites="Xiao et al. 2024, arXiv 2407.04973",
        columns={
            "question": "question",
            "answer": "answer",
            "image": "image",
            "category": "skill",
        },
        adapt=_logicvista,
        verifier="choice",
        prompts=VISUAL,
    ),
    Benchmark(
        "mmk12",
        "MMK12",
        hub="FanqingM/MMK12",
        splits=("test",),
        size=2000,
        cites="Meng et al. 2025 (MM-Eureka), arXiv 2503.07365",
        columns={
            "question": "question",
            "answer": "answer",
            "image": "image",
            "category": "subject",
        },
        verifier="choice",
        prompts=VISUAL,
    ),
)
