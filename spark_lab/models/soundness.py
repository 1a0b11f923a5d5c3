"""A model that can't be loaded, or is not what its files say, ends as a message before any training."""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from spark_lab.errors import Problem, UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_SHOWN = 3
# Every sign of a keyboard, and words that any question may have.
_ORDINARY = f"{string.printable} What is the answer? The sum of the numbers is \\boxed{{42}}."
_ANOTHER = "another model, or its files once more: one of them is not what transformers expects"
# What an error's text holds, what was expected, what to do; the first that fits.
_KNOWN = (
    (
        "does not recognize this architecture",
        "a model type that this transformers knows",
        "pip install --upgrade transformers, or another model",
    ),
    (
        "custom code",
        "a model that transformers has the code of",
        "another model: code that comes with a model is never run",
    ),
    ("model_type", "a config.json with a model_type", "save the model with save_pretrained"),
    (
        "this kind of AutoModel",
        "a causal language model, or one that sees images and answers in text",
        "another model.path: encoders and sequence-to-sequence models write no completions",
    ),
    ("out of memory", "room for its weights", "model/lora=qlora, a smaller model, or more GPUs"),
    ("pip install", "installed packages", "what the message says"),
    (
        "attn_implementation",
        "an attention kernel that the model and this machine have",
        "model.attention=auto",
    ),
)
_OF_HUB = (
    "a model on the hub",
    "check the spelling, the network, and HF_TOKEN if the model is gated",
)


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Whatever goes wrong while a model's files are read becomes a UserError.

    Every kind of exception: what transformers raises for a file that is not what it expects depends
    on the file (tokenizers even raises plain Exceptions), and all of it is about the input.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        said = str(error)
        known = ((expected, fix) for text, expected, fix in _KNOWN if text in said)
        general = (
            _OF_HUB if isinstance(error, OSError) else ("a model that can be loaded", _ANOTHER)
        )
        expected, fix = next(known, general)
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        got = f"{path}: {type(error).__name__}: {' '.join(lines)[:300]}"
        raise UserError(Problem("model.path", got, expected, fix)) from error


def check_loaded(
    path: str,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    report: Mapping[str, Any],
) -> None:
    """Raises UserError for what transformers passes over: weights that the files don't have, or of
    other sizes, which it draws at random; weights that are no numbers; ordinary tokens without an
    embedding; no end token.

    `report`: from_pretrained's loading_info.
    """
    problems = _weights(path, model, report)
    rows = model.get_input_embeddings().num_embeddings
    own = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id)
    last = max(token for token in (*own, *tokenizer(_ORDINARY).input_ids) if token is not None)
    if last >= rows:  # a token that is never written, such as Gemma 3's for images, does no harm
        got = f"a tokenizer with token {last}, while the model knows {rows}"
        fix = "the model's own tokenizer, or resize_token_embeddings and save both"
        problems.append(Problem(path, got, "an embedding for every token", fix))
    stops = model.generation_config.eos_token_id
    ends = stops if isinstance(stops, list) else [stops]
    strange = [end for end in ends if end is not None and not isinstance(end, int)]
    if tokenizer.eos_token_id is None or strange:
        got = f"eos_token_id {strange[0]!r}" if strange else "a tokenizer without an end token"
        fix = "set eos_token in tokenizer_config.json, eos_token_id in generation_config.json"
        problems.append(Problem(path, got, "an end token, so that completions end", fix))
    if problems:
        raise UserError(*problems)


def _weights(path: str, model: PreTrainedModel, report: Mapping[str, Any]) -> list[Problem]:
    fix = "the whole model, as save_pretrained writes it, and its own config.json"
    missing = sorted(report["missing_keys"])
    if missing:
        got = f"no weights for {_some(missing)}"
        return [Problem(path, got, "all weights of the architecture in config.json", fix)]
    sizes = [
        f"{name} {tuple(stored)} instead of {tuple(expected)}"
        for name, stored, expected in sorted(report["mismatched_keys"])
    ]
    if sizes:
        return [Problem(path, _some(sizes), "weights of the sizes in config.json", fix)]
    broken = [name for name, weight in model.named_parameters() if not _is_finite(weight)]
    if broken:
        got = f"weights that are no numbers (NaN or infinite): {_some(broken)}"
        fix = "copy the model again, or take an earlier checkpoint of it"
        return [Problem(path, got, "numbers", fix)]
    return []


def _is_finite(weight: Any) -> bool:
    import torch

    # Packed 4-bit weights are whole numbers; on some ranks of a sharded model weights come later.
    absent = weight.is_meta or not weight.is_floating_point()
    return absent or math.isfinite(weight.detach().sum(dtype=torch.float32))


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
