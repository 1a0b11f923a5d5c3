"""What a run would take: sizes without weights, memory and work by hand, and what the terminal says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from families import save
from known_data import jsonl
from torch.autograd.graph import saved_tensors_hooks
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, LlamaConfig

from spark_lab import cli
from spark_lab.config import compose
from spark_lab.costs import cost_text, memory
from spark_lab.costs.memory import Setting
from spark_lab.costs.text import prompt_tokens
from spark_lab.costs.work import model_cost, sampling_hours, training_hours, work
from spark_lab.models.load import load_model, resolve_path
from spark_lab.models.sizes import PUBLIC, ModelSize, size_of
from spark_lab.training.meter import ModelCost

CONF = Path(__file__).parent.parent / "conf"
KINDS = {
    "Qwen/Qwen2.5-VL": "qwen2_5_vl",
    "Qwen/Qwen2.5": "qwen2",
    "Qwen/Qwen3": "qwen3",
    "google/gemma-3": "gemma3_text",
}
# N 1000, V 10, h 4, f 8, L 2, a 2, k 1, d 2: a layer's matrices have 16+8+8+16+32+32+32 = 144 weights.
TOY = ModelSize(1000, 10, 4, 8, 2, 2, 1, 2, tied=True)
FULL = Setting(4, 2, None, False, True, True, 4, 16, 32, 50)


def built(name: str, size: ModelSize) -> torch.nn.Module:
    """Of the true class, without storage."""
    kind = next((kind for start, kind in KINDS.items() if name.startswith(start)), "llama")
    text = dict(
        vocab_size=size.vocabulary,
        hidden_size=size.hidden,
        intermediate_size=size.intermediate,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.kv_heads,
        head_dim=size.head_dim,
        tie_word_embeddings=size.tied,
    )
    if not size.vision:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **text))
    units = {3584: 3420, 5120: 3456}[size.hidden]
    vision = dict(depth=32, hidden_size=1280, intermediate_size=units, out_hidden_size=size.hidden)
    config = AutoConfig.for_model(
        kind, text_config=text, vision_config=vision, tie_word_embeddings=False
    )
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(config)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_sizes_are_those_of_the_class(name: str) -> None:
    size, model = PUBLIC[name], built(name, PUBLIC[name])
    weights = dict(model.named_parameters())
    assert sum(weight.numel() for weight in weights.values()) == size.parameters
    seeing = sum(weight.numel() for name, weight in weights.items() if "visual" in name)
    assert seeing == size.vision
    assert model_cost(size) == ModelCost.of(model)
    matrices = [w for name, w in weights.items() if ".layers." in name and w.dim() == 2]
    assert sum(matrix.numel() for matrix in matrices) == size.linear


def test_every_model_option_has_a_known_size() -> None:
    for file in (CONF / "model").glob("*.yaml"):
        if file.stem != "local":
            config = compose([f"model={file.stem}", "trainer.max_completion_length=8"])
            assert size_of(config.model.path) is not None, file.stem


@pytest.mark.parametrize("name", ["llama3", "gemma3", "qwen3"])
def test_a_folder_tells_its_size_without_being_loaded(name: str, tmp_path: Path) -> None:
    folder = save(name, tmp_path / name)
    model, _ = load_model(compose([f"model.path={folder}"]).model)
    size = size_of(str(folder))
    assert model_cost(size) == ModelCost.of(model)
    assert size.parameters == model.num_parameters() and size.layers == 2


def test_sizes_that_cant_be_told() -> None:
    assert size_of("someone/else") is None
    said = cost_text(compose(["model=local", "model.path=someone/else", "trainer=llm"]))
    assert "unknown" in said and "someone/else" in said
    tiny = size_of("builtin:tiny")
    stored = json.loads((Path(resolve_path("builtin:tiny")) / "config.json").read_text())
    assert (tiny.hidden, tiny.layers, tiny.tied) == (stored["hidden_size"], 3, True)


def parts(setting: Setting, **plan: object) -> dict[str, float]:
    return {part.name: part.bytes for part in memory.of_gpu(TOY, setting, **plan)}


def test_the_memory_of_full_training_by_hand() -> None:
    # A = 6*4 + 2*(2+1)*2 + 4*8 = 68; recomputed 2*4 + 68 = 76; 4 rows of 50 tokens.
    alone = {
        "weights": 4000,
        "gradients": 4000,
        "AdamW's moments": 8000,
        "reference model": 4000,
        "weights to compute with": 2000,
        "activations": 2 * 200 * 76,
        "or: cache": 2 * 32 * 50 * 2 * 2 * 1 * 2,
    }
    assert parts(FULL, gpus=1, sharded=False) == alone
    assert memory.total(memory.of_gpu(TOY, FULL, gpus=1, sharded=False)) == 22000 + 30400
    # 16 rows of an update are 2 for each of 8 GPUs; 32 rows of a window are 4.
    shared = {name: held / 8 for name, held in alone.items()}
    shared["weights to compute with"] = 2 * (144 + 40)
    shared["activations"] = 2 * 100 * 76
    assert parts(FULL, gpus=8, sharded=True) == shared
    replicated = parts(FULL, gpus=8, sharded=False)
    assert replicated["weights"] == 4000 and replicated["or: cache"] == alone["or: cache"] / 8


def test_the_memory_of_adapters_by_hand() -> None:
    # 2 layers of rank 3 on (4,4) (4,2) (4,2) (4,4) (4,8) (4,8) (8,4): 3*(8+6+6+8+12+12+12) = 192.
    lora = Setting(2, 2, 3, False, True, False, 4, 16, 32, 50)
    held = parts(lora, gpus=1, sharded=False)
    assert held["weights"] == 2 * 1000 + 4 * 384 and held["gradients"] == 4 * 384
    assert held["activations"] == 2 * 200 * 2 * 68
    assert "reference model" not in held and "weights to compute with" not in held
    qlora = parts(Setting(2, 2, 3, True, True, False, 4, 16, 32, 50), gpus=1, sharded=False)
    assert qlora["weights"] == pytest.approx(2 * 712 + 4.127 / 8 * 288 + 2 * 384)


def saved_numbers(layers: int, *, recompute: bool) -> float:
    """Numbers for each token that torch keeps for the backward pass, beside the weights."""
    sizes = {"hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": layers}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    model = AutoModelForCausalLM.from_config(LlamaConfig(vocab_size=50, **sizes, **heads)).train()
    if recompute:
        model.activation_checkpointing_enable()
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    ids = torch.zeros(2, 30, dtype=torch.long)
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(ids, use_cache=False)
    assert output.logits.requires_grad
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values()) / 4 / ids.numel()


def test_activations_are_those_that_torch_keeps() -> None:
    size = ModelSize(0, 50, 64, 172, 1, 4, 2, 16, tied=False)
    layer = (saved_numbers(6, recompute=False) - saved_numbers(2, recompute=False)) / 4
    assert layer == pytest.approx(memory.activations(size, recompute=False), rel=0.02)
    layer = (saved_numbers(6, recompute=True) - saved_numbers(2, recompute=True)) / 4
    assert layer == pytest.approx(64, rel=0.02)


def planned(*words: str):
    sizes = ["trainer.prompts_per_window=4", "trainer.group_size=2"]
    return compose([*sizes, "trainer.max_completion_length=10", *words])


def test_work_by_hand() -> None:
    cost = ModelCost(parameters=100, layers=1, attention_width=2)
    # A row of 5 + 10 tokens: 2*100*15 + 4*2*(15*16/2) = 3960; of 15 + 10: 5000 + 8*325 = 7600.
    plain = work(planned("objective=none", "budget=steps", "budget.limit=3"), cost, (5, 15))
    assert (plain.windows, plain.rollouts, plain.tokens) == (3, 24, 240)
    assert (plain.sampling_flops, plain.training_flops) == (24 * 3960, 24 * 3 * 3960)
    assert training_hours(plain) == 24 * 3 * 3960 / (0.4 * 989e12) / 3600
    joint = work(planned("budget=steps", "budget.limit=3"), cost, (5, 15))
    assert joint.windows == 6 and joint.sampling_flops == 24 * (3960 + 7600)
    words = ["schedule=alternate", "trainer.updates_per_window=2", "trainer.beta=0.1"]
    words += ["trainer.activation_checkpointing=true", "budget=rollouts", "budget.limit=16"]
    both = work(planned(*words), cost, (5, 15))
    assert both.windows == 2 and both.training_flops == 8 * (3960 + 7600) * (2 + 4)
    flops = work(planned("objective=none", "budget=flops", "budget.limit=126720"), cost, (5, 15))
    assert flops.windows == 1 and flops.training_flops + flops.sampling_flops == 126720
    tokens = work(planned("budget=generated_tokens", "budget.limit=160"), cost, (5, 15))
    assert tokens.windows == 2 and tokens.tokens == 160
    assert work(planned("budget=seconds"), cost, (5, 15)).windows == 0


def test_sampling_time_by_hand() -> None:
    config = planned("objective=none", "budget=steps", "budget.limit=3")
    done = work(config, model_cost(TOY), (5, 15))
    # 30 tokens in turn; each reads 2000 bytes of weights and of 8 rows 2*2*2*1*2 = 16 bytes x 10.
    hours = sampling_hours(config, TOY, done, 5, gpus=1, compute_bytes=2)
    assert hours == pytest.approx(30 * (2000 + 8 * 16 * 10) / (0.5 * 3.35e12) / 3600)
    two = sampling_hours(config, TOY, done, 5, gpus=2, compute_bytes=2)
    assert two == pytest.approx(2 * 30 * (2000 + 4 * 16 * 10) / (0.5 * 3.35e12) / 3600)


@pytest.fixture
def questions(tmp_path: Path) -> list[str]:
    rows = [{"question": "x" * 400, "answer": n} for n in range(300)]
    train = jsonl(
        tmp_path / "train.jsonl",
        *({**row, "question": f"{n}" + row["question"]} for n, row in enumerate(rows)),
    )
    return ["task=data", f"task.data.train_path={train}", "task.data.eval_size=2"]


def test_prompts_of_judges_hold_what_they_show(questions: list[str]) -> None:
    words = [*questions, "model.templates=full", "trainer.max_completion_length=400"]

    def lengths(objective: str, material: str) -> tuple[float, float]:
        chosen = [f"objective={objective}", f"objective.{objective}.material={material}"]
        return prompt_tokens(compose([*words, *chosen]))

    asked, with_answer = lengths("pointwise", "answer")
    assert 401 / 4 + 30 < asked < 401 / 4 + 200
    assert lengths("pointwise", "working") == (asked, with_answer + 400)
    assert lengths("pointwise", "both") == (asked, with_answer + 200)
    assert lengths("pairwise", "working")[1] == lengths("pairwise", "answer")[1] + 800


def test_images_count_as_the_tokens_that_the_model_makes_of_them() -> None:
    """Of drawn sums the tiny model makes one a glyph; Qwen2.5-VL one of 28 x 28 pixels."""

    def lengths(*words: str) -> float:
        return prompt_tokens(compose(["task=visual_sums", "model=tiny_vlm", *words]))[0]

    characters = (len("Solve {question} \\boxed{}") + len("the sum in the image")) / 4
    glyphs = lengths() - 30 - characters
    assert 5 <= glyphs <= 9
    assert lengths("task.visual_sums.dot=2") - 30 - characters == 4 * glyphs
    limited = lengths("task.visual_sums.dot=2", "model.max_pixels=300")
    assert limited - 30 - characters == 3
    named = lengths("task.visual_sums.dot=28", "model.path=Qwen/Qwen2.5-VL-7B-Instruct")
    assert abs(named - 30 - characters - 100 * glyphs) < 1


@pytest.mark.parametrize(
    ("preset", "weights"),
    [
        ("paper_spark_7b", "7.62 G"),
        ("paper_spark_vl_7b", "8.29 G"),
        ("paper_spark_vl_32b", "33.5 G"),
    ],
)
def test_a_dry_run_says_what_the_papers_experiment_takes(
    preset: str,
    weights: str,
    questions: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr("sys.argv", ["spark-lab", f"preset={preset}", *questions, "dry_run=true"])
    cli.main()
    said = capsys.readouterr().out
    for word in (weights, "sampled tokens", "FLOPs", "memory of a GPU", "4 T / n", "GPU-hours"):
        assert word in said
    assert max(map(len, said.splitlines())) <= 110
    # All weights of 7 B with gradients, moments and a reference fit no GPU, and shared out they do.
    [fits] = [line.split() for line in said.splitlines() if "fits" in line]
    assert fits[-4:] == (
        ["no", "no", "no", "yes"] if "32b" in preset else ["no", "no", "yes", "yes"]
    )
