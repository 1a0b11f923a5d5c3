"""The nouns of SPARK, shared by every module: question, rollout, group, item, verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from PIL import Image


class Picture(Protocol):
    """A reference to an image: cheap to hold and to pickle, opened only when a window needs it.

    Equal ones, which have equal hashes, show the same.
    """

    def load(self) -> Image.Image:
        """The image in RGB. Raises UserError where it can't be opened any more."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hexadecimal digits that change with the image's content, found without decoding it."""
        ...


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked: a text, after the images that it is about."""

    text: str
    images: tuple[Picture, ...] = ()


def spoken(text: str) -> str:
    """A completion without its thinking block, as chat templates leave it out of what was said before:
    what follows the last ``</think>``, and nothing of a block that was never closed."""
    if "think>" not in text:
        return text
    return text.rpartition("</think>")[2].partition("<think>")[0].strip()


def cut_thinking(text: str) -> bool:
    """Whether the completion ended in its thinking block."""
    return "<think>" in text.rpartition("</think>")[2]


@dataclass(frozen=True, slots=True)
class Question:
    """A question with a verifiable answer, or None where the learner may not know it.

    `index` is its row in the task's split. `images` come before the text. What is recycled from its
    rollouts holds none: it finds them by the index.
    """

    index: int
    text: str
    answer: str | None
    images: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the grader says of one completion: `answer` is None where none could be parsed.

    `flipped` says that a noisy verifier turned the true verdict round.
    """

    reward: float
    answer: str | None
    flipped: bool = False

    @property
    def correct(self) -> bool:
        return self.reward == 1.0

    @property
    def parsed(self) -> bool:
        return self.answer is not None


@dataclass(frozen=True, slots=True)
class Rollout:
    """One completion of a question and its verdict."""

    text: str
    verdict: Verdict

    def showable(self, material: str) -> bool:
        """Whether there is anything to show: an answer that was never parsed can't be judged."""
        return bool(spoken(self.text).strip()) if material == "working" else self.verdict.parsed

    def shown(self, material: str) -> str:
        """The solution as a judge sees it: the whole "working" or the final "answer" alone."""
        if material == "working":
            return spoken(self.text)
        assert self.verdict.answer is not None, "only showable rollouts are recycled"
        return self.verdict.answer


@dataclass(frozen=True, slots=True)
class Group:
    """The G rollouts of one question that GRPO normalises together."""

    question: Question
    rollouts: tuple[Rollout, ...]

    @property
    def right(self) -> list[Rollout]:
        return [rollout for rollout in self.rollouts if rollout.verdict.correct]

    @property
    def wrong(self) -> list[Rollout]:
        return [rollout for rollout in self.rollouts if not rollout.verdict.correct]

    @property
    def accuracy(self) -> float:
        """The share of right rollouts, 0 to 1: low for a hard question."""
        return len(self.right) / len(self.rollouts)


@dataclass(frozen=True, slots=True)
class Item:
    """A rollout (or a pair) recycled into a judge or reflection prompt.

    `label` is the expected verdict ("Yes", "B", ...) or, for reflection, the question's answer.
    `window` is the window whose rollouts it was made of; its age is counted from there. `accuracy`
    is the share of right ones among the group it comes from. `chained` says that its source was a
    reflection itself.
    """

    objective: str
    form: str
    material: str
    prompt: str
    label: str
    question: int
    window: int
    source_correct: bool | None
    accuracy: float = 0.0
    chained: bool = False
