r"""The one extractor and the one verifier of answers and verdicts.

Solving, judging, reflecting, recycling and evaluating all read a completion through this package, so
the answer that was graded is the answer that is shown to a judge, and its label is what the verifier
said of that very string. Where this differs from the paper's reference code (its `new_data_gen.py`
recycles, its `math_verify_2.py` verifies):

- The reference recycles the first ``\boxed{...}`` and verifies everything from the first box to the
  last brace; a right answer boxed twice reads as a set, earns 0 and is recycled as a wrong one. Here
  the last complete box counts, for both.
- The reference recycles the rest of the text as the answer of a box that never closes, as happens to
  completions cut off by the length limit. Here such a box is no answer.
- The reference compares multiple choices and verdicts literally: ``(A)``, ``A. 97``, ``yes`` and
  ``Yes.`` earn 0 and become label noise. Here they are read (`read_verdict`, kind "exact").
- In the reference a completion without an answer ends in an exception that is swallowed, or (in the
  older generator) is replaced by a random wrong answer. Here its answer is None and its reward 0; it
  is counted as a parse failure and never shown to a judge as an answer.
- The reference's judge prompts ask for ``\box{...}``, which its verifier doesn't read. Here templates
  that ask for anything but ``\boxed{...}`` are refused (`spark_lab.prompts.check`), and only
  ``\boxed`` is read.
- In the reference math-verify is limited by a signal that works in the main thread only. Here it
  runs in a helper process with a budget of processor time (`answers.helper`).
- A box inside a thinking block (``<think>``) is no answer here, and judges and reflections are shown
  what follows the block; the reference reads and shows it like any other text.

Completions are data: no text whatever makes a function of this package raise. (A math-verify that
can't be imported does, and so does a verifier of the user's own that raises: UserError.) Measured on an idle 2-core virtual machine: 1 MB of braces is
read in 0.2 s; an exact or numeric comparison takes 5 to 80 microseconds, one that needs math-verify
typically 2 to 20 ms, and one that math-verify can't finish is ended, as wrong, after 0.4 s of
processor time (or 60 s of wall time, where the machine gives it no processor).
"""

from __future__ import annotations

from spark_lab.answers.extraction import extract_boxed, read_verdict
from spark_lab.answers.verifiers import VERIFIERS, alike, check, fingerprint, unfit, verify
from spark_lab.records import Verdict

__all__ = [
    "VERIFIERS",
    "alike",
    "check",
    "extract_boxed",
    "fingerprint",
    "grade_answer",
    "grade_verdict",
    "read_verdict",
    "unfit",
    "verify",
]


def grade_answer(verifier: str, text: str, gold: str) -> Verdict:
    """Reward 1 if the boxed answer of `text` equals `gold` by that verifier, else 0."""
    answer = extract_boxed(text)
    return Verdict(float(verify(verifier, answer, gold)), answer)


def grade_verdict(text: str, labels: tuple[str, str], gold: str) -> Verdict:
    """Reward 1 if the boxed verdict of `text` is the label `gold`, else 0."""
    verdict = read_verdict(text, labels)
    return Verdict(float(verdict == gold), verdict)
