"""Verifiers beyond text, number and expression: tolerance, choice, pattern, a function of one's own."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import pytest

from spark_lab import answers
from spark_lab.config import compose
from spark_lab.errors import UserError
from spark_lab.evaluation.test_time.choosing import equal_answers

CLOSE = [
    ("3.14", "3.14159", "0.01", True), ("3.1", "3.14159", "0.01", False), ("-99", "-100", "0.01", True),
    ("0.005", "0", "0.01", True), ("0.02", "0", "0.01", False), ("50%", "0.5", "1e-3", True),
    ("0.501", "50%", "0.01", True), ("1/3", "0.33", "0.02", True), ("abc", "3", "0.5", False),
    ("1e2", "100", "0.5", False), ("", "0", "0.5", False), ("9" * 1_999, "9" * 1_999, "0.01", True),
]  # fmt: skip
CHOICES = [
    ("B", "B. 97", True), ("b", "B. 97", True), ("(B)", "B. 97", True), ("B. 97", "B. 97", True),
    ("97", "B. 97", True), ("97.0", "B. 97", True), ("$97$", "B. 97", True), ("B) 97", "B. 97", True),
    (r"\text{(B)}", "B. 97", True), ("**B**", "B. 97", True), ("[B]", "B. 97", True), ("B:", "B", True),
    ("The correct answer is (B).", "B. 97", True), ("option b", "B", True), ("B. 98", "B. 97", True),
    ("B, since 97 is odd", "B. 97", True), ("B - 97", "B. 97", True), ("Blue", "B. Blue", True),
    ("a blue sky", "C. A  blue sky.", True), (r"\frac12", "D. 0.5", True), ("J", "J. ten", True),
    ("A", "B. 97", False), ("A. 97", "B. 97", False), ("98", "B. 97", False), ("A or B", "B. 97", False),
    ("A, B", "B. 97", False), ("B, A", "B. 97", False), ("B and C", "B. 97", False), ("AB", "B", False),
    ("B/C", "B", False), ("not B", "B", False), ("Blue", "B", False), ("", "B. 97", False),
    ("B. x", "B. x", True), ("x", "B. x", False), ("A", "B. A", False), ("B", "97", False),
    ("a", "(A) 4", True), ("4", "(A) 4", True), ("{}", "B", False), ("B" * 1_500, "B", False),
    ("A, C", "A, C", True), ("C,A", "A, C", True), ("(A) and (C)", "A, C", True), ("AC", "A, C", True),
    ("A", "A, C", False), ("A, B, C", "A, C", False), ("A, B", "A, C", False), ("A or C", "A, C", False),
    ("CAB", "A, B, C", True), ("cab", "A, B, C", False), ("", "A, C", False), ("A; C", "AC", True),
]  # fmt: skip
NEAR = [
    ("2.094", "2.0944", True), ("2.09", "2.0944", False), ("57", "57.0005", True), ("-1", "1", False),
    (r"\frac{1}{2}", "0.5", True), ("two", "2", False), ("", "0", False), ("1e-4", "0", False),
]  # fmt: skip
PATTERNS = [
    ("14 March", r"1[0-9] (March|April)", True), (" 14  March ", "14 March", True),
    ("14 Marchx", "14 March", False), ("b", "[ab]", True), ("B", "[ab]", False), ("B", "(?i)[ab]", True),
    ("", "a*", True), ("a" * 40, "(a+)+b", False), ("x", "(", False),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "gold", "tolerance", "right"), CLOSE)
def test_a_tolerance_is_relative_to_the_true_number(answer, gold, tolerance, right) -> None:
    assert answers.verify(f"numeric:{tolerance}", answer, gold) is right


@pytest.mark.parametrize(("answer", "gold", "right"), NEAR)
def test_a_difference_is_absolute(answer: str, gold: str, right: bool) -> None:
    assert answers.verify("within:0.001", answer, gold) is right


@pytest.mark.parametrize(("answer", "gold", "right"), CHOICES)
def test_a_choice_is_its_letter_or_its_text(answer: str, gold: str, right: bool) -> None:
    assert answers.verify("choice", answer, gold) is right
    assert answers.grade_answer("choice", rf"\boxed{{{answer}}}", gold).correct is right


@pytest.mark.parametrize(("answer", "gold", "right"), PATTERNS)
def test_a_pattern_matches_the_whole_answer(answer: str, gold: str, right: bool) -> None:
    assert answers.verify("regex", answer, gold) is right


def test_a_pattern_that_explodes_is_ended_and_the_next_one_is_right() -> None:
    answers.verify("regex", "a", "a")
    start = time.perf_counter()
    assert not answers.verify("regex", "a" * 60, "(a|aa)+b")
    assert time.perf_counter() - start < 5.0
    assert answers.verify("regex", "ab", "a.")


def test_random_text_harms_no_verifier() -> None:
    rng = random.Random(2)
    pieces = [*"}){(ab.,:;*-[]?+|^$ \n\0", r"\text{", "\ud800", "½", "A. ", "B", "answer is ", "97"]
    for _ in range(1_500):
        text = "".join(rng.choices(pieces, k=rng.randint(0, 12)))
        for verifier in ("choice", "numeric:0.1"):
            assert answers.verify(verifier, text, "B. 97") in (True, False)
            answers.verify(verifier, text, text)
            answers.alike(verifier, text, "97")


def test_answers_that_a_model_wrote_are_never_patterns() -> None:
    assert equal_answers(["a.", "ab", "A."], "regex") == [0, 1, 0]
    assert equal_answers(["B", "(B) 97", "C", None], "choice") == [0, 0, 2, None]


UNFIT = [
    ("numeric", "4", None), ("numeric", "four", "not a number"), ("numeric:0.1", "x", "not a number"),
    ("within:0.1", "x", "not a number"), ("choice", "A, C", None), ("choice", "bad", "not the letter"),
    ("choice", "B. 97", None), ("choice", "97", "not the letter of an option"), ("exact", ".", "not an answer"),
    ("math", r"\frac{1}{2}", None), ("math", "$$", "not an answer"), ("regex", "a+", None),
    ("regex", "a(", "no regular expression"), ("exact", "9" * 2_001, "longer than"),
]  # fmt: skip


@pytest.mark.parametrize(("verifier", "gold", "why"), UNFIT)
def test_a_true_answer_must_pass_its_own_verifier(verifier: str, gold: str, why) -> None:
    found = answers.unfit(verifier, gold)
    assert found is None if why is None else why in (found or "")


FUNCTIONS = """
def same(answer, gold):
    return answer.strip().lower() == gold.strip().lower()

def strict(answer, gold):
    return float(answer) == float(gold)

def late(answer, gold):
    if answer == "boom":
        raise RuntimeError("no booms")
    return answer == gold

def vague(answer, gold):
    return None

def nothing(answer, gold):
    return False

number = 4
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's in the current directory, under a name that no other test has used."""
    name = f"checks_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


def test_a_function_of_ones_own(module: str) -> None:
    verifier = f"function:{module}.same"
    assert module not in sys.modules, "imported only when it is named"
    assert compose([f"task.verifier={verifier}"]).task.verifier == verifier
    assert answers.grade_answer(verifier, r"\boxed{ Blue }", "blue").correct
    assert not answers.grade_answer(verifier, r"\boxed{red}", "blue").correct
    assert not answers.grade_answer(verifier, "blue", "blue").correct, "no box, no answer"
    assert answers.unfit(verifier, "blue") is None
    assert answers.unfit(f"function:{module}.nothing", "blue") == "wrong by its own verifier"


def test_a_functions_file_is_part_of_the_fingerprint(module: str, tmp_path: Path) -> None:
    verifier = f"function:{module}.same"
    before = answers.fingerprint(verifier)
    with (tmp_path / f"{module}.py").open("a") as file:
        file.write("# changed\n")
    assert answers.fingerprint(verifier) != before
    assert answers.fingerprint("math") == "math"


def test_a_function_that_raises_in_training_ends_it_with_the_answer(module: str) -> None:
    verifier = f"function:{module}.late"
    assert answers.check(verifier) == []
    with pytest.raises(UserError, match="RuntimeError: no booms, of the answer 'boom' to '4'"):
        answers.grade_answer(verifier, r"\boxed{boom}", "4")


REFUSED = {
    "numeric:x": "a tolerance between 0 and 1",
    "numeric:1.5": "a tolerance between 0 and 1",
    "numeric:": "a tolerance between 0 and 1",
    "within": "a number above 0",
    "within:0": "a number above 0",
    "exat": "did you mean task.verifier=exact?",
    "math:2": "one of exact",
    "function:": "has no dot",
    "function:nowhere.same": "No module named 'nowhere'",
    "function:MODULE.missing": "has no attribute 'missing'",
    "function:MODULE.number": "a function of (answer, gold)",
    "function:MODULE.strict": "could not convert string to float",
    "function:MODULE.vague": "got       None, of the answer ''",
}


@pytest.mark.parametrize("verifier", REFUSED)
def test_what_cant_verify_is_refused_before_anything_runs(verifier: str, module: str) -> None:
    with pytest.raises(UserError) as caught:
        compose([f"task.verifier='{verifier.replace('MODULE', module)}'"])
    assert REFUSED[verifier] in str(caught.value)
