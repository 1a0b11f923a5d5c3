"""Transcripts as what a model computes its loss from: rows of tokens with their pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy, linear

from spark_lab.models.encoding import Encoder
from spark_lab.models.images import COUNTS, PER_TOKEN, Inputs, join
from spark_lab.models.transcripts import DRILL, Transcript
from spark_lab.models.vision import Processing, tokenizer_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Sorted by length, a batch is cut into parts of little padding whose gradients add up.
PARTS = 4
IGNORED = -100


@dataclass(frozen=True, slots=True)
class Row:
    """Token ids of a conversation, the label of each (itself, or IGNORED), and its images."""

    ids: list[int]
    labels: list[int]
    images: Inputs | None


def complete(
    model: PreTrainedModel, processing: Processing, transcripts: Sequence[Transcript]
) -> float:
    """Adds the gradient of the mean loss per learned token of the completions; returns that loss."""
    rows = sorted(_rows(processing, transcripts), key=_length)
    learned = sum(label != IGNORED for row in rows for label in row.labels)
    total = 0.0
    for inputs, labels in _parts(rows, getattr(processing, "image_token_id", None)):
        hidden = model.model(**inputs).last_hidden_state[:, :-1]
        targets = labels[:, 1:]
        counted = targets != IGNORED
        logits = model.lm_head(hidden[counted])
        loss = cross_entropy(logits, targets[counted], reduction="sum") / learned
        loss.backward()
        total += loss.item()
    return total


def name_glyphs(
    model: PreTrainedModel, processing: Processing, transcripts: Sequence[Transcript]
) -> float:
    """Adds the gradient of the vision tower's mean loss per image token, which is to be alike the
    decoder's token of the glyph that it shows; returns that loss.

    A drawn sum gives one image token for each of its glyphs, and each glyph is one token of text.
    """
    encoded = Encoder(processing, None)([transcript.asked for transcript in transcripts])
    widths = [len(prompt.ids) for prompt in encoded]
    images = join([prompt.images for prompt in encoded], widths, max(widths))
    seen = model.model.visual(images["pixel_values"], grid_thw=images["image_grid_thw"])
    sums = [transcript.picture.text for transcript in transcripts]
    glyphs = [token for ids in tokenizer_of(processing)(sums).input_ids for token in ids]
    logits = linear(seen.pooler_output, model.lm_head.weight.detach())
    loss = cross_entropy(logits, torch.tensor(glyphs))
    loss.backward()
    return loss.item()


def _rows(processing: Processing, transcripts: Sequence[Transcript]) -> list[Row]:
    tokenizer = tokenizer_of(processing)
    verdicts = tokenizer.convert_tokens_to_ids(["Yes", "No"])
    encoded = Encoder(processing, None)([transcript.asked for transcript in transcripts])
    rows = []
    for transcript, prompt in zip(transcripts, encoded, strict=True):
        completion = [*tokenizer(transcript.completion).input_ids, tokenizer.eos_token_id]
        labels = completion
        if transcript.kind == DRILL:
            labels = [token if token in verdicts else IGNORED for token in completion]
        unlearned = [IGNORED] * len(prompt.ids)
        rows.append(Row(prompt.ids + completion, unlearned + labels, prompt.images))
    return rows


def _length(row: Row) -> int:
    return len(row.ids)


def _parts(
    rows: Sequence[Row], image_token: int | None
) -> Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]]:
    """Inputs and labels: tokens of shape (rows / PARTS, longest row of the part), padded on the right,
    and what the model takes of the pictures."""
    size = -(-len(rows) // PARTS)
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        widths = [_length(row) for row in part]
        ids = torch.tensor([row.ids + [0] * (max(widths) - len(row.ids)) for row in part])
        labels = [row.labels + [IGNORED] * (max(widths) - len(row.labels)) for row in part]
        images = join([row.images for row in part], widths, max(widths))
        inputs = {key: images[key] for key in images if key not in COUNTS + PER_TOKEN}
        if inputs:
            inputs["mm_token_type_ids"] = (ids == image_token).int()
        yield {"input_ids": ids, **inputs}, torch.tensor(labels)
