"""Where a completion's verdict begins, whatever the tokenizer merges."""

from __future__ import annotations

import pytest
from tiny_tokenizers import byte_pair_tokenizer, word_tokenizer

from spark_lab.evaluation.verdict_position import locate_verdict

BYTES = byte_pair_tokenizer(["x"])
MERGED = byte_pair_tokenizer(["\\boxed{A} \\boxed{B} {A {B", "\\boxed{Yes} {Yes Yes {No"])
LOPSIDED = byte_pair_tokenizer(["{Yes {Yes", "No No No"])
TOKENIZERS = {"words": word_tokenizer(), "bytes": BYTES, "merged": MERGED, "lopsided": LOPSIDED}


def test_the_byte_pair_tokenizers_split_a_box_in_different_ways():
    def pieces(tokenizer, text):
        return tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])

    assert pieces(BYTES, "{Yes}") == ["{", "Y", "e", "s", "}"]
    assert pieces(MERGED, "{A}") == ["{A", "}"]
    assert pieces(LOPSIDED, "{Yes}")[0] == "{Yes" and pieces(LOPSIDED, "{No}")[0] == "{"


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("labels", [("Yes", "No"), ("No", "Yes"), ("A", "B")])
@pytest.mark.parametrize(
    "form",
    [
        "1+1 \\boxed{%s}",
        "\\boxed{ %s }",
        "\\boxed{\\text{%s}} 1",
        "\\boxed{%s.}",
        "\\boxed{1} + \\boxed{%s} 2",
        "%s \\boxed{%s}",
        "\\boxed{%s} + \\boxed{%s}",
    ],
)
def test_the_position_is_where_the_two_labels_part(name, labels, form):
    tokenizer = TOKENIZERS[name]
    texts = [form.replace("%s", label) for label in labels]
    encoded = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    assert [tokenizer.decode(ids) for ids in encoded] == texts
    for ids, text, label in zip(encoded, texts, labels, strict=True):
        position = locate_verdict(tokenizer, [*ids, 1], labels)
        start = text.rindex(label)
        assert ids[: len(position.prefix)] == list(position.prefix)
        before = tokenizer.decode(position.prefix)
        assert len(before) <= start and text.startswith(before)
        for other, token in zip(labels, position.tokens, strict=True):
            swapped = text[:start] + other + text[start + len(label) :]
            piece = tokenizer.decode([*position.prefix, token])
            assert swapped.startswith(piece) and len(piece) > len(before)
        assert ids[len(position.prefix)] == position.tokens[labels.index(label)]


def test_the_other_label_is_compared_in_the_case_of_the_written_one():
    for written, other in (("yes", "no"), ("YES", "NO"), ("Yes", "No")):
        ids = BYTES(f"\\boxed{{{written}}}")["input_ids"]
        tokens = locate_verdict(BYTES, ids, ("Yes", "No")).tokens
        assert BYTES.convert_ids_to_tokens(list(tokens)) == [written[0], other[0]]


def test_an_earlier_unusual_spelling_does_not_hide_the_verdict():
    usual = MERGED("Yes \\boxed{A}")["input_ids"]
    unusual = [*BYTES("Yes")["input_ids"], 0, *MERGED(" \\boxed{A}")["input_ids"]]
    expected = locate_verdict(MERGED, usual, ("A", "B"))
    found = locate_verdict(MERGED, unusual, ("A", "B"))
    assert MERGED.decode(unusual, skip_special_tokens=True) == MERGED.decode(usual)
    assert found.tokens == expected.tokens
    assert MERGED.decode(found.prefix, skip_special_tokens=True) == MERGED.decode(expected.prefix)


def test_no_position_without_a_verdict_or_where_it_is_spelled_unusually():
    for text in ("", "Yes", "\\boxed{Maybe}", "\\boxed{Yes", "\\boxed{Yes or No}"):
        assert locate_verdict(BYTES, BYTES(text)["input_ids"], ("Yes", "No")) is None
    apart = BYTES("\\boxed{A}")["input_ids"]  # "{" and "A", which MERGED would write as "{A"
    assert locate_verdict(MERGED, apart, ("A", "B")) is None
