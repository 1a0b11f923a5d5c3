"""Prints questions of a reasoning-gym generator, one JSON object a line.

    python gym_questions.py '{"name": "countdown", "seed": 0, "size": 40}' 10

Run as a program of its own with PYTHONHASHSEED=0, as some generators draw from sets, whose order is
another one in every process otherwise. Each line has the number of the question within the generator,
its text, its stored answer (null where many are right), and whether its own scorer is fit: it accepts
that and rejects nonsense.
Questions whose text has come before are left out, so fewer may come than were asked for.
"""

from __future__ import annotations

import json
import sys


def main(generator: str, wanted: int) -> None:
    lines, sys.stdout = sys.stdout, sys.stderr  # some generators print
    import reasoning_gym

    settings = json.loads(generator)
    dataset = reasoning_gym.create_dataset(settings.pop("name"), **settings)
    seen: set[str] = set()
    for number in range(settings["size"]):
        if len(seen) == wanted:
            return
        entry = dataset[number]
        text, answer = entry["question"], entry["answer"]
        if text not in seen:
            seen.add(text)
            fit = answer is None or dataset.score_answer(answer, entry) >= 1.0
            fit = fit and dataset.score_answer("surely no answer", entry) < 1.0
            row = {"number": number, "question": text, "answer": answer, "fit": bool(fit)}
            print(json.dumps(row), file=lines)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
