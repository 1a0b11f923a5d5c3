"""Adapters (LoRA, QLoRA) in place of trained weights: peft's settings, and what they need."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from spark_lab.errors import Problem, UserError
from spark_lab.schema import LoraConfig

if TYPE_CHECKING:
    import peft
    from transformers import PreTrainedModel

ALL_LINEAR = "all-linear"
_SHOWN = 6


def check_adapters(lora: LoraConfig) -> list[Problem]:
    """What is wrong with the settings, without torch and on any machine."""
    problems = []
    if lora.four_bit and find_spec("bitsandbytes") is None:
        fix = "pip install 'spark-lab[qlora]', or model/lora=default"
        got = "true, while bitsandbytes is not installed"
        problems.append(Problem("model.lora.four_bit", got, "an installed bitsandbytes", fix))
    try:
        re.compile(lora.targets)
    except re.error as error:
        fix = "model.lora.targets=all-linear, or such as '.*(q_proj|v_proj)'"
        got = f"{lora.targets} ({error})"
        expected = "all-linear, or a regular expression"
        problems.append(Problem("model.lora.targets", got, expected, fix))
    return problems


def four_bit(lora: LoraConfig | None, dtype: str) -> dict[str, Any]:
    """`from_pretrained`'s arguments for weights in 4-bit normal floats whose scales are quantised,
    too, computed in `dtype` (QLoRA, arXiv 2305.14314, section 3); none for other models.

    Raises UserError without a GPU: on a CPU, bitsandbytes 0.50 packs the weights anew for the first
    forward without gradients, and from then on gives none.
    """
    if lora is None or not lora.four_bit:
        return {}
    import torch
    from transformers import BitsAndBytesConfig

    if not torch.cuda.is_available():
        fix = "model/lora=default, or a machine with a GPU"
        expected = "a GPU: 4-bit weights pass no gradients on a CPU"
        raise UserError(Problem("model.lora.four_bit", "true, without a GPU", expected, fix))
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, dtype),
    )
    return {"quantization_config": settings}


def peft_config(
    lora: LoraConfig | None, model: PreTrainedModel, *, freeze_vision: bool = False
) -> peft.LoraConfig | None:
    """`freeze_vision`: no adapters in a vision tower. Raises UserError where no layer of the model
    gets an adapter."""
    if lora is None:
        return None
    import peft

    from spark_lab.models.towers import TOWER_MODULES

    if lora.targets != ALL_LINEAR:
        _check_targets(lora.targets, model)
    return peft.LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
        exclude_modules=TOWER_MODULES if freeze_vision else None,
        task_type="CAUSAL_LM",
    )


def _check_targets(targets: str, model: PreTrainedModel) -> None:
    """peft's rule: the expression has to match a module's whole name."""
    import torch

    layers = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    if not any(re.fullmatch(targets, name) for name in layers):
        kinds = list(dict.fromkeys(name.rpartition(".")[2] for name in layers))
        shown = ", ".join(kinds[:_SHOWN])
        got = f"{targets}, which matches no linear layer's whole name"
        fix = f"model.lora.targets='.*({kinds[0]}|{kinds[-1]})', or all-linear"
        raise UserError(Problem("model.lora.targets", got, f"layers such as {shown}", fix))
