"""Before the first window with images is sampled: are shared prompts exact with images, too?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from spark_lab.models.encoding import Encoded
from spark_lab.models.images import join, to_device
from spark_lab.models.sharing import language_model, words
from spark_lab.records import Prompt
from spark_lab.training import sampling
from spark_lab.training.scoring import Scoring
from spark_lab.training.shared_prompts.trial import Batch

if TYPE_CHECKING:
    from spark_lab.training.trainer import SparkGRPOTrainer

# Tokens of a made-up completion.
_LENGTH = 3


def try_images(trainer: SparkGRPOTrainer, scoring: Scoring, prompts: Sequence[Prompt]) -> None:
    """Hold generation and scoring to TRL's numbers on two of the window's prompts.

    All ranks take part, each with prompts of its own if it has any with images.
    """
    own = [row for row in trainer.prompts.encoded if row.images is not None]
    if not own:
        own = trainer.encoder([next(prompt for prompt in prompts if prompt.images)])
    sampling.try_images(trainer, own[:2])
    batch, images = _made_up(trainer, own[:2])
    scoring.try_images(trainer.model, batch, images)


def _made_up(trainer: SparkGRPOTrainer, prompts: list[Encoded]) -> tuple[Batch, dict[str, Any]]:
    """Two rows of each prompt with completions of words, the last of them one token shorter."""
    rows = [row for row in prompts for _ in range(2)]
    lengths = [len(row.ids) for row in rows]
    width, pad = max(lengths), trainer._tokenizer.pad_token_id
    ordinary = words(language_model(trainer.model)).tolist()
    ids, mask = [], []
    for number, row in enumerate(rows):
        start = number * _LENGTH
        end = [ordinary[(start + place) % len(ordinary)] for place in range(_LENGTH)]
        ids.append([pad] * (width - len(row.ids)) + row.ids + end)
        mask.append([0] * (width - len(row.ids)) + [1] * (len(row.ids) + _LENGTH))
    mask[-1][-1] = 0
    device = trainer.accelerator.device
    images = join([row.images for row in rows], lengths, width, _LENGTH)
    batch = torch.tensor(ids, device=device), torch.tensor(mask, device=device), _LENGTH
    return batch, to_device(images, device)
