"""Completions of prompts for evaluation, without leaving a trace in the training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from peft import PeftModel
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from spark_lab.evaluation.verdict_position import VerdictPosition, locate_verdict
from spark_lab.models.chat import messages
from spark_lab.models.load import context_length

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
        self, prompts: list[str], *, samples: int = 1, temperature: float = 0.0, seed: int = 0
    ) -> list[list[Completion]]:
        """`samples` completions for each prompt; temperature 0 is greedy."""
        ...

    def verdict_probabilities(
        self, prompts: list[str], completions: list[Completion], labels: tuple[str, str]
    ) -> list[float | None]:
        """Probability of the first label against the second one, where there is a verdict."""
        ...


class Generator:
    """Batched `model.generate` for any causal language model and any device.

    The prompts are sorted by length and left-padded, `batch_size` sequences at a time; equal
    prompts are decoded greedily once. A call depends on nothing but its arguments and the weights,
    and puts back the random state and the train/eval mode of every module, so a training that is
    evaluated stays bit-identical. Sampling is at top_p = 1 and top_k = off, whatever the model's
    own generation config says. `model` must not be wrapped by DistributedDataParallel.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_new_tokens: int,
        batch_size: int,
        system_prompt: str | None,
    ):
        self._model = model
        self._tokenizer = tokenizer
        self._max_new_tokens = max_new_tokens
        self._batch_size = batch_size
        self._system_prompt = system_prompt
        self._ends = _end_tokens(model, tokenizer)
        pad = tokenizer.pad_token_id
        self._pad = pad if pad is not None else self._ends[0]

    def complete(
        self, prompts: list[str], *, samples: int = 1, temperature: float = 0.0, seed: int = 0
    ) -> list[list[Completion]]:
        """`samples` completions for each prompt, in the order of the prompts; see `Completer`.

        A prompt that leaves no room for max_new_tokens in the model's context isn't run: its
        completions are empty and truncated.
        """
        if temperature == 0.0:
            distinct = list(dict.fromkeys(prompts))
            greedy = dict(zip(distinct, self._run(distinct, 1, _greedy(), seed), strict=True))
            return [greedy[prompt] * samples for prompt in prompts]
        return self._run(prompts, samples, _sampling(samples, temperature), seed)

    def _run(
        self, prompts: list[str], samples: int, decoding: GenerationConfig, seed: int
    ) -> list[list[Completion]]:
        decoding.update(
            max_new_tokens=self._max_new_tokens, eos_token_id=self._ends, pad_token_id=self._pad
        )
        room = context_length(self._model) - self._max_new_tokens
        encoded = [ids if len(ids) <= room else [] for ids in self._encode(prompts)]
        replies = [[Completion("", 0, True)] * samples for _ in prompts]
        with _undisturbed(self._model):
            size = max(1, self._batch_size // samples)
            for number, batch in enumerate(_by_length(encoded, size)):
                # Common random numbers: a batch's draws don't depend on how long the batches
                # before it ran, so two models that are given the same prompts share their luck.
                torch.manual_seed(_SEEDS_APART * seed + number)
                rows = self._generate([encoded[index] for index in batch], decoding)
                for place, index in enumerate(batch):
                    own = rows[place * samples : (place + 1) * samples]
                    replies[index] = [self._read(row) for row in own]
        return replies

    def _generate(self, prompts: list[list[int]], decoding: GenerationConfig) -> list[list[int]]:
        ids, mask = self._pad_left(prompts)
        output = self._model.generate(
            input_ids=ids, attention_mask=mask, generation_config=decoding
        )
        return output[:, ids.shape[1] :].tolist()

    def _read(self, row: list[int]) -> Completion:
        end = next((i for i, token in enumerate(row) if token in self._ends), None)
        ids = tuple(row if end is None else row[: end + 1])
        text = self._tokenizer.decode(ids, skip_special_tokens=True)
        return Completion(text, len(ids), end is None, ids)

    def verdict_probabilities(
        self, prompts: list[str], completions: list[Completion], labels: tuple[str, str]
    ) -> list[float | None]:
        """p(labels[0]) / (p(labels[0]) + p(labels[1])) where the verdict is about to be written.

        One forward pass over prompt and completion up to the verdict in the last box, at
        temperature 1. None where the completion has no verdict, or spells it in tokens that the
        tokenizer would not choose.
        """
        judged = list(zip(prompts, (completion.ids for completion in completions), strict=True))
        distinct = list(dict.fromkeys(judged))
        positions: dict[tuple[str, tuple[int, ...]], VerdictPosition] = {}
        for prompt, ids in distinct:
            position = locate_verdict(self._tokenizer, ids, labels)
            if position is not None:
                positions[prompt, ids] = position
        encoded = self._encode([prompt for prompt, _ in positions])
        prefixes = [
            ids + list(position.prefix)
            for ids, position in zip(encoded, positions.values(), strict=True)
        ]
        choices = [position.tokens for position in positions.values()]
        found = dict(zip(positions, self._first_probabilities(prefixes, choices), strict=True))
        return [found.get(key) for key in judged]

    def _first_probabilities(
        self, prefixes: list[list[int]], choices: list[tuple[int, int]]
    ) -> list[float]:
        # generate() for one token rather than forward(): it alone knows every model's way of
        # numbering left-padded positions and of computing the last logits only.
        decoding = _greedy()
        decoding.update(
            max_new_tokens=1,
            pad_token_id=self._pad,
            output_logits=True,
            return_dict_in_generate=True,
        )
        probabilities = [0.0] * len(prefixes)
        with _undisturbed(self._model):
            for batch in _by_length(prefixes, self._batch_size):
                ids, mask = self._pad_left([prefixes[index] for index in batch])
                output = self._model.generate(
                    input_ids=ids, attention_mask=mask, generation_config=decoding
                )
                pairs = torch.tensor([choices[index] for index in batch], device=ids.device)
                logits = output.logits[0].float().gather(1, pairs)
                for index, p in zip(batch, logits.softmax(-1)[:, 0].tolist(), strict=True):
                    probabilities[index] = p
        return probabilities

    def _encode(self, prompts: list[str]) -> list[list[int]]:
        if not prompts:
            return []
        return self._tokenizer.apply_chat_template(
            [messages(prompt, self._system_prompt) for prompt in prompts],
            add_generation_prompt=True,
            return_dict=False,
        )

    def _pad_left(self, rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and attention mask, both of shape (rows, longest row)."""
        width = max(map(len, rows))
        ids = [[self._pad] * (width - len(row)) + row for row in rows]
        mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
        device = self._model.device
        return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


@contextmanager
def _undisturbed(model: PreTrainedModel) -> Iterator[None]:
    """Evaluation mode; that, the random state and the generation config are put back afterwards."""
    inner = model.get_base_model() if isinstance(model, PeftModel) else model
    own = inner.generation_config
    training = [module for module in model.modules() if module.training]
    devices = range(torch.cuda.device_count()) if model.device.type == "cuda" else ()
    with torch.random.fork_rng(list(devices)), torch.inference_mode():
        model.eval()
        # generate() fills every gap of the config it is given from the model's own one, which for
        # many chat models holds a repetition penalty or nucleus sampling.
        inner.generation_config = GenerationConfig()
        try:
            yield
        finally:
            inner.generation_config = own
            for module in training:
                module.training = True


def _greedy() -> GenerationConfig:
    return GenerationConfig(do_sample=False)


def _sampling(samples: int, temperature: float) -> GenerationConfig:
    return GenerationConfig(
        do_sample=True, num_return_sequences=samples, temperature=temperature, top_k=0, top_p=1.0
    )


def _end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokenizer's end token, then those that the model itself stops at."""
    own = model.generation_config.eos_token_id
    own = own if isinstance(own, list) else [own]
    return list(dict.fromkeys(t for t in (tokenizer.eos_token_id, *own) if t is not None))


def _by_length(rows: Sequence[list[int]], size: int) -> Iterator[list[int]]:
    """Indices of the non-empty rows in batches of `size`, longest first: least padding, and what
    does not fit in memory fails at once."""
    order = sorted((i for i, row in enumerate(rows) if row), key=lambda i: -len(rows[i]))
    for start in range(0, len(order), size):
        yield order[start : start + size]
