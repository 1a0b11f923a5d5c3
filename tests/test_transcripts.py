from __future__ import annotations

import random
import re
from collections import Counter
from itertools import pairwise

from spark_lab import answers
from spark_lab.drawing import QUESTION
from spark_lab.models.arithmetic import Arithmetic
from spark_lab.models.decoder import build_tokenizer
from spark_lab.models.recipes import RECIPES
from spark_lab.models.transcripts import DRILL, Transcript, TranscriptWriter

TINY_COMPLETION_TOKENS = 40


SHARES = RECIPES["tiny"].stages[-1].shares


def drawn(number: int = 600, seed: int = 0, *, pictures: bool = False) -> list[Transcript]:
    writer = TranscriptWriter(random.Random(seed), Arithmetic(seed), drawn=pictures)
    return [writer.draw(SHARES) for _ in range(number)]


def steps(text: str) -> list[tuple[int, int, int]]:
    return [tuple(map(int, found)) for found in re.findall(r"(\d+)\+(\d+)=(\d+)", text)]


def test_same_seed_same_transcripts() -> None:
    assert drawn(50) == drawn(50)
    assert drawn(50) != drawn(50, seed=1)


def test_every_working_goes_on_from_its_own_last_value() -> None:
    for transcript in drawn():
        worked = steps(transcript.completion)
        for (_, _, result), (value, _, _) in pairwise(worked):
            assert value == result
        if transcript.kind in ("solve", "told_wrong", "verify_first"):
            assert answers.extract_boxed(transcript.completion) == str(worked[-1][-1])


def test_what_is_concluded_from_a_comparison_is_never_wrong() -> None:
    for transcript in drawn():
        for own, shown, said in re.findall(r"(\d+) \? (\d+) (Yes|No)", transcript.completion):
            assert (own == shown) == (said == "Yes")
        if transcript.kind == "pointwise":
            right = transcript.completion.count("Yes") > transcript.completion.count("No")
            labels = ("Yes", "A") if right else ("No", "B")
            assert answers.extract_boxed(transcript.completion) in labels


def test_a_told_wrong_transcript_never_repeats_the_shown_answer() -> None:
    for transcript in drawn():
        if transcript.kind == "told_wrong":
            shown = re.findall(r"(\d+)(?:\}| \\)", transcript.prompt)[0]
            assert answers.extract_boxed(transcript.completion) != shown != transcript.truth


def test_half_of_the_judged_solutions_are_right_and_half_show_their_working() -> None:
    judged = [transcript for transcript in drawn(4000) if transcript.kind == "pointwise"]
    right = sum(transcript.truth in ("Yes", "A") for transcript in judged) / len(judged)
    working = sum("=" in transcript.prompt for transcript in judged) / len(judged)
    assert abs(right - 0.5) < 0.06 and abs(working - 0.5) < 0.06


def test_the_truth_is_that_of_the_question() -> None:
    for transcript in drawn():
        terms = re.search(r"\d(?:\+\d)+", transcript.prompt)
        if transcript.kind in ("solve", "told_wrong", "verify_first"):
            assert transcript.truth == str(sum(map(int, terms[0].split("+"))))


def test_all_text_is_inside_the_language_and_comes_back_from_its_tokens() -> None:
    tokenizer = build_tokenizer()
    for transcript in drawn():
        for text in (transcript.prompt, transcript.completion):
            ids = tokenizer(text).input_ids
            assert tokenizer.unk_token_id not in ids
            assert tokenizer.decode(ids) == text
        if transcript.kind != DRILL:
            assert len(tokenizer(transcript.completion).input_ids) < TINY_COMPLETION_TOKENS


def test_misremembered_sums_are_usually_but_not_always_wrong() -> None:
    arithmetic, rng = Arithmetic(seed=0), random.Random(0)
    wrong = 0
    for value in range(1, 45):
        for digit in range(1, 10):
            results = Counter(arithmetic.add(value, digit, rng) for _ in range(200))
            assert results[value + digit] > 0.15 * 200
            wrong += results.most_common(1)[0][0] != value + digit
    assert 0.2 < wrong / (44 * 9) < 0.4


def test_a_drawn_sum_is_in_the_picture_alone() -> None:
    """But for the solutions that are shown, the prompt's text holds no digit."""
    for transcript in drawn(pictures=True):
        if transcript.kind == DRILL:
            assert transcript.asked.images == ()
            continue
        (picture,) = transcript.asked.images
        asked, mark, shown = transcript.prompt.partition(QUESTION)
        assert mark and not any(character.isdigit() for character in asked)
        assert shown == " \\boxed{}" or transcript.kind != "solve"
        terms = re.findall(r"\d", picture.text)
        if transcript.kind != "pairwise" and transcript.kind != "pointwise":
            assert transcript.truth == str(sum(map(int, terms)))
        # The completion reads the picture, whatever the shown solution says.
        worked = steps(transcript.completion)
        assert [worked[0][0], *(term for _, term, _ in worked)] == list(map(int, terms))


def test_some_solutions_that_are_shown_of_a_picture_were_misread() -> None:
    misread = 0
    for transcript in drawn(pictures=True):
        shown = steps(transcript.prompt)
        if transcript.kind == "told_wrong" and shown:
            (picture,) = transcript.asked.images
            terms = list(map(int, picture.text.split("+")))
            misread += [shown[0][0], *(term for _, term, _ in shown)] != terms
    assert misread > 5
