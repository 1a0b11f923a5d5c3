"""Bytes that a GPU holds while a language model is trained by GRPO: formulas, and nothing measured."""

from __future__ import annotations

from dataclasses import dataclass

from spark_lab.models.sizes import ModelSize

# 4-bit weights and their scales, quantised too: 4.127 bits a weight (arXiv 2305.14314, section 3).
_FOUR_BIT = 4.127 / 8


@dataclass(frozen=True, slots=True)
class Setting:
    """`weight_bytes` of a stored weight, `compute_bytes` of a number that is computed with. `rank` of
    the adapters; None: all weights are trained. `reference`: a copy of the starting model (KL term).

    At most `micro_rows` of the `update_rows` are trained on at once by each GPU, and `window_rows` are
    sampled at once by all of them together; a row has `row_tokens` at most.
    """

    weight_bytes: int
    compute_bytes: int
    rank: int | None
    four_bit: bool
    reference: bool
    recompute: bool
    micro_rows: int
    update_rows: int
    window_rows: int
    row_tokens: int


@dataclass(frozen=True, slots=True)
class Part:
    """One share of the memory: what it is, the formula in words, and the bytes."""

    name: str
    formula: str
    bytes: float


def of_gpu(size: ModelSize, setting: Setting, *, gpus: int, sharded: bool) -> list[Part]:
    """The parts; training and sampling take turns, so only the larger of the last two counts.

    Sharded over n GPUs (ZeRO-3, FSDP), each of them holds 1/n of weights, gradients, moments and
    reference, and gathers one layer at a time, in the format that it computes in.
    """
    share = gpus if sharded else 1
    stored, trained, trained_bytes = _stored(size, setting)
    rows = -(-setting.window_rows // gpus)
    w, c = setting.weight_bytes, setting.compute_bytes
    parts = [
        Part("weights", f"{_words(setting)} / n", stored / share),
        Part("gradients", f"{trained_bytes} T / n", trained_bytes * trained / share),
        Part("AdamW's moments", f"{2 * trained_bytes} T / n", 2 * trained_bytes * trained / share),
    ]
    if setting.reference and setting.rank is None:
        parts.append(Part("reference model", f"{w} N / n", w * size.parameters / share))
    if w != c or sharded:
        whole = c * size.parameters
        layer = c * (size.linear / size.layers + size.embedding)
        said = f"{c} (N of a layer + V h)" if sharded else f"{c} N"
        parts.append(Part("weights to compute with", said, layer if sharded else whole))
    tokens = min(setting.micro_rows, -(-setting.update_rows // gpus)) * setting.row_tokens
    formula = f"{c} t (L h + A)" if setting.recompute else f"{c} t L A"
    needed = activations(size, recompute=setting.recompute)
    parts.append(Part("activations", formula, c * tokens * needed))
    cache = 2 * c * size.layers * size.kv_heads * size.head_dim
    parts.append(Part("or: cache", f"{c} r s 2 L k d", cache * rows * setting.row_tokens))
    return parts


def total(parts: list[Part]) -> float:
    """All but the smaller of activations and cache."""
    *held, activation, cache = (part.bytes for part in parts)
    return sum(held) + max(activation, cache)


def activations(size: ModelSize, *, recompute: bool) -> int:
    """Numbers that the backward pass needs of each token, for gated units and attention whose matrix
    is never stored (counted as in arXiv 2205.05198, section 4).

    A of a layer: each norm's input, scaled input and output (6h), queries, keys, values and what
    attention gives (2(a + k)d), and four of the units (gate, its activation, up, product: 4f).
    Recomputed: of every layer its input alone, and one layer whole.
    """
    query, key = size.heads * size.head_dim, size.kv_heads * size.head_dim
    layer = 6 * size.hidden + 2 * (query + key) + 4 * size.intermediate
    return size.layers * size.hidden + layer if recompute else size.layers * layer


def _stored(size: ModelSize, setting: Setting) -> tuple[float, int, int]:
    """(bytes of all weights, number of trained ones, bytes of each of those). Adapters are float32, on
    4-bit weights bfloat16."""
    if setting.rank is None:
        return setting.weight_bytes * size.parameters, size.parameters, setting.weight_bytes
    adapters, each = size.adapters(setting.rank), 2 if setting.four_bit else 4
    quantised = size.linear if setting.four_bit else 0
    rest = setting.weight_bytes * (size.parameters - quantised)
    return rest + _FOUR_BIT * quantised + each * adapters, adapters, each


def _words(setting: Setting) -> str:
    whole = f"{setting.weight_bytes} N"
    if setting.rank is None:
        return whole
    if setting.four_bit:
        return f"(0.516 M + {setting.weight_bytes} (N - M) + 2 T)"
    return f"({whole} + 4 T)"
