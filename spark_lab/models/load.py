"""Models by path: the shipped one, a local folder, or a hub id. Safetensors only, no remote code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spark_lab.errors import Problem, UserError
from spark_lab.models import precision
from spark_lab.models.adapters import four_bit
from spark_lab.models.folder import check_folder, text_alone
from spark_lab.models.precision import Precision
from spark_lab.models.soundness import check_loaded, explained
from spark_lab.schema import ModelConfig

if TYPE_CHECKING:
    from transformers import (
        PreTrainedConfig,
        PreTrainedModel,
        PreTrainedTokenizerBase,
        ProcessorMixin,
    )

    from spark_lab.models.vision import Processing

BUILTIN = {f"builtin:{name}": Path(__file__).parent / name for name in ("tiny", "tiny_vlm")}


def resolve_path(path: str) -> str:
    """The folder of a shipped model; any other path or hub id unchanged. Relative folders become
    absolute, since the reference model is loaded again by this name."""
    if path in BUILTIN:
        return str(BUILTIN[path])
    folder = Path(path).expanduser()
    return str(folder.resolve()) if path and folder.is_dir() else path


def check_model_path(path: str) -> list[Problem]:
    """What is wrong with a model path, without importing torch. Hub ids can't be checked here."""
    if path.startswith("builtin:") and path not in BUILTIN:
        known = ", ".join(BUILTIN)
        return [Problem("model.path", path, f"one of {known}", f"model.path={next(iter(BUILTIN))}")]
    folder = Path(resolve_path(path))
    if path and folder.is_dir():
        return check_folder(folder)
    if path.count("/") == 1 and not path.startswith((".", "/", "~")):
        return []
    fix = "model.path=FOLDER, or a hub id such as Qwen/Qwen2.5-0.5B-Instruct"
    return [Problem("model.path", repr(path), "an existing folder or a hub id", fix)]


def hub_commit(config: ModelConfig) -> str:
    """The commit that a hub's model is loaded from: a name or a branch may mean another one tomorrow.

    Raises UserError where the hub, or its copy on this machine, doesn't have the model.
    """
    from transformers.utils.hub import cached_file, extract_commit_hash

    with explained(config.path):
        found = cached_file(config.path, "config.json", revision=config.revision)
    return extract_commit_hash(found, None)


def load_model(
    config: ModelConfig, *, trained: bool = True, pictured: int = 0
) -> tuple[PreTrainedModel, Processing]:
    """Model and tokenizer, or processor where it sees images; on the CPU (4-bit weights: on the GPU),
    ready for TRL: left padding and a padding token. `trained`: not only asked. `pictured`: how many
    questions with images it is for.

    Raises UserError for a folder without a model, a hub id that can't be had, a model that is not what
    its files say (see `models.soundness`), one without a chat template, or one of text alone that is
    for questions with images.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    from spark_lab.models import vision

    problems = check_model_path(config.path)
    if problems:
        raise UserError(*problems)
    path = resolve_path(config.path)
    dtype = precision_of(config, trained=trained).weights
    attention = {} if config.attention == "auto" else {"attn_implementation": config.attention}
    with explained(config.path):
        stored = AutoConfig.from_pretrained(path, revision=config.revision, trust_remote_code=False)
        sees = hasattr(stored, "vision_config")
        if pictured and not sees:
            raise UserError(text_alone(config.path, pictured))
        processing = load_processor(config, stored) if sees else load_tokenizer(config)
        kind = AutoModelForImageTextToText if sees else AutoModelForCausalLM
        model, report = kind.from_pretrained(
            path,
            revision=config.revision,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            trust_remote_code=False,
            # Said by check_loaded, with names.
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **attention,
            **four_bit(config.lora, dtype),
        )
    check_loaded(path, model, vision.tokenizer_of(processing), report)
    if config.freeze_vision:
        vision.freeze_vision(model)
    return model, processing


def precision_of(config: ModelConfig, *, trained: bool) -> Precision:
    """Of this machine. Emulated bfloat16, as on GPUs before Ampere, is slower than float32."""
    import torch

    bf16_gpu = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    all_trained = trained and config.lora is None
    return precision.choose(config.dtype, bf16_gpu=bf16_gpu, all_trained=all_trained)


def load_tokenizer(config: ModelConfig) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    path = resolve_path(config.path)
    tokenizer = AutoTokenizer.from_pretrained(
        path, revision=config.revision, padding_side="left", trust_remote_code=False
    )
    _make_ready(tokenizer, tokenizer, config)
    return tokenizer


def load_processor(config: ModelConfig, stored: PreTrainedConfig) -> ProcessorMixin:
    """`stored`: the configuration of a model that sees images."""
    from spark_lab.models import vision

    path = resolve_path(config.path)
    try:
        kind = vision.processor_class(stored)
        processor = kind.from_pretrained(path, revision=config.revision, trust_remote_code=False)
    except (KeyError, ValueError, TypeError, ImportError) as error:
        reason = str(error).partition("\n")[0]
        fix = "save the model's processor into the same folder with save_pretrained"
        got = f"{path}, whose processor can't be loaded ({reason})"
        raise UserError(Problem("model.path", got, "an image processor", fix)) from error
    processor.tokenizer.padding_side = "left"
    _make_ready(processor, processor.tokenizer, config)
    return processor


def _make_ready(
    processing: Processing, tokenizer: PreTrainedTokenizerBase, config: ModelConfig
) -> None:
    if config.chat_template is not None:
        processing.chat_template = Path(config.chat_template).read_text(encoding="utf-8")
    if processing.chat_template is None:
        processing.chat_template = tokenizer.chat_template
    if processing.chat_template is None:
        got = f"{resolve_path(config.path)} has no chat template"
        fix = "model.chat_template=FILE with a Jinja chat template"
        raise UserError(Problem("model.path", got, "one", fix))
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token


def context_length(model: PreTrainedModel) -> int:
    """Tokens that prompt and completion may have together."""
    return model.config.get_text_config().max_position_embeddings
