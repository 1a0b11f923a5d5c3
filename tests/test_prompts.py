"""Templates: placeholders are filled once and verbatim, and what they ask for is what is read."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spark_lab import answers, prompts
from spark_lab.errors import UserError

SETS = prompts.builtin_sets()
FULL = Path(prompts.__file__).parent / "full"
BOX = re.compile(r"\\boxed\{([^{}]*)\}")
NASTY = [
    r"{question} {solution} {yes} {no} {a} {b} {answer} {}",
    "\\g<0> \\1 \\\\ \\boxed{7} \\frac{1}{2}",
    "before\n---\nafter",
    "nul \0, mark \u202e, lone surrogate \ud800, %s {0} $x ${x}",
    "{{{{" * 50,
    "",
]


def judge_templates(name: str) -> list[tuple[str, str, dict[str, str]]]:
    """Every judge template of a set as (form, template, values of its label placeholders)."""
    templates = prompts.load(name)
    found = []
    for form, group in templates.pointwise.items():
        yes, no = prompts.LABELS[form]
        found += [(form, template, {"yes": yes, "no": no}) for template in group]
    a, b = prompts.LABELS["pair"]
    return found + [("pair", template, {"a": a, "b": b}) for template in templates.pairwise]


SHOWN = {"question": "2+2", "solution": "5", "solution_a": "4", "solution_b": "5"}


@pytest.mark.parametrize("name", SETS)
def test_shipped_sets_have_no_problems(name):
    assert prompts.check(name) == []
    assert prompts.load(name).name == name


def test_both_sets_are_shipped():
    assert SETS == ("full", "terse", "varied")


def test_full_set_has_the_numbers_of_the_paper_all_distinct():
    full = prompts.load("full")
    counts = {form: len(set(group)) for form, group in full.pointwise.items()}
    assert counts == {"yes_no": 12, "a_b": 12}
    assert len(set(full.pairwise)) == 20
    assert {key: len(set(group)) for key, group in full.reflect.items()} == {
        ("told_wrong", "answer"): 10,
        ("told_wrong", "working"): 10,
        ("verify_first", "answer"): 20,
        ("verify_first", "working"): 20,
    }


@pytest.mark.parametrize("name", SETS)
def test_example_verdicts_of_every_judge_template_are_read(name):
    for form, template, labels in judge_templates(name):
        prompt = prompts.fill(template, **SHOWN, **labels)
        assert all(label in prompt for label in labels.values()), prompt
        examples = [box for box in BOX.findall(prompt) if box]
        assert set(examples) <= set(labels.values())
        for shown in {*examples, *labels.values()}:
            for gold in labels.values():
                verdict = answers.grade_verdict(
                    rf"Some reasoning. \boxed{{{shown}}}", prompts.LABELS[form], gold
                )
                assert verdict.reward == float(shown == gold)
                assert verdict.answer == shown


@pytest.mark.parametrize("name", SETS)
def test_example_answer_of_every_solve_and_reflect_template_earns_the_reward(name):
    templates = prompts.load(name)
    reflections = [template for group in templates.reflect.values() for template in group]
    for template in [templates.solve, *reflections]:
        prompt = prompts.fill(template, **SHOWN)
        assert r"\boxed{}" in prompt
        for kind in ("exact", "numeric", "math"):
            assert answers.grade_answer(kind, r"2 + 2 = \boxed{4}", "4").reward == 1.0
            assert answers.grade_answer(kind, r"2 + 2 = \boxed{4}", "5").reward == 0.0
        # The prompt's own empty box is a request and no answer.
        assert answers.extract_boxed(prompt) is None


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("value", NASTY)
def test_values_survive_verbatim_in_every_template(name, value):
    templates = prompts.load(name)
    cases = [(templates.solve, {})]
    cases += [(template, {}) for group in templates.reflect.values() for template in group]
    cases += [(template, labels) for _, template, labels in judge_templates(name)]
    for template, labels in cases:
        marked = prompts.fill(template, **dict.fromkeys(SHOWN, "\x01"), **labels)
        shown = prompts.fill(template, **dict.fromkeys(SHOWN, value), **labels)
        assert shown == marked.replace("\x01", value)


def test_fill_replaces_known_names_once_and_leaves_other_braces():
    filled = prompts.fill(
        r"{question} \boxed{{yes}} {other} {{}} x_{max}", question="{yes}", yes="Y"
    )
    assert filled == r"{yes} \boxed{Y} {other} {{}} x_{max}"
    with pytest.raises(KeyError):
        prompts.fill("{question} {solution}", question="only one of the two")


@pytest.fixture
def folder(tmp_path):
    copy = tmp_path / "mine"
    shutil.copytree(FULL, copy)
    return copy


def test_a_users_folder_works_like_a_shipped_set(folder):
    mine, full = prompts.load(str(folder)), prompts.load("full")
    assert (mine.solve, mine.pointwise, mine.pairwise, mine.reflect) == (
        full.solve,
        full.pointwise,
        full.pairwise,
        full.reflect,
    )


def test_windows_newlines_byte_order_mark_and_blank_after_separator_are_fine(folder):
    text = (folder / "pairwise.txt").read_text().replace("---\n", "--- \n")
    (folder / "pairwise.txt").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert prompts.load(str(folder)).pairwise == prompts.load("full").pairwise


BAD_TEMPLATES = {
    "unknown placeholder": (
        "solve.txt",
        r"{question} {qestion} \boxed{}",
        ["unknown placeholder {qestion}", "did you mean {question}?"],
    ),
    "placeholder of another file": (
        "solve.txt",
        r"{question} {solution} \boxed{}",
        ["unknown placeholder {solution}", "remove {solution}"],
    ),
    "missing placeholder": (
        "reflect_told_wrong_answer.txt",
        r"{question} \boxed{}",
        ["no placeholder {solution}", "add {solution}"],
    ),
    "missing label": (
        "pointwise_a_b.txt",
        r"{question} {solution} \boxed{{yes}}",
        ["no placeholder {no}"],
    ),
    "literal label": (
        "pointwise_a_b.txt",
        r"{question} {solution} {yes} {no} \boxed{Yes}",
        [r"\boxed{Yes}", r"\boxed{{yes}} or \boxed{{no}}"],
    ),
    "swallowed braces": (
        "pairwise.txt",
        r"{question} {solution_a} {solution_b} \boxed{a} {a} or \boxed{{b}}",
        [r"\boxed{a}, whose braces", r"\boxed{{a}}", "double the braces"],
    ),
    "another box": (
        "solve.txt",
        r"{question} \boxed{} \box{}",
        [r"\box{...}", "the only box read"],
    ),
    "no box": ("solve.txt", "{question} Answer briefly.", [r"no \boxed{...}"]),
    "two solve templates": (
        "solve.txt",
        "{question} \\boxed{}\n---\n{question}! \\boxed{}",
        ["2 templates", "exactly one"],
    ),
    "empty file": ("solve.txt", " \n", ["an empty file"]),
    "empty template": (
        "reflect_verify_first_answer.txt",
        "{question} {solution} \\boxed{}\n---\n",
        ["template 2", "nothing between two --- lines"],
    ),
}


@pytest.mark.parametrize("name", BAD_TEMPLATES)
def test_bad_template_is_reported_with_its_place_and_fix(folder, name):
    file, text, expected = BAD_TEMPLATES[name]
    (folder / file).write_text(text)
    report = "\n".join(map(str, prompts.check(str(folder))))
    assert str(folder / file) in report
    for part in expected:
        assert part in report
    with pytest.raises(UserError) as error:
        prompts.load(str(folder))
    assert str(error.value) == report


def test_every_problem_is_reported_at_once(folder):
    (folder / "pairwise.txt").unlink()
    (folder / "solve.txt").write_bytes(b"\xff{question}")
    (folder / "pointwise_yes_no.txt").write_text("Judge it.")
    problems = prompts.check(str(folder))
    report = "\n".join(map(str, problems))
    assert "no such file" in report
    assert "byte 0xff at offset 0" in report
    # four placeholders and the box
    assert sum("pointwise_yes_no.txt" in problem.where for problem in problems) == 5


def test_mended_folder_loads_after_a_failure(folder):
    solve = (folder / "solve.txt").read_text()
    (folder / "solve.txt").write_text("")
    with pytest.raises(UserError):
        prompts.load(str(folder))
    (folder / "solve.txt").write_text(solve)
    assert prompts.load(str(folder)).solve == solve.strip()


@pytest.mark.parametrize(
    "name", ["ful", "", "no/such/folder", "nul\0", "x" * 5000, str(FULL / "solve.txt")]
)
def test_unknown_set_names_the_shipped_ones(name):
    (problem,) = prompts.check(name)
    assert "full, terse" in problem.expected
    assert ("did you mean full?" in problem.fix) == (name == "ful")


def test_latex_in_a_template_is_no_placeholder(folder):
    text = r"{question} with \frac{1}{n}, x_{max}, \text{answer} and {1,2}: \boxed{}"
    (folder / "solve.txt").write_text(text)
    assert prompts.check(str(folder)) == []


def test_checking_imports_nothing_heavy():
    code = (
        "import sys; from spark_lab import prompts; prompts.check('full');"
        "print([m for m in ('torch', 'sympy', 'math_verify', 'transformers') if m in sys.modules])"
    )
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr
