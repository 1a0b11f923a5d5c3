"""`spark-lab solve`: one question, answered, judged and reflected on, round by round."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from spark_lab.assessing.subject import Subject, find
from spark_lab.errors import Problem, UserError
from spark_lab.models.folder import sees_images
from spark_lab.models.load import resolve_path
from spark_lab.records import Picture, Prompt, Question, Rollout
from spark_lab.schema import Config
from spark_lab.tasks.pictures import KINDS, ImageFile
from spark_lab.tracking.rollout_view import RIGHT, WRONG, visible

if TYPE_CHECKING:
    from spark_lab.evaluation.generation import Generator
    from spark_lab.evaluation.test_time.asking import Reply

HELP = """\
usage: spark-lab solve run=PATH [step=N] [KEY=VALUE ...] [image=FILE ...] "QUESTION"
       spark-lab solve model.path=PATH [KEY=VALUE ...] [image=FILE ...] "QUESTION"

The model answers, judges its answer and reflects on it, until it accepts or eval.test_time_rounds are
over. Without a question it reads one a line from the terminal or a pipe. A model that sees images is
shown the given ones before the question.

  spark-lab solve model.path=builtin:tiny "7+1+5+9"
  spark-lab solve run=spark/seed0 eval.answer_temperature=0 eval.test_time_rounds=2 "7+1+5+9"
  spark-lab solve model.path=DIR image=triangle.png "How long is AB?"

run, step, model.path and KEY=VALUE are explained by spark-lab eval --help.
"""
PIPED_WIDTH = 100
IMAGE = "image="
# Anything else with an equals sign belongs to the question: x=3, 2+2=?
SETTINGS = {"run", "step", *(spec.name for spec in dataclasses.fields(Config))}


def main(argv: list[str]) -> None:
    """Raises UserError for bad input, before any model is loaded."""
    if not argv or {"-h", "--help"} & set(argv):
        print(HELP, end="")
        return
    typed = [word for word in argv if _is_setting(word)]
    words = [word for word in argv if not _is_setting(word) and not word.startswith(IMAGE)]
    images = _images([word for word in argv if word.startswith(IMAGE)])
    subject = find(typed, "solve")
    if images:
        _check_sight(subject)
    question = " ".join(words).strip()
    if not question and words:
        fix = 'spark-lab solve run=PATH "7+1+5+9"'
        raise UserError(Problem("spark-lab solve", "an empty question", "a question", fix))
    console = _console()
    questions = [question] if question else _lines(console)
    answer: Callable[[str], None] | None = None
    for text in questions:
        answer = answer or _solver(subject, images, console)
        answer(text)


def _images(words: list[str]) -> tuple[Picture, ...]:
    """The images of image=FILE words. Raises UserError for those that can't be opened."""
    found = [ImageFile(str(Path(word.removeprefix(IMAGE)).expanduser())) for word in words]
    faults = [(word, image.fault()) for word, image in zip(words, found, strict=True)]
    expected = f"an image ({', '.join(KINDS)})"
    problems = [
        Problem(word, fault, expected, f"{IMAGE}FILE")
        for word, fault in faults
        if fault is not None
    ]
    if problems:
        raise UserError(*problems)
    return tuple(found)


def _check_sight(subject: Subject) -> None:
    path = subject.config.model.path
    folder = Path(resolve_path(path))
    # What a hub name stands for is known once it is loaded.
    if folder.is_dir() and not sees_images(folder):
        got, fix = f"{path}, a model of text alone", "leave image=FILE out, or another model"
        raise UserError(Problem(IMAGE, got, "a model that sees images", fix))


def _is_setting(word: str) -> bool:
    key, equals, _ = word.lstrip("+~").partition("=")
    return bool(equals) and key.replace("/", ".").split(".")[0] in SETTINGS


def _lines(console: Console) -> Iterator[str]:
    """Questions as they are typed, until the input ends."""
    while True:
        try:
            line = console.input("question> ") if sys.stdin.isatty() else input()
        except EOFError:
            return
        if line.strip():
            yield line.strip()


def _solver(
    subject: Subject, images: tuple[Picture, ...], console: Console
) -> Callable[[str], None]:
    """Loads the model once for all questions."""
    from spark_lab.build import load_generator

    if console.is_terminal:
        with console.status(f"loading {visible(subject.title)}"):
            generator = load_generator(subject.config, subject.adapters)
    else:
        generator = load_generator(subject.config, subject.adapters)
    return lambda text: _solve(Question(0, text, "", images), subject, generator, console)


def _solve(question: Question, subject: Subject, generator: Generator, console: Console) -> None:
    from spark_lab import answers, prompts
    from spark_lab.evaluation.test_time.asking import Asker
    from spark_lab.evaluation.test_time.chain import Chain, judge, reflect

    settings = subject.config.eval
    templates = prompts.load(subject.config.model.templates)
    prompt = prompts.fill(templates.solve, question=question.text)
    [[first]] = generator.complete(
        [Prompt(prompt, question.images)],
        temperature=settings.answer_temperature,
        seed=settings.seed,
    )
    # There is no right answer to compare with: only what is read from the completion counts.
    verdict = answers.grade_answer("exact", first.text, "")
    _show(console, "answer", prompt, first.text, _read(verdict.answer, first.truncated))
    chain = Chain(question, Rollout(first.text, verdict), first.tokens)
    asker = Asker(
        generator,
        [question],
        "exact",
        temperature=settings.answer_temperature,
        seed=settings.seed + 1,
    )
    for number in range(1, settings.test_time_rounds + 1):
        for reply in judge([chain], asker, templates, weigh=True):
            _show(console, f"round {number}: judge", *_texts(reply), _said(reply))
        if chain.accepted:
            break
        for reply in reflect([chain], asker, templates):
            read = _read(reply.verdict.answer, reply.completion.truncated)
            _show(console, f"round {number}: reflection", *_texts(reply), read)
    _conclude(console, chain.rollout.verdict.answer, chain.accepted, chain.tokens)


def _texts(reply: Reply) -> tuple[str, str]:
    return reply.item.prompt, reply.completion.text


def _read(answer: str | None, truncated: bool) -> Text:
    said = Text("no answer that can be read") if answer is None else Text(visible(answer), "bold")
    return said.append("   cut off") if truncated else said


def _said(reply: Reply) -> Text:
    said = {True: ("accepted", f"bold {RIGHT}"), False: ("rejected", f"bold {WRONG}")}
    text = Text(*said[reply.accepts])
    if reply.verdict.answer is None:
        text.append("   no verdict that can be read")
    if reply.p_yes is not None:
        text.append(f"   p(correct) {reply.p_yes:.2f}", style="dim")
    return text


def _show(console: Console, title: str, prompt: str, completion: str, found: Text) -> None:
    """One step: what was asked, what was written, and what is read from it."""
    asked, wrote = visible(prompt), visible(completion)
    if console.is_terminal:
        body = Text.assemble((asked, "dim"), "\n", wrote, "\n", found)
        console.print(Panel(body, title=title, title_align="left", padding=(0, 1)))
        return
    indented = "\n".join(f"  {line}" for line in (*asked.split("\n"), *wrote.split("\n")))
    print(f"{title}\n{indented}\n  = {found.plain}", file=console.file, flush=True)


def _conclude(console: Console, answer: str | None, accepted: bool, tokens: int) -> None:
    verdict = "accepted" if accepted else "not accepted"
    shown = "none that can be read" if answer is None else visible(answer)
    console.print(
        Text.assemble(("Answer  ", "bold"), shown, (f"   {verdict}, {tokens} tokens\n", "dim")),
        soft_wrap=True,
    )


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPED_WIDTH)
