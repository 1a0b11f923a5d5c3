"""RESULTS.md: one entry for each sweep's question and its answer, kept beside what others wrote, and
one row for each entry in the table before them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from spark_lab.analysis import style
from spark_lab.analysis.report.content import Report
from spark_lab.analysis.report.contrasts import Verdict
from spark_lab.analysis.report.table import as_markdown, markdown
from spark_lab.durable import write_text
from spark_lab.errors import Problem, UserError

PAGE = "RESULTS.md"
FIGURES = "results"
HEAD = """\
# Results

What the sweeps of this folder have answered so far. `spark-lab report PATH --results FOLDER` writes
or replaces the entry of a sweep and its row in the table; other text stays as it is.
"""
_BEGIN = "<!-- begin {} -->"
_END = "<!-- end {} -->"
_ANY_BEGIN = re.compile(r"^<!-- begin (\S+) -->$", re.MULTILINE)
_ROW = "<!-- row {} -->"
_ANY_ROW = re.compile(r"^<!-- row (.+) -->$", re.MULTILINE)
_TABLE = re.compile(
    r"^<!-- table of entries -->\n.*?^<!-- table ends -->\n\n", re.MULTILINE | re.DOTALL
)
_TABLE_HEAD = """\
| question | difference to the baseline in points (95 % interval) | seeds | a run's budget |
|---|---|---:|---|
"""
_FACTS = ("arms and seeds", "budget of a run", "evaluation questions", "model", "task")


@dataclass(frozen=True)
class Entry:
    """A sweep's answer: `text` in Markdown, its `row` of the table, its figure None where there is
    nothing to draw."""

    sweep: str
    text: str
    row: str
    figure: Figure | None


def entry(report: Report, command: str) -> Entry:
    """The entry of a report on one named sweep, or on searches side by side; `command` makes it anew
    from the run folders.

    Raises UserError where the sweep asks nothing of a metric.
    """
    if not (len(report.sweeps) == 1 or _is_of_searches(report)):
        raise UserError(_no_answer(report))
    if not report.asked or not report.primary:
        raise UserError(_no_answer(report))
    sweep, asked = "+".join(report.sweeps), report.asked[0]
    draw = report.answer.draw
    parts = [f"## {markdown(sweep)}", f"**{markdown(asked.question)}**"]
    if draw:
        alt = markdown(f"{sweep}: {report.answer.title}")
        parts.append(f"![{alt}]({FIGURES}/{sweep}.svg)\n\n*{markdown(report.answer.caption)}*")
    verdicts = [one for metric in report.primary for one in report.verdicts.get(metric, [])]
    lines = [f"**{one.tag}** {markdown(one.line)}" for one in verdicts]
    parts.append(_listed(lines or [f"No verdict: {markdown(asked.primary)} was not compared."]))
    parts += _searches(report)
    parts.append(f"Settled by: {markdown(asked.answer)}")
    parts.append(f"{as_markdown(report.skills)}\n*{markdown(report.skills.caption)}*")
    facts = dict(report.setup)
    parts.append(_listed([f"{name}: {markdown(facts[name])}" for name in _FACTS if name in facts]))
    if report.missing:
        gaps = [f"  - {markdown(sentence)}" for sentence in report.missing]
        parts.append("\n".join(["- missing, failed or refused:", *gaps]))
    commands = [*report.made_by, command]
    parts.append("\n".join(f"    {command}" for command in commands))
    parts.append(markdown(report.limits))
    row = _row(sweep, report, verdicts, facts.get("budget of a run", ""))
    return Entry(sweep, "\n\n".join(parts) + "\n", row, draw() if draw else None)


def _row(sweep: str, report: Report, verdicts: list[Verdict], budget: str) -> str:
    """Question, each arm's difference, seeds and budget, for the table of all entries."""
    # As GitHub makes it of a heading.
    anchor = re.sub(r"[^\w\- ]", "", sweep.lower()).replace(" ", "-")
    asked = report.asked[0]
    answers = [f"{markdown(asked.primary)}, against {markdown(asked.baseline)}"]
    answers += [f"{markdown(one.brief)} {_stressed(one.tag)}" for one in verdicts]
    seeds = sorted({one.seeds for one in verdicts if one.seeds})
    cells = (
        f"[{markdown(asked.question)}](#{anchor})",
        "<br>".join(answers),
        ", ".join(map(str, seeds)) or "-",
        markdown(budget),
    )
    return f"| {' | '.join(cells)} |"


def _stressed(tag: str) -> str:
    return f"**{tag}**" if tag in ("better", "worse") else tag


def _is_of_searches(report: Report) -> bool:
    return report.sides is not None and len(report.searches) == len(report.sweeps)


def _searches(report: Report) -> list[str]:
    """What each search has found, and where there are several, how they compare."""
    beside = report.sides
    parts = []
    if beside is not None:
        parts += [_listed(list(map(markdown, beside.lines))), as_markdown(beside.table).rstrip()]
        parts.append(f"*{markdown(beside.table.caption)}*")
    for search in report.searches:
        name = f" {markdown(search.name)}" if len(report.searches) > 1 else ""
        parts.append(f"The search{name}:")
        parts.append(_listed(list(map(markdown, search.lines))))
    return parts


def collect(entry: Entry, folder: Path) -> Path:
    """Write or replace an entry of <folder>/RESULTS.md, and its figure in <folder>/results.

    New entries stand in the order of the sweeps' names; equal results give equal bytes. Raises
    UserError where the page has an entry without an end.
    """
    page = folder / PAGE
    known = page.read_text(encoding="utf-8") if page.exists() else HEAD
    text = with_table(placed(known, entry, page))
    stem = folder / FIGURES / entry.sweep
    stem.parent.mkdir(parents=True, exist_ok=True)
    if entry.figure is not None:
        style.save(entry.figure, stem)
    else:
        for kind in ("svg", "png"):
            stem.with_name(f"{stem.name}.{kind}").unlink(missing_ok=True)
    write_text(page, text)
    return page


def placed(known: str, entry: Entry, page: Path) -> str:
    """The page's text with the entry in its place."""
    begin, end = (marker.format(entry.sweep) for marker in (_BEGIN, _END))
    block = f"{begin}\n{_ROW.format(entry.row)}\n{entry.text}{end}\n"
    if begin in known:
        before, _, rest = known.partition(begin)
        _, closed, after = rest.partition(f"{end}\n")
        if not closed or _ANY_BEGIN.search(rest[: len(rest) - len(after)]):
            raise UserError(
                Problem(str(page), f"no {end} after {begin}", "whole entries", f"add {end}")
            )
        return before + block + after
    later = [found for found in _ANY_BEGIN.finditer(known) if found[1] > entry.sweep]
    if later:
        return f"{known[: later[0].start()]}{block}\n{known[later[0].start() :]}"
    return f"{known.rstrip()}\n\n{block}"


def with_table(text: str) -> str:
    """The page with a row for each of its entries, where its table is or before the first entry."""
    rows = "".join(f"{row}\n" for row in _ANY_ROW.findall(text))
    table = f"<!-- table of entries -->\n{_TABLE_HEAD}{rows}<!-- table ends -->\n\n"
    if _TABLE.search(text):
        return _TABLE.sub(lambda _: table, text, count=1)
    first = _ANY_BEGIN.search(text)
    place = first.start() if first else len(text)
    return text[:place] + table + text[place:]


def _listed(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _no_answer(report: Report) -> Problem:
    if len(report.sweeps) != 1:
        got, fix = f"{len(report.sweeps)} sweeps at once", "one command for each sweep"
    elif not report.asked:
        got, fix = f"{report.sweeps[0]}, which asks nothing", "-cn NAME of a sweep with a question"
    else:
        got, fix = f"{report.sweeps[0]}, which names no metric", "question.primary=policy/accuracy"
    expected = "one sweep whose question names a primary metric, or searches for one metric"
    return Problem("--results", got, expected, fix)
