"""What a checkpoint holds beyond transformers' own: the loop, the meter, and an open window."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from spark_lab.errors import Problem, UserError
from spark_lab.models.folder import read_header

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from spark_lab.training.trainer import SparkGRPOTrainer

STATE = "spark_state.json"


def save_state(trainer: SparkGRPOTrainer, folder: str) -> None:
    """Called on every rank before transformers finishes the checkpoint.

    The loop's state is replicated, so rank 0 writes it; rows of a window that is still being
    trained on differ by rank, so each rank writes its own.
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    per_window = trainer.args.steps_per_generation * trainer.num_iterations
    open_window = trainer._step % per_window != 0
    if trainer.args.process_index == 0:
        state = {
            "micro_step": trainer._step,
            "open_window": open_window,
            "loop": trainer.loop.state_dict(),
            "meter": trainer.meter.state_dict(),
        }
        if open_window:
            state["pictured"] = trainer.loop.pictured()
        (path / STATE).write_text(json.dumps(state))
        if trainer.slow_judge is not None:
            trainer.slow_judge.save(path)
    if open_window:
        _save_window(trainer._buffered_inputs, path, trainer.args.process_index)


def load_state(trainer: SparkGRPOTrainer, folder: str) -> None:
    """Restore what `save_state` wrote. Raises UserError for a checkpoint of another trainer."""
    path = Path(folder)
    if not (path / STATE).is_file():
        problem = Problem(
            str(path),
            f"a checkpoint without {STATE}",
            "a checkpoint that spark-lab wrote",
            "start anew with force=true, or put the missing file back",
        )
        raise UserError(problem)
    state = json.loads((path / STATE).read_text())
    trainer._step = state["micro_step"]
    trainer.loop.load_state_dict(state["loop"])
    trainer.meter.load_state_dict(state["meter"])
    if trainer.slow_judge is not None:
        trainer.slow_judge.load(path)
    if state["open_window"]:
        device = trainer.accelerator.device
        trainer._buffered_inputs = _load_window(path, trainer.args.process_index, device)
        _see_again(trainer, state["pictured"])


def _see_again(trainer: SparkGRPOTrainer, pictured: list[tuple[int, str]]) -> None:
    """Images are in no checkpoint: those of an open window are encoded anew."""
    if not pictured:
        return
    prompts = trainer.loop.prompts_of(pictured)
    groups = {group for batch in trainer._buffered_inputs for group in batch["group"].tolist()}
    trainer.prompts.open({group: prompts[group] for group in sorted(groups)})


def load_renamed(model: PreTrainedModel, folder: str) -> bool:
    """Load the weights of a checkpoint that stores them by other names than the model's own; False
    for any other checkpoint, which is transformers' own business.

    save_pretrained keeps the names of older releases for models that see images, and transformers'
    Trainer, which loads by the present names, would leave most of their weights as they are.
    """
    files = sorted(Path(folder).glob("model*.safetensors"))
    stored = {name for file in files for name in read_header(file)}
    if stored <= model.state_dict().keys():
        return False
    saved = type(model).from_pretrained(folder, dtype=model.dtype, use_safetensors=True)
    model.load_state_dict(saved.state_dict())
    return True


def _window_files(path: Path, rank: int) -> tuple[Path, Path]:
    return path / f"window_{rank}.safetensors", path / f"window_{rank}.json"


def _save_window(batches: list[dict[str, Any]], path: Path, rank: int) -> None:
    tensors, rest = {}, []
    for i, batch in enumerate(batches):
        plain = {}
        for key, value in batch.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{i}.{key}"] = value.detach().cpu().clone().contiguous()
            else:
                plain[key] = value
        rest.append(plain)
    tensor_file, json_file = _window_files(path, rank)
    save_file(tensors, tensor_file)
    json_file.write_text(json.dumps(rest))


def _load_window(path: Path, rank: int, device: torch.device) -> list[dict[str, Any]]:
    tensor_file, json_file = _window_files(path, rank)
    batches: list[dict[str, Any]] = json.loads(json_file.read_text())
    for name, tensor in load_file(tensor_file).items():
        i, key = name.split(".", 1)
        batches[int(i)][key] = tensor.to(device)
    return batches
