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

Images are a field of their own (`row_images`), or parts of the chat messages where the same field is
named for both. With options the question ends with them, one a line, and the true answer is "B. its text": the
verifier "choice" accepts the letter as well as the text.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spark_lab import answers
from spark_lab.errors import Problem
from spark_lab.records import Picture, Question
from spark_lab.tasks import row_images
from spark_lab.tasks.fields import Bad, filled, get, text_of, usable
from spark_lab.tasks.reading import Row

_BARE_BOX = re.compile(r"\\(?:boxed|fbox)\s+([^\s${}]+)|\\fbox\s*\{([^{}]+)\}")
_LOOSE_END = " \t\n.'\"`"


@dataclass(frozen=True)
class Layout:
    """Which fields of a row hold what, and in which form; `section` is where that is configured.

    `instruction` is taken off the end of a question; `verifier` is what true answers must pass.
    Without `images_field` a row with an image can't be used; `images_folder` is where relative paths
    of images start.
    """

    question_field: str
    question_form: str
    answer_field: str
    answer_form: str
    choices_field: str | None
    instruction: str | None
    verifier: str
    section: str = "task.data"
    images_field: str | None = None
    images_folder: Path | None = None

    @property
    def fields(self) -> frozenset[str]:
        """The columns to read."""
        optional = (self.choices_field or "", self.images_field or "")
        named = (self.question_field, self.answer_field, *optional)
        usual = () if self.images_field else row_images.USUAL
        return frozenset({*named, *(name.split(".")[0] for name in named), *usual}) - {""}


def question_of(row: Row, where: str, index: int, layout: Layout) -> Question | Problem:
    try:
        text, pictures = _question(row, layout)
        options = None
        if layout.choices_field is not None:
            options = _options(get(row, layout.choices_field), layout.choices_field)
        answer = _answer(row, options, layout)
    except Bad as bad:
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
    return Question(index, text, answer, pictures)


def _question(row: Row, layout: Layout) -> tuple[str, tuple[Picture, ...]]:
    held: list[Any] = []
    if layout.question_form == "chat":
        text, held = _last_user_message(row, layout.question_field)
    else:
        text = text_of(row, "question_field", layout.question_field)
    pictures = _pictures(row, held, layout)
    if layout.instruction is not None:
        end = layout.instruction.strip(_LOOSE_END)
        cut = text.rstrip(_LOOSE_END)
        if cut.endswith(end):
            text = cut.removesuffix(end).rstrip()
    if pictures:
        text = row_images.without_placeholders(text, len(pictures))
    if not text.strip():
        raise Bad("question_field=FIELD", "an empty question", "a question with text")
    return text, pictures


def _pictures(row: Row, in_message: list[Any], layout: Layout) -> tuple[Picture, ...]:
    field = layout.images_field
    if field is None:
        usual = [name for name in row_images.USUAL if filled(row.get(name))]
        if in_message or usual:
            where = usual[0] if usual else layout.question_field
            expected = "text alone while images_field=null"
            raise Bad(f"images_field={where}", f"a question with an image in {where!r}", expected)
        return ()
    if field == layout.question_field and layout.question_form == "chat":
        return row_images.pictures_of(in_message, layout.images_folder, field)
    if in_message:
        got = f"images in {layout.question_field!r}, beside the field {field!r}"
        raise Bad(f"images_field={layout.question_field}", got, "images in one place")
    try:
        found = get(row, field)
    except KeyError:
        got = f"no {field!r}; its fields: {', '.join(map(repr, row))}"
        raise Bad(
            "images_field=FIELD", got, "a field with images, empty where there are none"
        ) from None
    return row_images.pictures_of(found, layout.images_folder, field)


def _last_user_message(row: Row, field: str) -> tuple[str, list[Any]]:
    """Its text, and what its image parts hold; a bare image part says only where an image stands."""
    expected = f"messages with role and content in the field {field!r}"
    try:
        found = get(row, field)
        messages = json.loads(found) if isinstance(found, str) else found
        content = [one["content"] for one in messages if one["role"] == "user"][-1]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        strange = {str(part["type"]) for part in parts} - {"text", *row_images.PARTS}
        texts = [part["text"] for part in parts if part["type"] == "text"]
        held = row_images.in_messages(parts)
        text = "\n".join(texts).strip()
    except (KeyError, IndexError, TypeError, ValueError, RecursionError):
        got = f"{field}={row.get(field)!r}"
        raise Bad("question_field=FIELD", got, expected) from None
    if strange:
        got = f"a question with {', '.join(sorted(strange))}"
        raise Bad("", got, "text and images")
    if not usable(text):
        raise Bad("question_field=FIELD", f"{field}={found!r}", expected)
    return text, held


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
    if found is None or not 2 <= len(texts) <= 26 or not all(map(usable, texts)):
        expected = f"a list of 2 to 26 options in the field {field!r}"
        raise Bad("choices_field=FIELD", f"{field}={found!r}", expected)
    return dict(zip(string.ascii_uppercase, map(_one_line, texts), strict=False))


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def _answer(row: Row, options: dict[str, str] | None, layout: Layout) -> str:
    field = layout.answer_field
    text = text_of(row, "answer_field", field)
    found = _FORMS[layout.answer_form](text)
    if found is None or not found.strip():
        expected = f"an answer in the form {layout.answer_form!r}"
        raise Bad("answer_form=plain", f"{field}={text[-60:]!r}", expected)
    if options is None:
        return found
    letter = _chosen(found, options, by_index=layout.answer_form == "index")
    if letter is None:
        expected = f"one of the {len(options)} options ({', '.join(options)})"
        raise Bad("answer_field=FIELD", f"{field}={found[:60]!r}", expected)
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
