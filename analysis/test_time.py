"""Test-time scaling of an arm: accuracy against tokens, and against a vote of the same price.

Every strategy is held against plain majority vote with as many tokens a question. Between two votes
that were measured, that is a vote of the one size on some questions and of the other on the rest,
which anyone could do, so the accuracy at a price is on the straight line between the two; it is worked
out for each seed and question, which keeps the comparison paired. The same holds for the oracle.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from spark_lab.analysis.intervals import Estimate, estimate
from spark_lab.analysis.load import RunData
from spark_lab.tracking.jsonl import Row, read_rows, rollouts_name

PLAIN, SAMPLE, VOTE, ORACLE, REFLECT = ("reflect", 0), ("vote", 1), "vote", "oracle", "reflect"
# In reading order; what follows the name is the size.
STRATEGIES = {
    REFLECT: "judge and reflect",
    VOTE: "majority vote of {}",
    "weighted": "vote of {} weighed by the judge",
    "best": "the judge's best of {}",
    "tournament": "the judge's tournament of {}",
    ORACLE: "oracle over {}",
}
_METRIC = re.compile(r"tts/([a-z]+)_(\d+)/accuracy")
# Less than a token a question is no difference in price.
_SAME_PRICE = 0.5

Name = tuple[str, int]
Worth = Literal["pays", "costs more than it gives", "not separable", "no vote of its price"]


class Spent(NamedTuple):
    """`accuracy` [seeds, questions], a mean over blocks of samples, and `tokens` a question [seeds]."""

    accuracy: np.ndarray
    tokens: np.ndarray


@dataclass(frozen=True)
class Scaling:
    """All strategies of one arm by (name, size), on the questions and seeds that all of them have."""

    seeds: tuple[int, ...]
    questions: tuple[int, ...]
    by_name: Mapping[Name, Spent]

    @property
    def most_rounds(self) -> Name:
        return max(name for name in self.by_name if name[0] == REFLECT)

    def of_seeds(self, seeds: Sequence[int]) -> Scaling:
        """The same on some of its seeds, in the given order."""
        rows = [self.seeds.index(seed) for seed in seeds]
        kept = {
            name: Spent(spent.accuracy[rows], spent.tokens[rows])
            for name, spent in self.by_name.items()
        }
        return Scaling(tuple(seeds), self.questions, kept)

    def at_price(self, curve: str, tokens: np.ndarray) -> np.ndarray | None:
        """Accuracy [seeds, questions] of votes or of the oracle at `tokens` [seeds] a question.

        At less than the price of one sample it is one sample. None above the price of the largest.
        """
        sizes = sorted(size for name, size in self.by_name if name == curve and size > 1)
        points = [self.by_name[SAMPLE], *(self.by_name[curve, size] for size in sizes)]
        prices = np.stack([point.tokens for point in points])
        if (tokens > prices[-1] + _SAME_PRICE).any():
            return None
        mixed = [
            _between([point.accuracy[seed] for point in points], prices[:, seed], tokens[seed])
            for seed in range(len(self.seeds))
        ]
        return np.stack(mixed)


@dataclass(frozen=True, slots=True)
class Gain:
    """A strategy against majority vote: `estimate` is its accuracy minus the vote's.

    `price` is in tokens a question. Where no vote of that price was measured, it is held against
    the largest, which costs less, so that only a loss means anything.
    """

    name: Name
    accuracy: Estimate
    price: float
    vote: float
    oracle: float | None
    estimate: Estimate
    equal_price: bool

    @property
    def worth(self) -> Worth:
        if np.isfinite(self.estimate.high) and self.estimate.high < 0:
            return "costs more than it gives"
        if not self.equal_price:
            return "no vote of its price"
        return "pays" if self.estimate.low > 0 else "not separable"


def words(name: Name) -> str:
    """("vote", 4) -> "majority vote of 4"; ("reflect", 2) -> "judge and reflect (2 rounds)"."""
    strategy, size = name
    if name == PLAIN:
        return "plain answer"
    if name == SAMPLE:
        return "one sample"
    if strategy == REFLECT:
        return f"{STRATEGIES[REFLECT]} ({size} round{'s' if size > 1 else ''})"
    return STRATEGIES.get(strategy, f"{strategy} of {{}}").format(size)


def name_of(metric: str) -> Name | None:
    """("vote", 4) of "tts/vote_4/accuracy", None for any other metric."""
    found = _METRIC.fullmatch(metric)
    return (found[1], int(found[2])) if found else None


def final_outcomes(run: RunData) -> tuple[pd.DataFrame, list[str]]:
    """The outcomes of a run's last evaluation: question, strategy, size, accuracy, tokens.

    Empty where it was not scaled; with the reason where its file can't be used.
    """
    if run.final is None:
        return pd.DataFrame(), []
    path = run.folder / "rollouts" / rollouts_name("test_time", int(run.final["step"]))
    if not path.exists():
        lost = any(key.startswith("tts/") for key in run.final)
        return pd.DataFrame(), [f"{path.name} is missing"] if lost else []
    found = read_rows(path)
    if found.problems:
        return pd.DataFrame(), found.problems
    strange = sum(not _is_outcome(row) for row in found.rows)
    if strange or not found.rows:
        count = f"{strange} of {len(found.rows)} rows are no outcomes" if strange else "empty"
        return pd.DataFrame(), [f"{path.name}: {count}, left out"]
    return pd.DataFrame(found.rows), []


def accuracy_by_question(run: RunData, metric: str) -> pd.Series | None:
    """What a strategy's tts/ metric of the final evaluation is the plain mean of."""
    table, _ = final_outcomes(run)
    if metric == "tts/accuracy" and len(table):
        name = (REFLECT, int(table[table["strategy"] == REFLECT]["size"].max()))
    else:
        name = name_of(metric)
    if name is None or table.empty:
        return None
    own = table[(table["strategy"] == name[0]) & (table["size"] == name[1])]
    return own.set_index("question")["accuracy"].sort_index() if len(own) else None


def scaling(tables: Mapping[int, pd.DataFrame]) -> Scaling | None:
    """Outcomes by seed as arrays; None where the seeds have no strategy or no question in common."""
    wide = {
        seed: table.pivot(index="question", columns=["strategy", "size"])
        for seed, table in tables.items()
        if len(table)
    }
    if not wide:
        return None
    names = set.intersection(*(set(table["accuracy"].columns) for table in wide.values()))
    shared = set.intersection(*(set(table.index) for table in wide.values()))
    if not {PLAIN, SAMPLE} <= names or not shared:
        return None
    questions, seeds = sorted(shared), tuple(sorted(wide))

    def values(of: str, name: Name) -> np.ndarray:
        return np.stack([wide[seed].loc[questions][of][name].to_numpy(float) for seed in seeds])

    by_name = {
        (str(name[0]), int(name[1])): Spent(
            values("accuracy", name), values("tokens", name).mean(axis=1)
        )
        for name in sorted(names, key=_reading_order)
    }
    return Scaling(seeds, tuple(map(int, questions)), by_name)


def gain(found: Scaling, name: Name) -> Gain:
    """A strategy against majority vote at its own price."""
    spent = found.by_name[name]
    vote = found.at_price(VOTE, spent.tokens)
    equal_price = vote is not None
    if vote is None:
        vote = found.by_name[max(one for one in found.by_name if one[0] == VOTE)].accuracy
    oracle = found.at_price(ORACLE, spent.tokens)
    return Gain(
        name=name,
        accuracy=estimate(spent.accuracy),
        price=float(spent.tokens.mean()),
        vote=float(vote.mean()),
        oracle=None if oracle is None else float(oracle.mean()),
        estimate=estimate(spent.accuracy - vote),
        equal_price=equal_price,
    )


def _between(accuracies: Sequence[np.ndarray], prices: np.ndarray, tokens: float) -> np.ndarray:
    order = np.argsort(prices, kind="stable")
    place = int(np.clip(np.searchsorted(prices[order], tokens), 1, len(order) - 1))
    low, high = order[place - 1], order[place]
    width = prices[high] - prices[low]
    share = float(np.clip((tokens - prices[low]) / width, 0.0, 1.0)) if width > 0 else 1.0
    return (1 - share) * accuracies[low] + share * accuracies[high]


def _reading_order(name: Name) -> tuple[int, str, int]:
    known = list(STRATEGIES)
    place = known.index(name[0]) if name[0] in known else len(known)
    return place, name[0], name[1]


def _is_outcome(row: Row) -> bool:
    return (
        isinstance(row.get("question"), int)
        and isinstance(row.get("strategy"), str)
        and isinstance(row.get("size"), int)
        and all(isinstance(row.get(key), int | float) for key in ("accuracy", "tokens"))
        and 0 <= row["accuracy"] <= 1
        and row["tokens"] >= 0
    )
