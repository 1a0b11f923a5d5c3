"""VL-RewardBench (Li et al. 2024, arXiv 2411.17451): which of two answers about a picture is better?

Both answers are shown in an order that follows from the seed and the pair; what is asked is the official
prompt in our words. Official are ten judgements at temperature 0.2, whose majority counts, and pairs
without a readable one are left out; here one greedy judgement counts, and one that can't be read is
wrong. accuracy is over all pairs, macro over its three groups; maths are the pairs from MathVerse, which
is our reading of the paper's "VL-RB-Math".
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from spark_lab.benchmarks import loading
from spark_lab.benchmarks.benchmark import Benchmark
from spark_lab.benchmarks.figures import Figure, Measured, average, share
from spark_lab.errors import Problem
from spark_lab.prompts import TemplateSet
from spark_lab.records import Picture, Prompt, Question, Verdict, spoken
from spark_lab.schema import EvalConfig
from spark_lab.tasks.fields import Bad
from spark_lab.tasks.reading import Row
from spark_lab.tasks.row_images import pictures_of

if TYPE_CHECKING:
    from spark_lab.evaluation.generation import Completer

BENCHMARK = Benchmark(
    "vl_reward_bench",
    "VL-RB",
    hub="MMInstruction/VL-RewardBench",
    splits=("test",),
    size=1247,
    cites="Li et al. 2024, arXiv 2411.17451",
    columns={
        "id": "id",
        "query": "query",
        "answers": "response",
        "ranking": "human_ranking",
        "image": "image",
    },
    judging=True,
)
# The group of a pair by how its id begins, as in the official cal.py.
_GROUPS = {
    "RLAIF": "hallucination",
    "RLHF": "hallucination",
    "hallucination": "hallucination",
    "mathverse": "reasoning",
    "mmmu": "reasoning",
    "wildvision": "general",
}
_OTHERS = "general"
_COMPARE = (
    "You are an expert in judging answers to questions about pictures. Look at the picture and the"
    " question, then decide which of the two answers is better.\n\nQuestion: {query}\n\nAnswer 1:"
    " {first}\n\nAnswer 2: {second}\n\nJudge both by their accuracy (does it agree with what the picture"
    " shows?), completeness (does it cover the whole question?), clarity (is it easy to understand?) and"
    " relevance (is it about the question and the picture?). Explain your reasoning for each of the four,"
    " then conclude which answer is better, in this form: Overall Judgment: Answer X is better."
)
_VERDICT = re.compile(
    r"answer\s*([12])\s*is\s*(?:the\s+)?(?:slightly\s+|clearly\s+|much\s+)?better", re.IGNORECASE
)


@dataclass(frozen=True)
class Pair:
    """`better` is the place of the better one of the two answers, 0 or 1."""

    id: str
    query: str
    answers: tuple[str, str]
    better: int
    image: Picture

    @property
    def source(self) -> str:
        """What its id begins with."""
        return re.split(r"[_-]", self.id, maxsplit=1)[0]

    @property
    def group(self) -> str:
        return _GROUPS.get(self.source, _OTHERS)


def load(benchmark: Benchmark, data: Path | None, limit: int | None = None) -> list[Pair]:
    """Its rows. UserError names those that can't be used."""
    folder = loading.images_folder(benchmark, data)
    return loading.read(benchmark, data, limit, lambda row, where, _: _pair(row, where, folder))


def _pair(row: Row, where: str, folder: Path | None) -> list[Pair] | Problem:
    answers, ranking = row["answers"], row["ranking"]
    texts = [row["id"], row["query"], *(answers if isinstance(answers, list) else [None])]
    if len(texts) != 4 or not all(isinstance(text, str) for text in texts):
        return Problem(where, f"response={answers!r}"[:120], "an id, a query and two answers", "")
    if not isinstance(ranking, list) or sorted(map(str, ranking)) != ["0", "1"]:
        return Problem(where, f"human_ranking={ranking!r}"[:120], "[0, 1] or [1, 0]", "")
    try:
        images = pictures_of(row["image"], folder, "image")
    except Bad as bad:
        return Problem(where, *bad.args[1:], "")
    if len(images) != 1:
        return Problem(where, f"{len(images)} images", "one image", "")
    query = row["query"].replace("<image>", "").strip()
    return [Pair(row["id"], query, (answers[0], answers[1]), ranking.index(0), images[0])]


def fingerprint(pairs: Sequence[Pair]) -> str:
    told = [[one.id, one.query, one.answers, one.better, one.image.fingerprint] for one in pairs]
    told.append([_COMPARE])
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]


def questions(pairs: Sequence[Pair]) -> list[Question]:
    return [Question(index, pair.query, None, (pair.image,)) for index, pair in enumerate(pairs)]


def ask(pairs: Sequence[Pair], seed: int) -> list[tuple[str, str]]:
    """The text of each prompt, and the number of the better answer in it."""
    asked = []
    for pair in pairs:
        swapped = random.Random(f"{seed} {pair.id} {pair.query}").random() < 0.5
        first, second = pair.answers[::-1] if swapped else pair.answers
        values = {"query": pair.query, "first": first, "second": second}
        text = re.sub(r"\{(query|first|second)\}", lambda one, of=values: of[one[1]], _COMPARE)
        asked.append((text, str(1 + (pair.better != swapped))))
    return asked


def verdict_of(text: str) -> str | None:
    """The number of the answer that was called better last."""
    found = _VERDICT.findall(spoken(text).replace("*", ""))
    return found[-1] if found else None


def measure(
    benchmark: Benchmark,
    pairs: Sequence[Pair],
    templates: TemplateSet,
    config: EvalConfig,
    completer: Completer,
) -> Measured:
    """One greedy judgement of each pair."""
    from spark_lab.evaluation.trial import solve_row

    asked = ask(pairs, config.seed)
    prompts = [Prompt(text, (pair.image,)) for (text, _), pair in zip(asked, pairs, strict=True)]
    rows = []
    found = completer.complete(prompts)
    for index, (prompt, (completion,)) in enumerate(zip(prompts, found, strict=True)):
        _, label = asked[index]
        answer = verdict_of(completion.text)
        verdict = Verdict(float(answer == label), answer)
        row = solve_row(prompt, index, label, 0, completion, verdict)
        rows.append(row | {"objective": "judge", "form": pairs[index].group})
    figures = score(pairs, [row["correct"] for row in rows], [row["parsed"] for row in rows])
    figures["truncated_rate"] = share([float(row["truncated"]) for row in rows])
    return Measured(figures, rows, {"accuracy": fmean(row["tokens"] for row in rows)})


def score(
    pairs: Sequence[Pair], right: Sequence[bool], parsed: Sequence[bool]
) -> dict[str, Figure]:
    hits = [float(one) for one in right]
    groups: dict[str, list[float]] = {}
    for pair, hit in zip(pairs, hits, strict=True):
        groups.setdefault(pair.group, []).append(hit)
    shares = {name: share(groups[name]) for name in sorted(groups)}
    maths = [hit for pair, hit in zip(pairs, hits, strict=True) if pair.source == "mathverse"]
    return {
        "accuracy": share(hits),
        "macro": average(list(shares.values())),
        "parse_failure_rate": share([float(not one) for one in parsed]),
        **({"maths": share(maths)} if maths else {}),
        **{f"subset/{name}": figure for name, figure in shares.items()},
    }
