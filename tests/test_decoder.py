from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from spark_lab.models.decoder import build_decoder, build_tokenizer

WORKED = "7+1=8; 8+5=13; 13 ? 24 No; 13 ? 13 Yes \\boxed{No}"


@pytest.mark.parametrize(
    "text",
    [
        WORKED,
        "Solve 7+1+5+9 \\boxed{}",
        "Judge 7+1+5 : 7+1=8; 8+5=13 \\boxed{13} ? Yes or No \\boxed{}",
        "Compare 7+1+5 A : 13 B : 15 \\boxed{}",
        "\\boxed{\\boxed{13}} 99 0 Yes Yes",
    ],
)
def test_text_comes_back_from_its_tokens(text: str) -> None:
    tokenizer = build_tokenizer()
    ids = tokenizer(text).input_ids
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids) == text


def test_any_completion_encodes_to_the_tokens_that_were_sampled() -> None:
    """Whatever the model samples, pasted into a judge prompt, is read as the same tokens."""
    tokenizer = build_tokenizer()
    ordinary = [i for i in range(len(tokenizer)) if i not in tokenizer.all_special_ids]
    for first in ordinary:
        for second in ordinary:
            ids = [first, second, first]
            assert tokenizer(tokenizer.decode(ids)).input_ids == ids


def test_numbers_boxes_and_words_are_one_token_each() -> None:
    tokens = build_tokenizer().tokenize("13+9=22; 22 ? 24 No \\boxed{Yes} A : B")
    assert " ".join(tokens) == "13 + 9 = 22 ; 22 ? 24 No \\boxed{ Yes } A : B"


@pytest.mark.parametrize("text", ["123", "7-1", "héllo", "\x00", "{", "Yes.", "\u202e7"])
def test_text_outside_the_language_is_unknown_and_no_error(text: str) -> None:
    tokenizer = build_tokenizer()
    assert tokenizer.unk_token_id in tokenizer(text).input_ids


def test_the_chat_template_asks_for_a_completion() -> None:
    tokenizer = build_tokenizer()
    turns = [{"role": "user", "content": "Solve 1+2"}]
    shown = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    assert shown == "<user>Solve 1+2<assistant>"
    turns.append({"role": "assistant", "content": "3"})
    assert tokenizer.apply_chat_template(turns, tokenize=False) == shown + "3<eos>"


def test_padding_and_end_differ() -> None:
    tokenizer = build_tokenizer()
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert tokenizer.padding_side == "left"


def test_the_tokenizer_survives_saving_beside_the_model(tmp_path: Path) -> None:
    """AutoTokenizer may go by config.json and replace the pre-tokenizer without a word."""
    tokenizer = build_tokenizer()
    build_decoder(tokenizer).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded(WORKED).input_ids == tokenizer(WORKED).input_ids
    assert loaded.decode(loaded(WORKED).input_ids) == WORKED
    assert loaded.chat_template == tokenizer.chat_template
    assert (loaded.pad_token, loaded.eos_token) == (tokenizer.pad_token, tokenizer.eos_token)


def test_the_decoder_is_small() -> None:
    model = build_decoder(build_tokenizer())
    assert sum(parameter.numel() for parameter in model.parameters()) < 1_000_000
