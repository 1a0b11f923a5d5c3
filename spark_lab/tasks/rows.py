r"""One row of a data set as a question with a true answer, or what is wrong with it.

Field names may reach inside: "reward_model.ground_truth". Forms of the two fields:

| question_form | the field holds |
|---|---|
| text | the question |
| chat | messages, or their JSON: the text of the last user message is the question |

| answer_form | the field holds |
|---|---|
| plain | the answer: text or a number |
| boxed | working whose last \boxed{...} is the answer (MATH) |
| hashes | working, then #### and the answer (GSM8K) |
| index | which of the options is right, counted from 0 (MMLU) |

With options the question ends with them, one a line, and the true answer is "B. its text": the
verifier "choice" accepts the letter as well as the text.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spark_lab import answers
from spark_lab.errors import Problem
from spark_lab.records import Question
from spark_lab.tasks.reading import Row

# Where data sets put pictures, which text models can't see.
IMAGES = ("image", "images", "image_path")
_BARE_BOX = re.compile(r"\\(?:boxed|fbox)\s+([^\s${}]+)|\\fbox\s*\{([^{}]+)\}")
_LOOSE_END = " \t\n.'\"`"


@dataclass(frozen=True)
class Layout:
    """Which fields of a row hold what, and in which form; `section` is where that is configured.

    `instruction` is taken off the end of a question; `verifier` is what true answers must pass.
    """

    question_field: str
    question_form: str
    answer_field: str
    answer_form: str
    choices_field: str | None
    instruction: str | None
    verifier: str
    section: str = "task.data"

    @property
    def fields(self) -> frozenset[str]:
        """The columns to read."""
        named = (self.question_field, self.answer_field, self.choices_field or "")
        return frozenset({*named, *(name.split(".")[0] for name in named), *IMAGES}) - {""}


class _Bad(Exception):
    """(field, got, expected) of a row that can't be used."""


def question_of(row: Row, where: str, index: int, layout: Layout) -> Question | Problem:
    try:
        text = _question(row, layout)
        options = None
        if layout.choices_field is not None:
            options = _options(_get(row, layout.choices_field), layout.choices_field)
        answer = _answer(row, options, layout)
    except _Bad as bad:
        key, got, expected = bad.args
        fix = f"{layout.section}.{key}, or correct the row" if key else "leave it out"
        return Problem(where, got[:160], expected, fix)
    if options is not None:
        text = "\n".join([text, "", *(f"{letter}. {option}" for letter, option in options.items())])
    why = answers.unfit(layout.verifier, answer)
    if why is not None:
        got = f"{layout.answer_field}={answer[:60]!r}: {why}"
        fix = "another task.verifier, or correct the row"
        return Problem(where, got, f"an answer that the verifier {layout.verifier} reads", fix)
    return Question(index, text, answer)


def _get(row: Row, field: str) -> Any:
    if field in row:
        return row[field]
    value: Any = row
    for name in field.split("."):
        if not isinstance(value, dict) or name not in value:
            raise KeyError(field)
        value = value[name]
    return value


def _text(row: Row, key: str, field: str) -> str:
    try:
        value = _get(row, field)
    except KeyError:
        value, shown = None, "nothing"
    else:
        shown = repr(value)
    if not _usable(value):
        got = f"{field}={shown[:60]}; its fields: {', '.join(map(repr, row))}"
        raise _Bad(f"{key}=FIELD", got, f"text or a number in the field {field!r}")
    return str(value)


def _usable(value: object) -> bool:
    """A number, or text that has content and is no half of a surrogate pair."""
    if isinstance(value, bool):
        return False
    if isinstance(value, int | float):
        return value == value and abs(value) != float("inf")
    return (
        isinstance(value, str)
        and bool(value.strip())
        and not any("\ud800" <= character <= "\udfff" for character in value)
    )


def _question(row: Row, layout: Layout) -> str:
    if any(_filled(row.get(name)) for name in IMAGES):
        raise _Bad("", "a question with an image", "text alone: this model sees no images")
    if layout.question_form == "chat":
        text = _last_user_text(row, layout.question_field)
    else:
        text = _text(row, "question_field", layout.question_field)
    if layout.instruction is not None:
        end = layout.instruction.strip(_LOOSE_END)
        cut = text.rstrip(_LOOSE_END)
        if cut.endswith(end):
            text = cut.removesuffix(end).rstrip()
    if not text.strip():
        raise _Bad("question_field=FIELD", "an empty question", "a question with text")
    return text


def _filled(value: object) -> bool:
    return value is not None and value != "" and value != []


def _last_user_text(row: Row, field: str) -> str:
    expected = f"messages with role and content in the field {field!r}"
    try:
        found = _get(row, field)
        messages = json.loads(found) if isinstance(found, str) else found
        content = [one["content"] for one in messages if one["role"] == "user"][-1]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        kinds = {part["type"] for part in parts}
        texts = [part["text"] for part in parts if part["type"] == "text"]
        text = "\n".join(texts).strip()
    except (KeyError, IndexError, TypeError, ValueError, RecursionError):
        got = f"{field}={row.get(field)!r}"
        raise _Bad("question_field=FIELD", got, expected) from None
    if kinds - {"text"}:
        got = f"a question with {', '.join(sorted(map(str, kinds - {'text'})))}"
        raise _Bad("", got, "text alone: this model sees no images")
    if not _usable(text):
        raise _Bad("question_field=FIELD", f"{field}={found!r}", expected)
    return text


def _options(found: Any, field: str) -> dict[str, str]:
    """Letter and text of each option, from a list, letters with texts, or the JSON of either."""
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except (ValueError, RecursionError):
            found = None
    if isinstance(found, dict):
        texts = list(found.values())
        if [str(key).upper() for key in found] != list(string.ascii_uppercase[: len(texts)]):
            found = None
    else:
        texts = found if isinstance(found, list) else []
    if found is None or not 2 <= len(texts) <= 26 or not all(map(_usable, texts)):
        expected = f"a list of 2 to 26 options in the field {field!r}"
        raise _Bad("choices_field=FIELD", f"{field}={found!r}", expected)
    return dict(zip(string.ascii_uppercase, map(_one_line, texts), strict=False))


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def _answer(row: Row, options: dict[str, str] | None, layout: Layout) -> str:
    field = layout.answer_field
    text = _text(row, "answer_field", field)
    found = _FORMS[layout.answer_form](text)
    if found is None or not found.strip():
        expected = f"an answer in the form {layout.answer_form!r}"
        raise _Bad("answer_form=plain", f"{field}={text[-60:]!r}", expected)
    if options is None:
        return found
    letter = _chosen(found, options, by_index=layout.answer_form == "index")
    if letter is None:
        expected = f"one of the {len(options)} options ({', '.join(options)})"
        raise _Bad("answer_field=FIELD", f"{field}={found[:60]!r}", expected)
    return f"{letter}. {options[letter]}"


def _chosen(answer: str, options: dict[str, str], by_index: bool) -> str | None:
    if by_index:
        place = int(answer) if answer.isdecimal() else -1
        return list(options)[place] if 0 <= place < len(options) else None
    letters = [letter for letter in options if answers.verify("choice", answer, letter)]
    if letters:
        return letters[0]
    same = [letter for letter, text in options.items() if text == _one_line(answer)]
    return same[0] if len(same) == 1 else None


def _boxed(text: str) -> str | None:
    found = answers.extract_boxed(text)
    if found is not None:
        return found
    bare = [one[1] or one[2] for one in _BARE_BOX.finditer(text)]
    return bare[-1].strip(".,") if bare else None


def _hashes(text: str) -> str | None:
    _, marks, answer = text.rpartition("####")
    return answer.strip() if marks else None


_FORMS: dict[str, Callable[[str], str | None]] = {
    "plain": str,
    "boxed": _boxed,
    "hashes": _hashes,
    "index": str,
}
