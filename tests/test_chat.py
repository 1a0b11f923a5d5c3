# ruff: noqa: RUF001
"""Five families' own chat templates: where the system text goes, and the same prompts everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from families import FAMILIES, save, tokenizer_of
from tiny_spark import Notebook, small, trainer_of
from trl import GRPOTrainer

from spark_lab.build import build_generator
from spark_lab.config import compose
from spark_lab.errors import UserError
from spark_lab.models.chat import Chat
from spark_lab.records import Prompt
from spark_lab.training.trainer import SparkGRPOTrainer

SYSTEM, TEXT = "Be brief.", "7+1"
# What stands between the system text and the user's, and what the model goes on from.
TURNS = {
    "qwen2_5": ("<|im_end|>\n<|im_start|>user\n", "<|im_start|>assistant\n"),
    "llama3": (
        "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n",
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    "gemma": ("\n\n", "<start_of_turn>model\n"),
    "gemma3": ("\n\n", "<start_of_turn>model\n"),
    "smollm2": ("<|im_end|>\n<|im_start|>user\n", "<|im_start|>assistant\n"),
    "qwen3": ("<|im_end|>\n<|im_start|>user\n", "<|im_start|>assistant\n"),
    "deepseek_r1": ("<｜User｜>", "<｜Assistant｜><think>\n"),
}
TRAINED = ["objective=[pointwise,reflect]", "budget.limit=2", "model.system_prompt=Add."]
TRAINED += [f"objective.{name}.material=working" for name in ("pointwise", "reflect")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp("families")
    return {name: save(name, top / name) for name in FAMILIES}


def chat_of(name: str, *words: str) -> Chat:
    return Chat.of(compose(list(words)).model, tokenizer_of(name))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_system_text_goes_where_the_template_takes_it(name: str) -> None:
    tokenizer = tokenizer_of(name)
    between, end = TURNS[name]
    chat = chat_of(name, f"model.system_prompt={SYSTEM}")
    [ids] = chat.encode(tokenizer, [TEXT])
    said = tokenizer.decode(ids)
    assert f"{SYSTEM}{between}{TEXT}" in said and said.endswith(end)
    assert said.count(SYSTEM) == 1
    assert chat.folded == (name == "gemma")
    [without] = chat_of(name).encode(tokenizer, [TEXT])
    assert SYSTEM not in tokenizer.decode(without) and chat.encode(tokenizer, []) == []


def test_a_thinking_block_that_the_template_opens_belongs_to_the_completion() -> None:
    assert chat_of("deepseek_r1").opening == "<think>\n"
    assert {chat_of(name).opening for name in FAMILIES.keys() - {"deepseek_r1"}} == {""}


def test_variables_of_the_template_reach_it() -> None:
    tokenizer = tokenizer_of("qwen3")
    chat = chat_of("qwen3", "+model.chat_template_kwargs.enable_thinking=false")
    [ids] = chat.encode(tokenizer, [TEXT])
    assert tokenizer.decode(ids).endswith("<think>\n\n</think>\n\n") and chat.opening == ""


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for message in messages %}", "TemplateSyntaxError"),
        ("{{ raise_exception('tools only') }}", "tools only"),
        ("{{ messages[0]['content'][0]['text'] }}", "writes ''"),
        ("{{ messages[0]['text']['de'] }}", "UndefinedError"),
        ("{{ messages[0]['role'] }}", "writes 'user'"),
        ("{{ messages[0]['content'] + 1 }}", "TypeError"),
    ],
)
def test_a_template_that_cant_ask_is_refused(template: str, said: str) -> None:
    tokenizer = tokenizer_of("llama3")
    tokenizer.chat_template = template
    with pytest.raises(UserError, match=said) as caught:
        Chat.of(compose([]).model, tokenizer)
    assert caught.value.problems[0].where == "model.chat_template"


@pytest.fixture(scope="module", params=FAMILIES)
def trained(
    request: pytest.FixtureRequest,
    folders: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, SparkGRPOTrainer, Notebook]:
    """Two updates of a model that is loaded by its path."""
    name = request.param
    words = [*TRAINED, f"model.path={folders[name]}"]
    trainer, notebook = trainer_of(small(*words), tmp_path_factory.mktemp(name))
    trainer.train()
    return name, trainer, notebook


def test_every_family_is_trained_and_asked_with_the_same_prompts(
    trained: tuple[str, SparkGRPOTrainer, Notebook], folders: dict[str, Path]
) -> None:
    name, trainer, notebook = trained
    assert all(row["grad_norm"] >= 0 for row in notebook.rows) and len(notebook.rows) == 2
    # What noise in a thinking block says is shown to nobody.
    judged = [row for row in notebook.rollout_rows if row["objective"] != "solve"]
    assert judged or name == "deepseek_r1"
    config = small(*TRAINED, f"model.path={folders[name]}")
    generator = build_generator(config, trainer.model, trainer.processing_class)
    texts = [TEXT, notebook.rollout_rows[-1]["prompt"]]
    asked = list(map(Prompt, texts))
    chats = [trainer.encoder.messages(prompt) for prompt in asked]
    by_trl, *_ = GRPOTrainer._tokenize_prompts(trainer, chats)
    assert trainer.encoder.text_ids(asked) == by_trl
    [[completion], _] = generator.complete(asked)
    assert completion.tokens <= config.trainer.max_completion_length


def test_a_model_without_a_padding_token_ends_at_any_of_its_end_tokens(
    trained: tuple[str, SparkGRPOTrainer, Notebook],
) -> None:
    name, trainer, _ = trained
    family, tokenizer = FAMILIES[name], trainer.processing_class
    assert tokenizer.pad_token == (family.pad or family.eos)
    ends = set(tokenizer.convert_tokens_to_ids([family.eos, *family.ends]))
    assert set(trainer.eos_token_ids) == ends
    generator = build_generator(small(), trainer.model, tokenizer)
    assert set(generator._ends) == ends
