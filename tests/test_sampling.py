"""A training that samples with each prompt computed once: which way, and the same completions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_spark import small, trainer_of

from spark_lab.records import Prompt
from spark_lab.training import sampling

# Every row takes the likeliest token, by sampling's own path.
LIKELIEST = "+trainer.grpo.top_k=1"


def completions_of(folder: Path, *overrides: str) -> tuple[str, list[str]]:
    config = small("budget.limit=2", "schedule=alternate", *overrides)
    trainer, notebook = trainer_of(config, folder)
    trainer.train()
    return trainer.generation, [row["completion"] for row in notebook.rollout_rows]


@pytest.mark.parametrize("adapters", ["none", "default"])
def test_the_likeliest_completions_are_trls(tmp_path: Path, adapters: str):
    model = f"model/lora={adapters}"
    way, ours = completions_of(tmp_path / "ours", LIKELIEST, model)
    off, theirs = completions_of(
        tmp_path / "theirs", LIKELIEST, model, "trainer.shared_prompts=off"
    )
    assert way == sampling.SHARED and off == "TRL: shared_prompts=off"
    assert ours == theirs and len(set(ours)) > 4


def test_rows_of_a_group_are_drawn_independently(tmp_path: Path):
    _, texts = completions_of(tmp_path)
    groups = [tuple(texts[i : i + 4]) for i in range(0, len(texts), 4)]
    assert sum(len(set(group)) > 1 for group in groups) > len(groups) / 2


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["+trainer.grpo.min_p=0.2"], "min_p"),
        (["+trainer.grpo.repetition_penalty=1.2"], "repetition_penalty"),
        (["+trainer.grpo.cache_implementation=static"], "cache_implementation"),
        (["+trainer.grpo.generation_kwargs.do_sample=false"], "do_sample"),
        (["model/lora=default", "model.lora.dropout=0.1"], "dropout"),
    ],
)
def test_what_only_transformers_can_do_is_left_to_it(
    tmp_path: Path, overrides: list[str], reason: str
):
    way, texts = completions_of(tmp_path, *overrides)
    assert way.startswith("TRL: ") and reason in way
    assert any(texts)


def test_a_models_own_settings_are_followed_or_left_to_transformers(tmp_path: Path):
    trainer, _ = trainer_of(small("budget.limit=1"), tmp_path)
    assert sampling.obstacle(trainer) is None
    # What TRL sets itself wins over the model's own.
    trainer.model.generation_config.update(top_k=20, repetition_penalty=1.05, temperature=0.1)
    assert sampling.obstacle(trainer) is None
    trainer.model.generation_config.suppress_tokens = [7]
    assert sampling.obstacle(trainer) is None
    trainer.model.generation_config.no_repeat_ngram_size = 3
    assert "no_repeat_ngram_size" in sampling.obstacle(trainer)


def test_a_window_takes_the_same_share_of_the_random_stream_however_long_its_rows(tmp_path: Path):
    trainer, _ = trainer_of(small("budget.limit=1"), tmp_path)
    states = []
    for text in ("Solve 1+2", "Solve 1+2+3+4+5"):
        asked = trainer.encoder([Prompt(text)]) * 4
        torch.manual_seed(3)
        rows = sampling.sample(trainer, asked)
        states.append((torch.get_rng_state(), [len(row) for row in rows]))
    assert torch.equal(states[0][0], states[1][0]) and states[0][1] != states[1][1]
