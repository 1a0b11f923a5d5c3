"""The order in which training questions are met: the same in every arm of a comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch


class PromptStream:
    """Question indices, epoch by epoch, in exactly the order of TRL's RepeatSampler.

    `questions` are the indices to draw from.

    It advances only when a question is asked, so the i-th question asked is the same one with and
    without judge windows in between. As in TRL, an epoch's last partial window is left out.
    """

    def __init__(self, questions: Sequence[int], per_window: int, seed: int):
        self._questions = questions
        self._usable = len(questions) - len(questions) % per_window
        self._generator = torch.Generator().manual_seed(seed)
        self._seed = seed
        self._epoch = 0
        self._position = 0
        self._order = self._shuffle()

    def _shuffle(self) -> list[int]:
        order = torch.randperm(len(self._questions), generator=self._generator).tolist()
        return [self._questions[place] for place in order[: self._usable]]

    def take(self, count: int) -> list[int]:
        taken: list[int] = []
        while len(taken) < count:
            if self._position == self._usable:
                self._epoch, self._position, self._order = self._epoch + 1, 0, self._shuffle()
            step = self._order[self._position : self._position + count - len(taken)]
            self._position += len(step)
            taken += step
        return taken

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self._epoch, "position": self._position}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._generator.manual_seed(self._seed)
        self._epoch = state["epoch"]
        for _ in range(self._epoch + 1):
            self._order = self._shuffle()
        self._position = state["position"]


class AnchoredStream:
    """A stream in which at least `share` of the questions taken at once are labelled ones.

    Where fewer come by themselves, the last unlabelled ones give way to the next of the `labelled`,
    which have an order of their own: the other questions are those of the stream without an anchor.
    """

    def __init__(self, stream: PromptStream, labelled: Sequence[int], share: float, seed: int):
        self._stream = stream
        self._labelled = frozenset(labelled)
        self._share = share
        self._anchors = PromptStream(labelled, 1, seed)

    def take(self, count: int) -> list[int]:
        taken = self._stream.take(count)
        loose = [place for place, one in enumerate(taken) if one not in self._labelled]
        missing = math.ceil(self._share * count) - (count - len(loose))
        if missing > 0:
            anchors = self._anchors.take(missing)
            for place, anchor in zip(loose[-missing:], anchors, strict=True):
                taken[place] = anchor
        return taken

    def state_dict(self) -> dict[str, Any]:
        return {"stream": self._stream.state_dict(), "anchors": self._anchors.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._stream.load_state_dict(state["stream"])
        self._anchors.load_state_dict(state["anchors"])
