"""Completions of prompts for evaluation, without leaving a trace in the training."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from spark_lab.answers import read_verdict
from spark_lab.evaluation.undisturbed import undisturbed
from spark_lab.evaluation.verdict_position import VerdictPosition, locate_verdict
from spark_lab.models import decoding
from spark_lab.models.decoding import Sampling
from spark_lab.models.encoding import Encoded, Encoder
from spark_lab.models.images import COUNTS, join, to_device
from spark_lab.models.load import context_length
from spark_lab.models.vision import image_tokens
from spark_lab.records import Prompt

_SEEDS_APART = 1_000_003
"""Distance between the batch seeds of two calls with neighbouring seeds."""


@dataclass(frozen=True, slots=True)
class Completion:
    """`tokens` counts `ids`, the end token included. Truncated: cut off before an end token."""

    text: str
    tokens: int
    truncated: bool
    ids: tuple[int, ...] = ()


class Completer(Protocol):
    """Whatever answers prompts: a model, or a script with known abilities."""

    def complete(
        self, prompts: list[Prompt], *, samples: int = 1, temperature: float = 0.0, seed: int = 0
    ) -> list[list[Completion]]:
        """`samples` completions for each prompt; temperature 0 is greedy."""
        ...

    def verdict_probabilities(
        self, prompts: list[Prompt], completions: list[Completion], labels: tuple[str, str]
    ) -> list[float | None]:
        """Probability of the first label against the second one, where there is a verdict."""
        ...


class Generator:
    """Completions of any language model on any device, by `models.decoding` where it can run the
    model, else by `model.generate`.

    The prompts are sorted by length and left-padded, `batch_size` sequences at a time; a prompt is
    computed once for its samples, and equal ones are decoded greedily once. Images are opened batch
    by batch. A call depends on nothing but its arguments and the weights, and puts back the random
    state and the train/eval mode of every module, so a training that is evaluated stays
    bit-identical. Sampling is at top_p = 1 and top_k = off, whatever the model's own generation
    config says. `model` must not be wrapped by DistributedDataParallel. `autocast`: products of
    float32 weights in bfloat16, as in training with model.dtype=mixed.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        encoder: Encoder,
        *,
        max_new_tokens: int,
        batch_size: int,
        autocast: bool = False,
    ):
        self._model = model
        self._autocast = autocast
        self._tokenizer = tokenizer
        self._encoder = encoder
        self._max_new_tokens = max_new_tokens
        self._batch_size = batch_size
        self._ends = _end_tokens(model, self._tokenizer)
        self._suppressed = image_tokens(model)
        pad = self._tokenizer.pad_token_id
        self._pad = pad if pad is not None else self._ends[0]
        with self._asking():
            self._decodes = decoding.obstacle(model) is None and decoding.exact(model)
        self._tried_images = False

    @property
    def sees_images(self) -> bool:
        """Whether prompts may have images."""
        return self._encoder.sees_images

    def complete(
        self, prompts: list[Prompt], *, samples: int = 1, temperature: float = 0.0, seed: int = 0
    ) -> list[list[Completion]]:
        """`samples` completions for each prompt, in the order of the prompts; see `Completer`.

        A prompt that leaves no room for max_new_tokens in the model's context isn't run: its
        completions are empty and truncated.
        """
        if temperature == 0.0:
            distinct = list(dict.fromkeys(prompts))
            greedy = dict(zip(distinct, self._run(distinct, 1, None, seed), strict=True))
            return [greedy[prompt] * samples for prompt in prompts]
        return self._run(prompts, samples, Sampling(temperature), seed)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Weights are cast once for a whole call: a cast for each token would cost more than the token."""
        device = self._model.device.type
        with undisturbed(self._model), torch.autocast(device, torch.bfloat16, self._autocast):
            yield

    def _run(
        self, prompts: list[Prompt], samples: int, sampling: Sampling | None, seed: int
    ) -> list[list[Completion]]:
        room = context_length(self._model) - self._max_new_tokens
        alone = self._encoder.text_ids(prompts)
        lengths = [len(ids) if len(ids) <= room else 0 for ids in alone]
        replies = [[Completion("", 0, True)] * samples for _ in prompts]
        generator = torch.Generator().manual_seed(_SEEDS_APART * seed)
        with self._asking():
            size = max(1, self._batch_size // samples)
            for batch in _by_length(lengths, size):
                encoded = self._encode(batch, prompts, alone)
                # Common random numbers: a row's draws don't depend on how long the rows before it
                # ran, so two models that are given the same prompts share their luck.
                luck = _uniform(len(batch) * samples, self._max_new_tokens, generator)
                # With its images a prompt may turn out to be too long.
                fit = [place for place, one in enumerate(encoded) if len(one.ids) <= room]
                rows = [encoded[place] for place in fit for _ in range(samples)]
                drawn = luck.view(len(batch), samples, -1)[fit].flatten(0, 1)
                found = self._sample(rows, sampling, drawn) if rows else []
                for turn, place in enumerate(fit):
                    chosen = found[turn * samples : (turn + 1) * samples]
                    replies[batch[place]] = list(map(self._read, chosen))
        return replies

    def _encode(
        self, batch: list[int], prompts: list[Prompt], alone: list[list[int]]
    ) -> list[Encoded]:
        return self._encoder([prompts[i] for i in batch], [alone[i] for i in batch])

    def _sample(
        self, rows: list[Encoded], sampling: Sampling | None, luck: torch.Tensor
    ) -> list[list[int]]:
        self._try_images(rows)
        sample = self._decode if self._decodes else self._generate
        return sample(rows, sampling, luck)

    def _try_images(self, rows: list[Encoded]) -> None:
        """The first prompts with images show whether `decode` is exact with them, too."""
        pictured = [row for row in rows if row.images is not None]
        if not pictured or self._tried_images or not self._decodes:
            return
        self._tried_images = True
        few = list(dict.fromkeys(pictured))[:2]
        self._decodes = decoding.exact(
            self._model, [row.ids for row in few], [row.images for row in few]
        )

    def _decode(
        self, rows: list[Encoded], sampling: Sampling | None, luck: torch.Tensor
    ) -> list[list[int]]:
        return decoding.decode(
            self._model,
            [row.ids for row in rows],
            images=[row.images for row in rows],
            max_new_tokens=self._max_new_tokens,
            ends=self._ends,
            pad=self._pad,
            suppress=self._suppressed,
            sampling=sampling,
            luck=None if sampling is None else luck,
        )

    def _generate(
        self, rows: list[Encoded], sampling: Sampling | None, luck: torch.Tensor
    ) -> list[list[int]]:
        """For models that `decode` can't run; all draws of the batch follow from its first one."""
        config = GenerationConfig(
            do_sample=sampling is not None,
            max_new_tokens=self._max_new_tokens,
            eos_token_id=self._ends,
            pad_token_id=self._pad,
            suppress_tokens=self._suppressed or None,
        )
        if sampling is not None:
            config.update(temperature=sampling.temperature, top_k=0, top_p=1.0)
        torch.manual_seed(int(luck[0, 0] * 2**53))
        inputs = self._pad_left(rows)
        output = self._model.generate(**inputs, generation_config=config)
        return output[:, inputs["input_ids"].shape[1] :].tolist()

    def _read(self, row: list[int]) -> Completion:
        end = next((i for i, token in enumerate(row) if token in self._ends), None)
        ids = tuple(row if end is None else row[: end + 1])
        said = self._tokenizer.decode(ids, skip_special_tokens=True)
        text = self._encoder.chat.opening + said
        return Completion(text, len(ids), end is None, ids)

    def verdict_probabilities(
        self, prompts: list[Prompt], completions: list[Completion], labels: tuple[str, str]
    ) -> list[float | None]:
        """p(labels[0]) / (p(labels[0]) + p(labels[1])) where the verdict is about to be written.

        One forward pass over prompt and completion up to the verdict in the last box, at
        temperature 1. None where the completion has no verdict, or spells it in tokens that the
        tokenizer would not choose.
        """
        judged = list(zip(prompts, (completion.ids for completion in completions), strict=True))
        # In a thinking block that was cut off there may be a box, but no verdict.
        read = [read_verdict(completion.text, labels) is not None for completion in completions]
        distinct = list(dict.fromkeys(itertools.compress(judged, read)))
        positions: dict[tuple[Prompt, tuple[int, ...]], VerdictPosition] = {}
        for prompt, ids in distinct:
            position = locate_verdict(self._tokenizer, ids, labels)
            if position is not None:
                positions[prompt, ids] = position
        asked = [prompt for prompt, _ in positions]
        found = dict(
            zip(positions, self._first_probabilities(asked, list(positions.values())), strict=True)
        )
        return [found.get(key) for key in judged]

    def _first_probabilities(
        self, prompts: list[Prompt], positions: list[VerdictPosition]
    ) -> list[float]:
        probabilities = [0.0] * len(prompts)
        alone = self._encoder.text_ids(prompts)
        lengths = [
            len(ids) + len(position.prefix) for ids, position in zip(alone, positions, strict=True)
        ]
        with self._asking():
            for batch in _by_length(lengths, self._batch_size):
                encoded = self._encode(batch, prompts, alone)
                self._try_images(encoded)
                logits_of = self._prefill if self._decodes else self._generate_logits
                written = [positions[index].prefix for index in batch]
                logits = logits_of(
                    [one.then(tokens) for one, tokens in zip(encoded, written, strict=True)]
                )
                tokens = [positions[index].tokens for index in batch]
                pairs = torch.tensor(tokens, device=logits.device)
                chosen = logits.float().gather(1, pairs)
                for index, p in zip(batch, chosen.softmax(-1)[:, 0].tolist(), strict=True):
                    probabilities[index] = p
        return probabilities

    def _prefill(self, rows: list[Encoded]) -> torch.Tensor:
        """Logits (rows, vocabulary) of the token that follows each row."""
        ids, images = [row.ids for row in rows], [row.images for row in rows]
        begun = decoding.prefill(self._model, ids, self._pad, images)
        return begun.logits[begun.place]

    def _generate_logits(self, rows: list[Encoded]) -> torch.Tensor:
        # generate() for one token rather than forward(): it alone knows every model's way of
        # numbering left-padded positions and of computing the last logits only.
        config = GenerationConfig(
            do_sample=False,
            max_new_tokens=1,
            pad_token_id=self._pad,
            output_logits=True,
            return_dict_in_generate=True,
        )
        output = self._model.generate(**self._pad_left(rows), generation_config=config)
        return output.logits[0]

    def _pad_left(self, rows: list[Encoded]) -> dict[str, torch.Tensor]:
        """Token ids and attention mask, both of shape (rows, longest row), and the images."""
        lengths = [len(row.ids) for row in rows]
        width = max(lengths)
        ids = [[self._pad] * (width - len(row.ids)) + row.ids for row in rows]
        mask = [[0] * (width - length) + [1] * length for length in lengths]
        device = self._model.device
        images = to_device(join([row.images for row in rows], lengths, width), device)
        return {
            "input_ids": torch.tensor(ids, device=device),
            "attention_mask": torch.tensor(mask, device=device),
            **{key: value for key, value in images.items() if key not in COUNTS},
        }


def _uniform(rows: int, length: int, generator: torch.Generator) -> torch.Tensor:
    """Numbers on [0, 1), row after row: what a row gets doesn't depend on the size of its batch."""
    return torch.rand(rows, length, dtype=torch.float64, generator=generator)


def _end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokenizer's end token, then those that the model itself stops at."""
    own = model.generation_config.eos_token_id
    own = own if isinstance(own, list) else [own]
    return list(dict.fromkeys(t for t in (tokenizer.eos_token_id, *own) if t is not None))


def _by_length(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Indices of the rows that have any tokens in batches of `size`, longest first: least padding,
    and what does not fit in memory fails at once."""
    order = sorted((i for i, length in enumerate(lengths) if length), key=lambda i: -lengths[i])
    for start in range(0, len(order), size):
        yield order[start : start + size]
