"""From prompts to what a model takes: the tokens of a chat, and what a processor makes of images.

Every prompt is processed by itself, so that what it becomes depends on no other prompt. Within a call
an image is decoded once and processed once, in however many prompts it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn
from transformers import BatchFeature, ProcessorMixin

from spark_lab.errors import UserError
from spark_lab.models.chat import Chat, in_parts
from spark_lab.models.folder import text_alone
from spark_lab.models.images import PER_TOKEN, Inputs, inputs_of
from spark_lab.models.vision import Processing, image_marks, tokenizer_of
from spark_lab.records import Picture, Prompt

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, eq=False, slots=True)
class Encoded:
    """A prompt's tokens, and its images as the model takes them (see `models.images`)."""

    prompt: Prompt
    ids: list[int]
    images: Inputs | None = None

    def then(self, tokens: Sequence[int]) -> Encoded:
        """The same prompt with `tokens` written after it."""
        images = self.images and {
            key: nn.functional.pad(value, (0, len(tokens))) if key in PER_TOKEN else value
            for key, value in self.images.items()
        }
        return Encoded(self.prompt, [*self.ids, *tokens], images)


class Encoder:
    """Encodes prompts for one model. `max_pixels`: larger images are scaled down to so many.

    How many tokens the images of a question take is remembered, never the images.
    """

    def __init__(
        self,
        processing: Processing,
        chat: Chat | None = None,
        *,
        max_pixels: int | None = None,
    ):
        self._processing = processing
        self._tokenizer = tokenizer_of(processing)
        self.chat = chat or Chat()
        self._max_pixels = max_pixels
        self._marks = image_marks(processing)
        self._taken: dict[tuple[Picture, ...], int] = {}

    @property
    def sees_images(self) -> bool:
        return isinstance(self._processing, ProcessorMixin)

    def messages(self, prompt: Prompt) -> list[dict[str, Any]]:
        """The conversation of a prompt, with the places of its images."""
        if not self.sees_images:
            return self.chat.messages(prompt.text)
        text = prompt.text
        for mark in self._marks:  # what a model or a user wrote is never a place for an image
            text = text.replace(mark, f"{mark[0]} {mark[1:]}")
        return in_parts(self.chat.messages(text), len(prompt.images))

    def __call__(
        self, prompts: Sequence[Prompt], alone: Sequence[list[int]] | None = None
    ) -> list[Encoded]:
        """`alone`: their `text_ids`, where they are known. Raises UserError where an image can't be
        decoded."""
        if alone is None:
            alone = self.text_ids(prompts)
        pictured = sum(bool(prompt.images) for prompt in prompts)
        if pictured and not self.sees_images:
            raise UserError(text_alone("this model", pictured))
        if not pictured:
            return [Encoded(*pair) for pair in zip(prompts, alone, strict=True)]
        decoded: dict[Picture, Image.Image] = {}
        found = []
        with self._processing_once():
            for prompt, ids in zip(prompts, alone, strict=True):
                for picture in prompt.images:
                    if picture not in decoded:
                        decoded[picture] = self._scaled(picture.load())
                images = [decoded[picture] for picture in prompt.images]
                found.append(self._process(prompt, images) if images else Encoded(prompt, ids))
                self._taken[prompt.images] = len(found[-1].ids) - len(ids)
        return found

    def length(self, prompt: Prompt) -> int:
        """Its number of tokens. Images that were not encoded yet are, once; where text runs into an
        image's end, the number may be off by a token."""
        if prompt.images not in self._taken and prompt.images:
            return len(self([prompt])[0].ids)
        return len(self.text_ids([prompt])[0]) + self._taken.get(prompt.images, 0)

    def taken(self, images: tuple[Picture, ...]) -> int:
        """How many tokens images that were encoded add to their prompt."""
        return self._taken[images]

    def learn(self, images: tuple[Picture, ...], tokens: int) -> None:
        """What `taken` said where they were encoded."""
        self._taken[images] = tokens

    def text_ids(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """The tokens of each prompt, an image counted as the one token that says where it is."""
        if not prompts:
            return []
        if not self.sees_images:
            return self.chat.encode(self._tokenizer, [prompt.text for prompt in prompts])
        texts = [self._rendered(prompt) for prompt in prompts]
        return [self._tokenizer(text, **self._settings(text))["input_ids"] for text in texts]

    def _rendered(self, prompt: Prompt) -> str:
        return self._processing.apply_chat_template(
            self.messages(prompt),
            add_generation_prompt=True,
            tokenize=False,
            **self.chat.arguments,
        )

    def _settings(self, text: str) -> dict[str, Any]:
        """As `apply_chat_template` of a processor tokenizes: with special tokens, unless they are there."""
        bos = self._tokenizer.bos_token
        return {"add_special_tokens": False} if bos is not None and text.startswith(bos) else {}

    def _process(self, prompt: Prompt, images: list[Image.Image]) -> Encoded:
        text = self._rendered(prompt)
        made = self._processing(
            text=[text], images=[images], return_tensors="pt", **self._settings(text)
        )
        ids = made["input_ids"][0].tolist()
        return Encoded(prompt, ids, inputs_of(made, len(images)))

    def _scaled(self, image: Image.Image) -> Image.Image:
        most, pixels = self._max_pixels, image.width * image.height
        if most is None or pixels <= most:
            return image
        factor = (most / pixels) ** 0.5
        return image.resize((max(1, int(image.width * factor)), max(1, int(image.height * factor))))

    @contextmanager
    def _processing_once(self) -> Iterator[None]:
        """Within this the image processor remembers what it made of which images."""
        real = self._processing.image_processor
        self._processing.image_processor = _Once(real)
        try:
            yield
        finally:
            self._processing.image_processor = real


class _Once:
    """Stands for an image processor, and calls it once for the same images."""

    def __init__(self, real: Any):
        self._real = real
        self._made: dict[tuple[int, ...], Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __call__(self, images: Any, *rest: Any, **settings: Any) -> BatchFeature:
        # By identity: the caller holds the images, and hashing pixels would cost.
        key = tuple(map(id, _flat(images)))
        if key not in self._made:
            self._made[key] = self._real(images, *rest, **settings)
        # A copy, since processors take out what the model has no use for.
        return BatchFeature(dict(self._made[key]))


def _flat(images: Any) -> Iterator[Any]:
    if isinstance(images, list | tuple):
        for one in images:
            yield from _flat(one)
    else:
        yield images
