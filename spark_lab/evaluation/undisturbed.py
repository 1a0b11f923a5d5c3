"""Asking a model in training without leaving a trace in the training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft import PeftModel
from transformers import GenerationConfig, PreTrainedModel


@contextmanager
def undisturbed(model: PreTrainedModel) -> Iterator[None]:
    """Evaluation mode; that, the random state and the generation config are put back afterwards."""
    inner = model.get_base_model() if isinstance(model, PeftModel) else model
    own = inner.generation_config
    training = [module for module in model.modules() if module.training]
    devices = range(torch.cuda.device_count()) if model.device.type == "cuda" else ()
    # FSDP keeps the buffers that it gathers weights into, and a training can't write into those of
    # an inference mode.
    several = torch.distributed.is_available() and torch.distributed.is_initialized()
    without_gradients = torch.no_grad() if several else torch.inference_mode()
    with torch.random.fork_rng(list(devices)), without_gradients:
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
