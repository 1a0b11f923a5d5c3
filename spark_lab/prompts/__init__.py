r"""Prompt templates as text files, the labels they show, and the one-pass filler.

A template set is a folder of text files; several templates in one file are separated by a line of
exactly ``---``. The shipped sets are "terse" (for the tiny model), "varied" (terse's template first, then three
others that the tiny model follows without having seen them) and "full" (for real LLMs); a path to a
folder with the same files works wherever a set's name does.

| file | placeholders, all of them required |
|---|---|
| solve.txt (one template) | question |
| pointwise_yes_no.txt, pointwise_a_b.txt | question, solution, yes, no |
| pairwise.txt | question, solution_a, solution_b, a, b |
| reflect_{told_wrong,verify_first}_{answer,working}.txt | question, solution |

{yes} and {no} stand for the labels "correct" and "incorrect" of the form, {a} and {b} for "the
first" and "the second is correct". Templates never spell a label out: prompt and parser both take
it from `LABELS`, so they cannot drift apart. Every template asks for ``\boxed{...}``, the only
command that the extractor reads. (All 44 judge templates of the paper's code ask for ``\box{...}``
while its verifier reads ``\boxed{...}``, so a judge that obeys to the letter earns nothing.)
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from spark_lab.errors import Problem, UserError

# Per form: the label that means correct (or first), the label that means incorrect (or second).
LABELS: dict[str, tuple[str, str]] = {
    "yes_no": ("Yes", "No"),
    "a_b": ("A", "B"),
    "pair": ("A", "B"),
}

_SOLVE = "solve.txt"
_POINTWISE = {form: f"pointwise_{form}.txt" for form in ("yes_no", "a_b")}
_PAIRWISE = "pairwise.txt"
_REFLECT = {
    (form, material): f"reflect_{form}_{material}.txt"
    for form in ("told_wrong", "verify_first")
    for material in ("answer", "working")
}

_REQUIRED: dict[str, tuple[str, ...]] = {
    _SOLVE: ("question",),
    **dict.fromkeys(_POINTWISE.values(), ("question", "solution", "yes", "no")),
    _PAIRWISE: ("question", "solution_a", "solution_b", "a", "b"),
    **dict.fromkeys(_REFLECT.values(), ("question", "solution")),
}
_NAMES = tuple(dict.fromkeys(name for names in _REQUIRED.values() for name in names))
_PLACEHOLDER = re.compile(r"\{(" + "|".join(_NAMES) + r")\}")
# A word in braces; after a command, a word or a brace it is LaTeX: \text{answer}, x_{max}, {a}{b}.
_BRACED_WORD = re.compile(r"(?<![\w\\^}\]])\{([A-Za-z_]\w*)\}")
_SWALLOWED = re.compile(r"(\\[A-Za-z]+[ \t]*)\{(" + "|".join(_NAMES) + r")\}")
_BOX = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_OTHER_BOX = re.compile(r"\\(?:box|fbox|framebox|Boxed)\s*\{")


@dataclass(frozen=True)
class TemplateSet:
    """The templates of one folder; `pointwise` by form, `reflect` by (form, material)."""

    name: str
    solve: str
    pointwise: dict[str, tuple[str, ...]]
    pairwise: tuple[str, ...]
    reflect: dict[tuple[str, str], tuple[str, ...]]


def fill(template: str, **values: str) -> str:
    r"""Replaces every {name} of the table above by its value, in one pass.

    Values are model text and are never looked at again: braces, backslashes and strings that look
    like placeholders survive in them. All other braces of the template survive too, so that
    ``\boxed{{yes}}`` becomes ``\boxed{Yes}``. A placeholder without a value raises KeyError.
    """
    return _PLACEHOLDER.sub(lambda match: values[match[1]], template)


def builtin_sets() -> tuple[str, ...]:
    """The names of the shipped template sets."""
    folders = (entry for entry in files(__name__).iterdir() if entry.is_dir())
    return tuple(sorted(entry.name for entry in folders if (entry / _SOLVE).is_file()))


@cache
def load(name_or_folder: str) -> TemplateSet:
    """The template set of that name, or of that folder. UserError with every problem at once."""
    templates, problems = _read(name_or_folder)
    if problems:
        raise UserError(*problems)
    return TemplateSet(
        name=name_or_folder,
        solve=templates[_SOLVE][0],
        pointwise={form: templates[file] for form, file in _POINTWISE.items()},
        pairwise=templates[_PAIRWISE],
        reflect={key: templates[file] for key, file in _REFLECT.items()},
    )


def check(name_or_folder: str) -> list[Problem]:
    """Everything that `load` would complain about."""
    return _read(name_or_folder)[1]


def _read(name_or_folder: str) -> tuple[dict[str, tuple[str, ...]], list[Problem]]:
    folder = _locate(name_or_folder)
    if folder is None:
        return {}, [_unknown_set(name_or_folder)]
    templates: dict[str, tuple[str, ...]] = {}
    problems: list[Problem] = []
    for file in _REQUIRED:
        text = _decode(folder / file)
        if isinstance(text, Problem):
            problems.append(text)
            continue
        templates[file] = tuple(part.strip() for part in re.split(r"(?m)^---[ \t]*$", text))
        problems += _check_file(folder / file, file, templates[file])
    return templates, problems


def _locate(name_or_folder: str) -> Traversable | None:
    if name_or_folder in builtin_sets():
        return files(__name__) / name_or_folder
    folder = os.path.expanduser(name_or_folder)
    return Path(folder) if name_or_folder and os.path.isdir(folder) else None


def _unknown_set(name: str) -> Problem:
    known = builtin_sets()
    close = difflib.get_close_matches(name, known, n=1)
    return Problem(
        where="templates",
        got=repr(name),
        expected=f"one of {', '.join(known)}, or the path of a folder with {', '.join(_REQUIRED)}",
        fix=f"did you mean {close[0]}?" if close else f"templates={known[0]}",
    )


def _decode(file: Traversable) -> str | Problem:
    """The file's text with plain newlines, or what is wrong with the file."""
    if not file.is_file():
        return Problem(
            str(file),
            "no such file",
            "every file of a template set",
            f"copy it from a shipped set ({', '.join(builtin_sets())}) and edit it",
        )
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        bad = f"byte {error.object[error.start]:#04x} at offset {error.start}"
        return Problem(str(file), bad, "text in UTF-8", "save the file as UTF-8")
    except OSError as error:
        return Problem(str(file), str(error.strerror), "a readable file", f"chmod u+r {file}")
    return text.replace("\r\n", "\n")


def _check_file(path: Traversable, file: str, templates: tuple[str, ...]) -> list[Problem]:
    if templates == ("",):
        return [Problem(str(path), "an empty file", "at least one template", "write one")]
    problems = []
    if file == _SOLVE and len(templates) > 1:
        got = f"{len(templates)} templates"
        problems.append(Problem(str(path), got, "exactly one template", "remove the --- lines"))
    for number, template in enumerate(templates, start=1):
        where = f"{path}, template {number}"
        problems += _check_template(where, file, template)
    return problems


def _check_template(where: str, file: str, template: str) -> list[Problem]:
    if not template:
        return [Problem(where, "nothing between two --- lines", "a template", "remove one ---")]
    allowed = _REQUIRED[file]
    shown = ", ".join(f"{{{name}}}" for name in allowed)
    problems = []
    for command, name in _SWALLOWED.findall(template):
        problems.append(
            Problem(
                where,
                f"{command}{{{name}}}, whose braces the placeholder takes away",
                f"{command}{{{{{name}}}}}",
                "double the braces",
            )
        )
    used = set(_PLACEHOLDER.findall(template))
    for name in sorted(used.union(_BRACED_WORD.findall(template)).difference(allowed)):
        close = [] if name in _NAMES else difflib.get_close_matches(name, allowed, n=1)
        fix = f"did you mean {{{close[0]}}}?" if close else f"remove {{{name}}}"
        problems.append(Problem(where, f"unknown placeholder {{{name}}}", f"only {shown}", fix))
    for name in allowed:
        if name not in used:
            got = f"no placeholder {{{name}}}"
            problems.append(Problem(where, got, f"all of {shown}", f"add {{{name}}}"))
    return problems + _check_boxes(where, file, template)


def _check_boxes(where: str, file: str, template: str) -> list[Problem]:
    r"""The prompt must ask for ``\boxed{...}``, and show no label that isn't a placeholder."""
    labels = [f"{{{name}}}" for name in _REQUIRED[file] if name in ("yes", "no", "a", "b")]
    wanted = " or ".join(rf"\boxed{{{label}}}" for label in labels) or r"\boxed{}"
    problems = []
    for other in sorted(set(_OTHER_BOX.findall(template))):
        fix = rf"write \boxed{{ instead of {other}"
        problems.append(Problem(where, other + "...}", r"\boxed{...}, the only box read", fix))
    boxes = [match[1].strip() for match in _BOX.finditer(template)]
    if not boxes:
        got = r"no \boxed{...}, so nothing tells the model where its answer is read"
        problems.append(Problem(where, got, wanted, f"ask for the final answer in {wanted}"))
    if labels:
        for box in boxes:
            if box not in (*labels, *_NAMES, "", "...", r"\ldots"):
                got = rf"\boxed{{{box}}}, which holds no label placeholder of this file"
                problems.append(Problem(where, got, wanted, f"write {wanted}"))
    return problems
