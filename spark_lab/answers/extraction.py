r"""Where the final answer of a completion is: the last complete ``\boxed{...}``.

One extractor serves grading and recycling, so the answer that earned the reward is the answer that
a judge is shown. The rules:

- Of all complete boxes the one that opens last counts (so the inner one of nested boxes), however
  many there are.
- A box that never closes counts for nothing, but an earlier complete box still does. A completion
  cut off by the length limit inside its only box has no answer.
- Empty boxes are skipped: "put it in \boxed{}" is a remark and no answer.
- ``\boxed {4}`` and ``\\boxed{4}`` (an escaped backslash) are read; ``\box``, ``\fbox`` and
  ``\boxed 4`` are not. Escaped braces ``\{ \}`` don't nest.
- A thinking block is no answer: after the last ``</think>`` only what follows it counts, and from a
  ``<think>`` that is never closed nothing counts. (Where the chat template opens the block, that tag
  is put before the completion: `spark_lab.models.chat`.)
"""

from __future__ import annotations

import re
import unicodedata

from spark_lab.records import spoken

# A box opens, an escaped character (unless it is the backslash of \\boxed), or a plain brace.
_TOKEN = re.compile(r"(\\boxed\s*\{)|\\(?:[^\\]|\\(?!boxed))|[{}]", re.DOTALL)
_WRAPPER = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt|sc|normal)?|math(?:bf|it|rm|sf|tt|bb|cal)|mbox|emph|operatorname"
    r"|boldsymbol|bf|rm)\s*\{([^{}]*)\}"
)
_AROUND = " \"'`\u201c\u201d\u2018\u2019\u00ab\u00bb*_$()[]{}<>\\"
_LONGEST_VERDICT = 200


def extract_boxed(text: str) -> str | None:
    r"""The content of the last complete, non-empty ``\boxed{...}``, stripped; None without one.

    Linear in the length of the text, whatever it is.
    """
    text = spoken(text)
    first_box = text.find(r"\boxed")
    if first_box < 0:
        return None
    open_braces: list[int] = []  # where a box's content starts, or -1 for a plain brace
    last_start, answer = -1, None
    for token in _TOKEN.finditer(text, first_box):
        if token[1]:
            open_braces.append(token.end())
        elif token[0] == "{":
            open_braces.append(-1)
        elif token[0] == "}" and open_braces:
            start = open_braces.pop()
            if start > last_start:
                content = text[start : token.start()].strip()
                if content:
                    last_start, answer = start, content
    return answer


def unwrap(text: str) -> str:
    r"""Without ``\text{...}``, ``\mathrm{...}`` and their like, at most three deep."""
    for _ in range(3):
        text, count = _WRAPPER.subn(r"\1", text)
        if not count:
            break
    return text


def visible(text: str) -> str:
    """Without control and format characters (NUL, byte-order and direction marks), which become
    spaces or nothing, and with the whitespace collapsed."""
    if text.isprintable():
        return " ".join(text.split())
    kept = (
        " " if unicodedata.category(char) == "Cc" else char
        for char in text
        if unicodedata.category(char) != "Cf"
    )
    return " ".join("".join(kept).split())


def read_verdict(text: str, labels: tuple[str, str]) -> str | None:
    r"""The label in the last box, or None.

    Read as "A": ``A``, ``a``, ``A.``, ``(A)``, ``"A"``, ``\text{A}``, ``Answer A``, ``A: the first``.
    Not read: the label amid other words, and both labels at once (``A or B``, ``Yes, No``).
    """
    boxed = extract_boxed(text)
    if boxed is None or len(boxed) > _LONGEST_VERDICT:
        return None
    content = unwrap(visible(unicodedata.normalize("NFKC", boxed))).strip(_AROUND)
    for label, other in (labels, labels[::-1]):
        match = re.match(
            rf"(?:(?:the )?(?:answer|option|solution|response|verdict)(?: is)?:? )?[(\[\"'*]*"
            rf"{re.escape(label)}(?:$|[\"'*]*\s*[.,:;!)\]\u2013\u2014-](.*))",
            content,
            re.IGNORECASE,
        )
        if match:
            case = 0 if len(other) == 1 else re.IGNORECASE
            both = re.search(rf"\b{re.escape(other)}\b", match[1] or "", case)
            return None if both else label
    return None
