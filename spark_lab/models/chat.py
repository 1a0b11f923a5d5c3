"""The conversation that wraps every prompt: questions, judge prompts and reflections alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spark_lab.errors import Problem, UserError
from spark_lab.schema import ModelConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from spark_lab.models.vision import Processing

# Put into a chat template to see what becomes of it.
_SYSTEM, _TEXT = "Mind the gap.", "How far is it?"


@dataclass(frozen=True, slots=True)
class Chat:
    """How a model is spoken to.

    `folded`: its template has no system role, so the system prompt begins the user's turn.
    `arguments`: further variables of the template. `opening`: what the template has already written
    of every completion, such as the tag that opens a thinking block; it belongs to the text that is
    graded and kept.
    """

    system_prompt: str | None = None
    folded: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)
    opening: str = ""

    @classmethod
    def of(cls, config: ModelConfig, processing: Processing) -> Chat:
        """Raises UserError where the chat template can't write a user's turn, or the place of its
        image in that of a model that sees images."""
        arguments = dict(config.chat_template_kwargs)
        asked = _rendered(processing, messages(_TEXT, None), arguments)
        folded = config.system_prompt is not None and not _has_system(processing, arguments)
        thought = asked.rpartition("<think>")
        opened = bool(thought[1]) and "</think>" not in thought[2]
        opening = thought[1] + thought[2] if opened else ""
        return cls(config.system_prompt, folded, arguments, opening)

    def messages(self, text: str) -> list[dict[str, str]]:
        if self.folded:
            return messages(f"{self.system_prompt}\n\n{text}", None)
        return messages(text, self.system_prompt)

    def encode(self, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each prompt, up to where the model goes on."""
        if not texts:
            return []
        return tokenizer.apply_chat_template(
            [self.messages(text) for text in texts],
            add_generation_prompt=True,
            return_dict=False,
            **self.arguments,
        )


def messages(text: str, system_prompt: str | None) -> list[dict[str, str]]:
    """One user turn, after the system prompt where there is one."""
    turns = [{"role": "system", "content": system_prompt}] if system_prompt else []
    return [*turns, {"role": "user", "content": text}]


def in_parts(turns: Sequence[Mapping[str, str]], images: int = 0) -> list[dict[str, Any]]:
    """Turns as models that see images take them: in the last one `images` places, then the text."""
    parts: list[dict[str, Any]] = [
        {"role": turn["role"], "content": [{"type": "text", "text": turn["content"]}]}
        for turn in turns
    ]
    parts[-1]["content"] = [{"type": "image"}] * images + parts[-1]["content"]
    return parts


def _rendered(
    processing: Processing, turns: list[dict[str, str]], arguments: dict[str, Any]
) -> str:
    from jinja2 import TemplateError

    from spark_lab.models.vision import image_marks

    where, fix = "model.chat_template", "model.chat_template=FILE with a Jinja chat template"
    marks = image_marks(processing)
    try:
        text = processing.apply_chat_template(
            in_parts(turns, images=1) if marks else turns,
            tokenize=False,
            add_generation_prompt=True,
            **arguments,
        )
    except (TemplateError, TypeError, ValueError) as error:
        got = f"{type(error).__name__}: {error}"
        expected = "a template that writes a user's turn"
        raise UserError(Problem(where, got, expected, fix)) from error
    if turns[-1]["content"] not in text:
        got = f"a template that writes {text!r} for {turns[-1]['content']!r}"
        raise UserError(Problem(where, got, "a template that writes the user's text", fix))
    if marks and sum(map(text.count, marks)) != 1:
        got = f"a template that writes {text!r} for an image and {turns[-1]['content']!r}"
        raise UserError(Problem(where, got, f"one place for an image ({' or '.join(marks)})", fix))
    return text


def _has_system(processing: Processing, arguments: dict[str, Any]) -> bool:
    """Some templates refuse a system turn, others leave it out."""
    try:
        return _SYSTEM in _rendered(processing, messages(_TEXT, _SYSTEM), arguments)
    except UserError:
        return False
