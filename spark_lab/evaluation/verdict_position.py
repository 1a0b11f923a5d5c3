r"""Where in a completion's tokens its verdict begins, whatever the tokenizer merges.

``\boxed{Yes}`` may be ``\boxed{`` + ``Yes`` + ``}`` for one tokenizer and ``\boxed`` + ``{A`` + ``}``
for another, so the two labels are compared where the encodings of "the same text with the one
label" and "with the other" part.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from spark_lab.answers import extract_boxed, read_verdict


@dataclass(frozen=True, slots=True)
class VerdictPosition:
    """`prefix`: the completion's tokens before the verdict; `tokens`: how either label goes on."""

    prefix: tuple[int, ...]
    tokens: tuple[int, int]


def locate_verdict(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], labels: tuple[str, str]
) -> VerdictPosition | None:
    """None where there is no verdict, or where it isn't spelled as the tokenizer would spell it."""
    text = tokenizer.decode(ids, skip_special_tokens=True)
    span = _label_span(text, labels)
    if span is None:
        return None
    written = text[slice(*span)]
    texts = [text[: span[0]] + _like(label, written, labels) + text[span[1] :] for label in labels]
    first, second = tokenizer(texts, add_special_tokens=False)["input_ids"]
    pairs = enumerate(zip(first, second, strict=False))
    parting = next((i for i, (one, other) in pairs if one != other), None)
    if parting is None:
        return None
    tokens = (first[parting], second[parting])
    start = _matching_length(tokenizer, ids, first[:parting])
    if start is None or start == len(ids) or ids[start] not in tokens:
        return None
    return VerdictPosition(tuple(ids[:start]), tokens)


def _label_span(text: str, labels: tuple[str, str]) -> tuple[int, int] | None:
    """Start and end of the verdict's label in the last box of the text."""
    verdict = read_verdict(text, labels)
    if verdict is None:
        return None
    content = extract_boxed(text)
    boxes = list(re.finditer(rf"\\boxed\s*\{{\s*({re.escape(content)})\s*\}}", text))
    label = re.compile(rf"(?<![^\W_]){re.escape(verdict)}(?![^\W_])", re.IGNORECASE)
    # A verdict that was only read after normalisation (full-width letters) is not found here.
    match = label.search(text, *boxes[-1].span(1)) if boxes else None
    return match.span() if match else None


def _like(label: str, written: str, labels: tuple[str, str]) -> str:
    """The label in the case in which the verdict was written."""
    if written in labels:
        return label
    return label.lower() if written.islower() else label.upper() if written.isupper() else label


def _matching_length(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], prefix: Sequence[int]
) -> int | None:
    """How many of `ids` spell what `prefix` spells; None if no number of them does."""
    if list(ids[: len(prefix)]) == list(prefix):
        return len(prefix)

    def decode(tokens: Sequence[int]) -> str:
        return tokenizer.decode(tokens, skip_special_tokens=True)

    target = decode(prefix)
    counts = range(len(ids) + 1)
    length = bisect_right(counts, len(target), key=lambda n: len(decode(ids[:n]))) - 1
    return length if decode(ids[:length]) == target else None
