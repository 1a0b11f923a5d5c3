"""Adapters: what they need, where they go, and weights in 4 bits below them."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from spark_lab.config import compose
from spark_lab.errors import UserError
from spark_lab.models import adapters
from spark_lab.models.load import load_model
from spark_lab.schema import LoraConfig
from spark_lab.training.meter import ModelCost

SETTINGS = LoraConfig(rank=4, alpha=8.0, dropout=0.0, targets="all-linear", four_bit=False)
FOUR_BIT = replace(SETTINGS, four_bit=True)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its widths are multiples of 64, the size of a block of 4-bit weights."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2}
    model = AutoModelForCausalLM.from_config(
        LlamaConfig(vocab_size=100, num_attention_heads=2, num_key_value_heads=1, **sizes)
    )
    folder = str(tmp_path_factory.mktemp("llama"))
    model.save_pretrained(folder)
    return folder


def test_four_bits_need_their_package_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = importlib.util.find_spec
    absent = lambda name, *rest: None if name == "bitsandbytes" else found(name, *rest)  # noqa: E731
    monkeypatch.setattr(adapters, "find_spec", absent)
    with pytest.raises(UserError, match=r"spark-lab\[qlora\]"):
        compose(["model/lora=qlora"])
    monkeypatch.setattr(adapters, "find_spec", lambda name: object())
    assert compose(["model/lora=qlora", "model.lora.rank=3"]).model.lora.four_bit


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_four_bits_need_a_gpu_before_weights_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "find_spec", lambda name: object())
    config = compose(["model/lora=qlora"]).model
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", None)
    with pytest.raises(UserError, match="a GPU"):
        load_model(config)


def test_targets_have_to_match_a_layer(llama: str) -> None:
    with pytest.raises(UserError, match="a regular expression"):
        compose(["model/lora=default", "model.lora.targets='q_proj('"])
    model = AutoModelForCausalLM.from_pretrained(llama)
    with pytest.raises(UserError, match=r"q_proj, k_proj") as caught:
        adapters.peft_config(replace(SETTINGS, targets="q_proj"), model)
    fix = caught.value.problems[0].fix.split("'")[1]
    assert adapters.peft_config(replace(SETTINGS, targets=fix), model).target_modules == fix
    assert adapters.peft_config(None, model) is None


def test_other_models_are_loaded_as_they_are() -> None:
    assert adapters.four_bit(None, "float32") == adapters.four_bit(SETTINGS, "bfloat16") == {}


@pytest.mark.filterwarnings("ignore")
def test_adapters_learn_on_four_bit_weights(llama: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU the first forward, one with gradients, is exact."""
    pytest.importorskip("bitsandbytes", reason="an extra that is not installed")
    from peft import get_peft_model

    plain = AutoModelForCausalLM.from_pretrained(llama)
    ids = torch.arange(12).view(1, -1)
    expected = plain(ids).logits
    with monkeypatch.context() as patched:
        patched.setattr(torch.cuda, "is_available", lambda: True)
        settings = adapters.four_bit(FOUR_BIT, "float32")
    model = AutoModelForCausalLM.from_pretrained(llama, dtype=torch.float32, **settings)
    assert model.is_loaded_in_4bit
    assert ModelCost.of(model) == ModelCost.of(plain)
    bytes_of = {name: weight.nbytes for name, weight in model.named_parameters()}
    layer = "model.layers.1.mlp.up_proj.weight"
    assert bytes_of[layer] == plain.get_parameter(layer).numel() / 2
    adapted = get_peft_model(model, adapters.peft_config(FOUR_BIT, model)).train()
    output = adapted(ids, labels=ids)
    assert (output.logits - expected).norm() < 0.3 * expected.norm()
    output.loss.backward()
    trained = [weight for weight in adapted.parameters() if weight.requires_grad]
    assert len(trained) == 2 * 7 * 2 and all(weight.grad is not None for weight in trained)
    assert any(weight.grad.norm() > 0 for weight in trained)
