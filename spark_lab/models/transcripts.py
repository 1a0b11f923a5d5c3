r"""What the shipped models read before any reinforcement learning: transcripts of all their skills.

Every prompt is filled from the "terse" templates, so the model meets the same words as in training.
A completion works the sum out step by step and boxes what follows from the working:

    Solve 7+1+5+9 \boxed{}               7+1=8; 8+5=13; 13+9=22 \boxed{22}
    Judge 7+1+5+9 : 24 ? Yes or No ...   7+1=8; 8+5=13; 13+9=22; 22 ? 24 No \boxed{No}
    Compare 7+1+5+9 A : 24 B : 22 ...    ...; 22 ? 24 No; 22 ? 22 Yes \boxed{B}
    Check 7+1+5+9 : 24 \boxed{}          ...; 22 ? 24 No \boxed{22}
    Fix 7+1+5+9 : 24 \boxed{}            7+1=8; 8+5=13; 13+9=22 \boxed{22}
    Match                                22 ? 24 No; 13 ? 13 Yes; ...

Half of the judged and repaired solutions show the number alone, half the whole working with its
box. The sums come from `arithmetic.Arithmetic`, which misremembers some; a working goes on from a
wrong value. What is concluded from the written working is always right (a pair of which neither or
both match gets a coin flip). So comparing two numbers, which reinforcement learning does not teach
a model that can't do it at all, is learned well, and adding leaves room.

With `drawn` sums "the sum in the image" stands wherever the sum would, and the prompt comes with the
picture. In half of the wrong solutions that are shown a digit may then be misread: who believes the
digits of a shown working instead of looking would call it right.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from spark_lab import prompts
from spark_lab.drawing import QUESTION, DrawnSum
from spark_lab.models.arithmetic import SLIPS, Arithmetic
from spark_lab.models.decoder import BOX
from spark_lab.records import Prompt

MIN_TERMS, MAX_TERMS = 3, 5
MATCHES_PER_DRILL = 8
DRILL = "match"
# The paper's grain in a picture is anything up to this.
GRAIN = 0.2


@dataclass(frozen=True, slots=True)
class Transcript:
    """A prompt, a completion to learn, and what the box should hold if no sum were wrong.

    A drill has no box; of its completion only the Yes and No are learned.
    """

    kind: str
    prompt: str
    completion: str
    truth: str | None
    picture: DrawnSum | None = None

    @property
    def asked(self) -> Prompt:
        return Prompt(self.prompt, () if self.picture is None else (self.picture,))


@dataclass(frozen=True, slots=True)
class Working:
    """Steps such as "7+1=8; 8+5=13" and the value that they end at."""

    steps: str
    value: int

    @property
    def solution(self) -> str:
        return f"{self.steps} {_box(self.value)}"

    def shown(self, material: str) -> str:
        return self.solution if material == "working" else str(self.value)


class TranscriptWriter:
    """Draws transcripts; the same state of `rng` gives the same transcripts."""

    def __init__(self, rng: random.Random, arithmetic: Arithmetic, *, drawn: bool = False):
        self._rng = rng
        self._arithmetic = arithmetic
        self._drawn = drawn
        self._templates = prompts.load("terse")
        self._writers: dict[str, Callable[[list[int]], Transcript]] = {
            "solve": self._solve,
            "pointwise": self._pointwise,
            "pairwise": self._pairwise,
            "told_wrong": self._told_wrong,
            "verify_first": self._verify_first,
            DRILL: self._drill,
        }

    def draw(self, shares: Mapping[str, float]) -> Transcript:
        """A transcript of a kind drawn in proportion to `shares`."""
        (kind,) = self._rng.choices(list(shares), list(shares.values()))
        terms = self._terms()
        transcript = self._writers[kind](terms)
        if not self._drawn or kind == DRILL:
            return transcript
        seed, grain = str(self._rng.getrandbits(32)), self._rng.uniform(0.0, GRAIN)
        return replace(transcript, picture=DrawnSum(_text(terms), seed, grain))

    def _terms(self) -> list[int]:
        return [self._rng.randint(1, 9) for _ in range(self._rng.randint(MIN_TERMS, MAX_TERMS))]

    def _question(self, terms: list[int]) -> str:
        return QUESTION if self._drawn else _text(terms)

    def _own(self, terms: list[int]) -> Working:
        return self._work(terms, self._arithmetic.add)

    def _right(self, terms: list[int]) -> Working:
        return self._work(terms, lambda value, term, _: value + term)

    def _work(self, terms: list[int], add: Callable[[int, int, random.Random], int]) -> Working:
        value, steps = terms[0], []
        for term in terms[1:]:
            result = add(value, term, self._rng)
            steps.append(f"{value}+{term}={result}")
            value = result
        return Working("; ".join(steps), value)

    def _other_than(self, value: int, terms: list[int]) -> Working:
        """An own working that ends at another value."""
        while (working := self._own(terms)).value == value:
            pass
        return working

    def _wrong(self, terms: list[int]) -> Working:
        return self._other_than(sum(terms), self._misread(terms) if self._drawn else terms)

    def _misread(self, terms: list[int]) -> list[int]:
        """In half of the cases with one digit taken for another one."""
        read = list(terms)
        if self._rng.random() < 0.5:
            read[self._rng.randrange(len(terms))] = self._rng.randint(1, 9)
        return read

    def _right_or_wrong(self, terms: list[int]) -> Working:
        return self._right(terms) if self._rng.random() < 0.5 else self._wrong(terms)

    def _material(self) -> str:
        return self._rng.choice(("answer", "working"))

    def _solve(self, terms: list[int]) -> Transcript:
        prompt = prompts.fill(self._templates.solve, question=self._question(terms))
        return Transcript("solve", prompt, self._own(terms).solution, str(sum(terms)))

    def _pointwise(self, terms: list[int]) -> Transcript:
        form = self._rng.choice(list(self._templates.pointwise))
        yes, no = prompts.LABELS[form]
        shown = self._right_or_wrong(terms)
        prompt = prompts.fill(
            self._rng.choice(self._templates.pointwise[form]),
            question=self._question(terms),
            solution=shown.shown(self._material()),
            yes=yes,
            no=no,
        )
        own = self._own(terms)
        verdict = yes if own.value == shown.value else no
        completion = f"{own.steps}; {_match(own.value, shown.value)} {_box(verdict)}"
        truth = yes if shown.value == sum(terms) else no
        return Transcript("pointwise", prompt, completion, truth)

    def _pairwise(self, terms: list[int]) -> Transcript:
        pair = [self._right(terms), self._wrong(terms)]
        self._rng.shuffle(pair)
        values = [working.value for working in pair]
        labels = prompts.LABELS["pair"]
        material = self._material()
        prompt = prompts.fill(
            self._rng.choice(self._templates.pairwise),
            question=self._question(terms),
            solution_a=pair[0].shown(material),
            solution_b=pair[1].shown(material),
            a=labels[0],
            b=labels[1],
        )
        own = self._own(terms)
        matching = [
            label for label, value in zip(labels, values, strict=True) if value == own.value
        ]
        matches = "; ".join(_match(own.value, value) for value in values)
        completion = f"{own.steps}; {matches} {_box(self._rng.choice(matching or labels))}"
        return Transcript("pairwise", prompt, completion, labels[values.index(sum(terms))])

    def _told_wrong(self, terms: list[int]) -> Transcript:
        shown = self._wrong(terms)
        prompt = self._reflection("told_wrong", terms, shown)
        own = self._other_than(shown.value, terms)
        return Transcript("told_wrong", prompt, own.solution, str(sum(terms)))

    def _verify_first(self, terms: list[int]) -> Transcript:
        shown = self._right_or_wrong(terms)
        prompt = self._reflection("verify_first", terms, shown)
        own = self._own(terms)
        completion = f"{own.steps}; {_match(own.value, shown.value)} {_box(own.value)}"
        return Transcript("verify_first", prompt, completion, str(sum(terms)))

    def _reflection(self, form: str, terms: list[int], shown: Working) -> str:
        material = self._material()
        return prompts.fill(
            self._rng.choice(self._templates.reflect[form, material]),
            question=self._question(terms),
            solution=shown.shown(material),
        )

    def _drill(self, _: list[int]) -> Transcript:
        matches = []
        for _ in range(MATCHES_PER_DRILL):
            value = sum(self._terms())
            slip = 0 if self._rng.random() < 0.5 else self._rng.choice(SLIPS)
            matches.append(_match(value, value + slip))
        return Transcript(DRILL, "Match", "; ".join(matches), None)


def _text(terms: list[int]) -> str:
    return "+".join(map(str, terms))


def _box(content: object) -> str:
    return f"{BOX}{content}}}"


def _match(own: int, shown: int) -> str:
    return f"{own} ? {shown} {'Yes' if own == shown else 'No'}"
