"""Thirty-odd model folders that can't be trained: each is refused with its reason, before training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from families import save
from safetensors.torch import load_file, save_file

from spark_lab import runs
from spark_lab.config import compose
from spark_lab.errors import UserError
from spark_lab.models.chat import Chat
from spark_lab.models.load import load_model

Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save("llama3", tmp_path_factory.mktemp("sound"))


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "model"))


def changed(file: str, **values: Any) -> Damage:
    """Keys of a JSON file; ... removes one."""

    def damage(folder: Path) -> None:
        path = folder / file
        content = json.loads(path.read_text()) | values
        kept = {key: value for key, value in content.items() if value is not ...}
        path.write_text(json.dumps(kept))

    return damage


def config(**values: Any) -> Damage:
    return changed("config.json", **values)


def written(file: str, text: str) -> Damage:
    return lambda folder: (folder / file).write_text(text) and None


def weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / "model.safetensors"
        held = load_file(path)
        change(held)
        save_file(held, path, metadata={"format": "pt"})

    return damage


def nan(held: dict[str, torch.Tensor]) -> None:
    held["model.norm.weight"][3] = float("nan")


def infinite(held: dict[str, torch.Tensor]) -> None:
    held["lm_head.weight"][3, 3] = float("inf")


def turned(held: dict[str, torch.Tensor]) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    held[name] = held[name].T.contiguous()


def renamed(held: dict[str, torch.Tensor]) -> None:
    for name in list(held):
        held[f"module.{name}"] = held.pop(name)


def far_token(folder: Path, content: str = " ") -> None:
    """A token beyond the embeddings."""
    path = folder / "tokenizer.json"
    stored = json.loads(path.read_text())
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    stored["added_tokens"].append({"id": 261, "content": content} | flags)
    path.write_text(json.dumps(stored))


def as_gguf(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model.gguf")


def shapes_that_lie(folder: Path) -> None:
    path = folder / "model.safetensors"
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    path.write_bytes(raw[:8] + raw[8 : 8 + length].replace(b"[32]", b"[31]") + raw[8 + length :])


CODE = {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"}
DAMAGES: dict[str, tuple[Damage, str]] = {
    "no model type": (config(model_type=...), "a config.json with a model_type"),
    "an unknown model type": (config(model_type="qwen9"), "pip install --upgrade transformers"),
    "code of its own": (config(model_type="mine", auto_map=CODE), "is never run"),
    "an encoder and decoder": (config(model_type="t5"), "a causal language model"),
    "another architecture": (config(model_type="bert"), "no weights for bert."),
    "a wider config": (config(hidden_size=64), "(32,) instead of (64,)"),
    "another vocabulary": (config(vocab_size=100), "instead of (100, 32)"),
    "a layer too many": (config(num_hidden_layers=3), "no weights for model.layers.2."),
    "no heads": (config(num_attention_heads=0), "ZeroDivisionError"),
    "heads in words": (config(num_attention_heads="two"), "num_attention_heads"),
    "no context": (config(max_position_embeddings=None), "max_position_embeddings"),
    "a context in words": (config(max_position_embeddings="512"), "max_position_embeddings"),
    "unknown positions": (config(rope_parameters={"rope_type": "nonsense"}), "nonsense"),
    "an unknown number format": (config(dtype="float7", torch_dtype="float7"), "float7"),
    "an end that is no token": (changed("generation_config.json", eos_token_id="x"), "'x'"),
    "no weights for the output": (weights(lambda held: held.pop("lm_head.weight")), "lm_head"),
    "a matrix that is turned": (weights(turned), "(32, 48) instead of (48, 32)"),
    "names with a prefix": (weights(renamed), "no weights for"),
    "weights that are NaN": (weights(nan), "(NaN or infinite): model.norm.weight"),
    "weights that are infinite": (weights(infinite), "lm_head.weight"),
    "a header with other shapes": (shapes_that_lie, "SafetensorError"),
    "weights to ask, not to train": (as_gguf, "GGUF"),
    "no map of the weights": (
        written("model.safetensors.index.json", '{"weight_map": []}'),
        "weight_map",
    ),
    "numbers for files": (
        written("model.safetensors.index.json", '{"weight_map": {"a": 3}}'),
        "weight_map",
    ),
    "a tokenizer that is none": (written("tokenizer.json", "{}"), "added_tokens"),
    "half a tokenizer": (written("tokenizer.json", '{"model": {"type": "BPE"}}'), "KeyError"),
    "settings that are no JSON": (written("tokenizer_config.json", "{"), "tokenizer_config.json"),
    "settings in a list": (written("tokenizer_config.json", "[]"), "a JSON list"),
    "no end token": (changed("tokenizer_config.json", eos_token=...), "without an end token"),
    "ends that are no JSON": (written("generation_config.json", "{"), "generation_config.json"),
    "a token without an embedding": (far_token, "token 261, while the model knows 261"),
    "a template that is none": (written("chat_template.jinja", "{% if %}"), "TemplateSyntaxError"),
    "a template without the text": (written("chat_template.jinja", "Hello"), "writes 'Hello'"),
}


def test_the_sound_folder_loads(folder: Path) -> None:
    settings = compose([f"model.path={folder}"]).model
    model, tokenizer = load_model(settings)
    assert model.config.model_type == "llama" and Chat.of(settings, tokenizer).opening == ""


def test_a_token_that_is_never_written_needs_no_embedding(folder: Path) -> None:
    """Gemma 3 of 1 B has one for images, which it can't see."""
    far_token(folder, "<image>")
    model, tokenizer = load_model(compose([f"model.path={folder}"]).model)
    assert len(tokenizer) == 262 and model.get_input_embeddings().num_embeddings == 261


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_folder_is_refused(name: str, folder: Path) -> None:
    damage, said = DAMAGES[name]
    damage(folder)
    with pytest.raises(UserError) as caught:
        settings = compose([f"model.path={folder}"]).model
        _, tokenizer = load_model(settings)
        Chat.of(settings, tokenizer)
    text = str(caught.value)
    assert said in text and "Traceback" not in text
    assert all(problem.fix and problem.expected for problem in caught.value.problems)
    assert name.startswith("a template") or str(folder) in text


def test_a_template_file_that_cant_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UserError, match="a file in UTF-8"):
            compose([f"model.chat_template={path}"])
    (tmp_path / "latin.jinja").write_bytes("é".encode("latin-1"))
    with pytest.raises(UserError, match="a file in UTF-8"):
        compose([f"model.chat_template={tmp_path / 'latin.jinja'}"])


def test_an_attention_kernel_that_the_model_lacks(folder: Path) -> None:
    settings = compose([f"model.path={folder}"]).model
    settings.attention = "nonsense"
    with pytest.raises(UserError, match=r"model\.attention=auto"):
        load_model(settings)


def test_nothing_is_trained_and_the_command_ends_with_2(
    folder: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    weights(nan)(folder)
    words = [f"model.path={folder}", f"root={tmp_path / 'runs'}", "tracking=off"]
    assert "NaN" in refused(*words)
    [run] = runs.find_runs(tmp_path / "runs")
    assert runs.read_status(run)["state"] == "failed"
    assert not (run / "checkpoints").exists() and not (run / "metrics.jsonl").read_text()
