"""The order in which training questions are met: the same in every arm of a comparison."""

from __future__ import annotations

from typing import Any

import torch


class PromptStream:
    """Question indices, epoch by epoch, in exactly the order of TRL's RepeatSampler.

    It advances only when a question is asked, so the i-th question asked is the same one with and
    without judge windows in between. As in TRL, an epoch's last partial window is left out.
    """

    def __init__(self, questions: int, per_window: int, seed: int):
        self._questions = questions
        self._usable = questions - questions % per_window
        self._generator = torch.Generator().manual_seed(seed)
        self._seed = seed
        self._epoch = 0
        self._position = 0
        self._order = self._shuffle()

    def _shuffle(self) -> list[int]:
        order = torch.randperm(self._questions, generator=self._generator).tolist()
        return order[: self._usable]

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

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._generator.manual_seed(self._seed)
        self._epoch = state["epoch"]
        for _ in range(self._epoch + 1):
            self._order = self._shuffle()
        self._position = state["position"]
