"""Which number format a model's weights are kept in, and which one it computes in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Precision:
    """`weights` is the name of a torch dtype. `autocast`: matrix products are in bfloat16, whatever
    the weights are."""

    weights: str
    autocast: bool


def choose(dtype: str, *, bf16_gpu: bool, all_trained: bool) -> Precision:
    """What model.dtype comes to on this device. `all_trained`: the weights themselves are trained,
    not adapters, and the model isn't only asked.

    Trained weights are kept in float32: a number of bfloat16 has 8 significant bits, so AdamW's step
    of 1e-6 on a weight of 0.02 (half of its last bit is 6e-5) would be rounded away. Weights that
    stay as they are lose nothing in the bfloat16 that they were published in.
    """
    if dtype == "float32" or (dtype == "auto" and not bf16_gpu):
        return Precision("float32", False)
    if dtype == "bfloat16" or not all_trained:
        return Precision("bfloat16", True)
    return Precision("float32", True)
