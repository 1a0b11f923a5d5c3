"""How a trainer scores rows: TRL's way, or with shared prompts where that was seen to be exact."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from math import inf
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from trl import GRPOConfig

from spark_lab.errors import Problem, UserError
from spark_lab.models.images import pick, present
from spark_lab.training import shared_prompts
from spark_lab.training.shared_prompts.rule import Choice
from spark_lab.training.shared_prompts.trial import Batch, attempt, samples

_log = logging.getLogger(__name__)


class Scoring:
    """Log-probabilities, entropies and load-balancing losses of rows, for one model and its arguments.

    `wanted`: auto, cache, packed, off (`trainer.shared_prompts`). `plain`: TRL's own scoring, the
    trainer's `_get_per_token_logps_and_entropies`. Raises UserError where cache or packed is wanted
    and not exact. As a string it says in words which way rows are scored.
    """

    def __init__(
        self,
        wanted: str,
        model: Any,
        args: GRPOConfig,
        *,
        accelerator: Accelerator,
        aux_loss: bool,
        plain: Callable[..., tuple],
    ):
        self._wanted = wanted
        self._accelerator = accelerator
        self._plain = plain
        self._aux_loss = aux_loss
        self.ways: tuple[str, ...] = ()
        self._words = "TRL: shared_prompts=off"
        if wanted != "off":
            choice = shared_prompts.choose(
                wanted,
                model,
                args,
                processes=accelerator.num_processes,
                aux_loss=aux_loss,
                trial=partial(self._try_made, model, aux_loss),
            )
            self._settle(choice)

    def __str__(self) -> str:
        return self._words

    def _settle(self, choice: Choice) -> None:
        """Take the ways that are left."""
        if not choice.ways and self._wanted != "auto":
            where, fix = "trainer.shared_prompts", "trainer.shared_prompts=auto"
            got = f"{self._wanted}, but {choice.reason}"
            raise UserError(Problem(where, got, "a model that can share", fix))
        self.ways, self._words = choice.ways, str(choice)
        if not choice.ways and self._accelerator.is_main_process:
            _log.warning("prompts are computed for every row, as in TRL: %s", choice.reason)

    def _try_made(self, model: Any, aux_loss: bool, way: str) -> str | None:
        """Rank 0 tries, on batches made for the model: it is sure to have the weights."""
        found = [None]
        if self._accelerator.is_main_process:
            found = [self._try(way, model, samples(model), {}, entropy=True, aux_loss=aux_loss)]
        return broadcast_object_list(found)[0]

    def try_images(self, model: Any, batch: Batch, images: Mapping[str, Any]) -> None:
        """Keep the ways that are exact with images. All ranks try, each on a batch of its own."""
        if not self.ways:
            return
        tried = [(way, self._try_pictured(way, model, batch, dict(images))) for way in self.ways]
        failed = {way: reason for way, reason in gather_object(tried) if reason is not None}
        if failed:
            exact = tuple(way for way in self.ways if way not in failed)
            reason = "; ".join(sorted(set(failed.values())))
            self._settle(Choice(exact, f"with images, {reason}"))

    def _try_pictured(
        self, way: str, model: Any, batch: Batch, images: dict[str, Any]
    ) -> str | None:
        if way == "packed" and "token_type_ids" in images:
            # They say which tokens see each other both ways, which a row packed of several would
            # have to say for its mask.
            return "packed rows for a model whose image tokens see later ones"
        return self._try(way, model, [batch], images, entropy=True, aux_loss=self._aux_loss)

    def _try(
        self,
        way: str,
        model: Any,
        batches: Iterable[Batch],
        images: dict[str, Any],
        *,
        entropy: bool,
        aux_loss: bool,
    ) -> str | None:
        plain = partial(
            self._plain, model, compute_entropy=entropy, compute_aux_loss=aux_loss, **images
        )
        shared = partial(
            shared_prompts.score, [way], model, images=images, aux_loss=aux_loss, saving=-inf
        )
        with torch.no_grad(), self._accelerator.autocast():
            mixed = torch.is_autocast_enabled(self._accelerator.device.type)
            dtype = torch.bfloat16 if mixed else next(model.parameters()).dtype
            return attempt(batches, shared, plain, dtype=dtype)

    def __call__(
        self,
        model: Any,
        ids: torch.Tensor,
        mask: torch.Tensor,
        length: int,
        *,
        batch_size: int | None,
        entropy: bool,
        aux_loss: bool,
        images: Mapping[str, Any],
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """What TRL's scoring gives for rows (ids, mask: (B, P + length)), `batch_size` at a time."""
        plain = partial(self._plain, compute_entropy=entropy, compute_aux_loss=aux_loss)
        if not self.ways:
            return plain(model, ids, mask, length, batch_size, **images)
        shown, found = present(images), []
        for rows in torch.arange(len(ids)).split(batch_size or len(ids)):
            batch, part = (ids[rows], mask[rows], length), pick(shown, rows.tolist())
            with self._accelerator.autocast():
                scores = shared_prompts.score(self.ways, model, *batch, part, aux_loss=aux_loss)
            found.append(plain(model, *batch, **part) if scores is None else scores)
        return joined(found, entropy=entropy, aux_loss=aux_loss)


def joined(
    parts: Sequence[tuple], *, entropy: bool, aux_loss: bool
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """One scoring of all rows from scorings of some rows each."""
    logps, entropies, aux_losses = zip(*parts, strict=True)
    return (
        torch.cat(logps),
        torch.cat(entropies) if entropy else None,
        torch.stack(aux_losses).mean() if aux_loss else None,
    )
