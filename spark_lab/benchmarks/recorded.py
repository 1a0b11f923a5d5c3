"""Completions that are kept as they come, so that an evaluation that was killed goes on where it was.

A measurement is a fixed program of calls: every call is answered in blocks, each block is written to a
file of its own, and what is there already is read instead of generated. Blocks have seeds of their own,
so that going on gives the very completions that never having stopped would have given.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from spark_lab.durable import write_text
from spark_lab.evaluation.generation import Completer, Completion
from spark_lab.records import Prompt

# Between the seeds of neighbouring blocks; seeds of neighbouring calls differ by one.
_SEEDS_APART = 7_919


class Recorded:
    """A Completer over `folder`. `load` gives the model, once something has to be generated.

    `block`: sequences to a file, so what can be lost. `told` hears of every block how many
    completions there are by now.
    """

    def __init__(
        self,
        load: Callable[[], Completer],
        folder: Path,
        block: int,
        told: Callable[[int], None] = lambda done: None,
    ):
        self._load = load
        self._folder = folder
        self._block = block
        self._told = told
        self._calls = 0
        self._done = 0
        self.tokens = 0

    def complete(
        self, prompts: list[Prompt], *, samples: int = 1, temperature: float = 0.0, seed: int = 0
    ) -> list[list[Completion]]:
        """As the model's own; equal prompts of one block are decoded greedily once."""
        size = max(1, self._block // samples)
        call, self._calls = self._calls, self._calls + 1
        found: list[list[Completion]] = []
        for number, start in enumerate(range(0, len(prompts), size)):
            part = prompts[start : start + size]
            settings = {"samples": samples, "temperature": temperature}
            settings["seed"] = seed + _SEEDS_APART * number
            identity = json.dumps([list(map(_told, part)), settings])
            name = hashlib.sha256(identity.encode()).hexdigest()[:12]
            path = self._folder / f"{call:03d}-{number:05d}-{name}.json"
            found += self._read(path) if path.exists() else self._write(path, part, settings)
            self._done += len(part) * samples
            self._told(self._done)
        return found

    def verdict_probabilities(
        self, prompts: list[Prompt], completions: list[Completion], labels: tuple[str, str]
    ) -> list[float | None]:
        """Not recorded: one forward pass each."""
        return self._load().verdict_probabilities(prompts, completions, labels)

    def forget(self) -> None:
        """Removes the files, once what was made of them is safe."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self, path: Path) -> list[list[Completion]]:
        found = [
            [Completion(**one | {"ids": tuple(one["ids"])}) for one in completions]
            for completions in json.loads(path.read_text(encoding="utf-8"))
        ]
        return self._counted(found)

    def _write(self, path: Path, prompts: list[Prompt], settings: dict) -> list[list[Completion]]:
        found = self._load().complete(prompts, **settings)
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [[asdict(one) for one in completions] for completions in found]
        write_text(path, json.dumps(rows))
        return self._counted(found)

    def _counted(self, found: list[list[Completion]]) -> list[list[Completion]]:
        self.tokens += sum(one.tokens for completions in found for one in completions)
        return found


def _told(prompt: Prompt) -> list[str]:
    """What tells a prompt from others."""
    return [prompt.text, *(picture.fingerprint for picture in prompt.images)]
