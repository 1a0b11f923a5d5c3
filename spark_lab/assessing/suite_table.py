"""What a suite found, as tables on the terminal, with 95 % intervals, and beside the paper's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from spark_lab.assessing.store import Result
from spark_lab.benchmarks import catalogue, general, paper
from spark_lab.benchmarks.benchmark import Benchmark
from spark_lab.tracking import words

PIPED_WIDTH = 172
_DASH = "\N{EN DASH}"
# Further figures in words; those without an entry are named as they are.
_WORDS = {
    "strict": "steps and whole, strict",
    "loose": "steps and whole, loose",
    "every_variant": "right in every variant",
    "accuracy": "accuracy, question by question",
    "overall_official": "by the official rule",
    "macro": "mean of its groups",
    "maths": "mathematics",
    "f1": "F1",
    "yes_rate": "says yes",
    "accuracy_untrained": "never trained on",
}
_SHOWN_BESIDE = ("accuracy", "parse_failure_rate", "truncated_rate")


def show(results: Mapping[str, Result], names: str, title: str) -> None:
    """Prints everything from the results by benchmark; `names` is the suite as it was typed."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPED_WIDTH)
    suites = [part.strip() for part in names.strip("[]").split(",")]
    tokens = sum(result["generated_tokens"] for result in results.values())
    seconds = sum(result["seconds"] for result in results.values())
    head = f"{words.count(tokens)} tokens in {words.duration(seconds)}"
    console.print()
    console.print(Text.assemble((f"  {title}", "bold"), (f" · {head}", "dim")), soft_wrap=True)
    for table in (_answering(results), _scaling(results), _judging(results), _harness(results)):
        if table is not None:
            console.print()
            console.print(Padding(table, (0, 2), expand=False))
    console.print()
    for line in [*_notes(results), *_left_out(suites)]:
        console.print(Text(f"  {line}", style="dim"), soft_wrap=True)
    for suite in suites:
        for table in paper.TABLES.get(suite, ()):
            console.print(Text(f"\n  {table.title}", style="bold"))
            console.print(Padding(_beside(table, results), (0, 2), expand=False))
    console.print()
    for name, result in results.items():
        console.print(
            Text.assemble((f"  {name}  ", "bold"), _short(result["folder"])), soft_wrap=True
        )
    console.print()


def _short(folder: str) -> str:
    path = Path(folder)
    return f"{path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}/"


def _table(first: str, *heads: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column(first, no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    return table


def _answered(results: Mapping[str, Result]) -> dict[str, Result]:
    known = catalogue.BENCHMARKS
    return {n: one for n, one in results.items() if n in known and not known[n].judging}


def _answering(results: Mapping[str, Result]) -> Table | None:
    found = _answered(results)
    if not found:
        return None
    sampled = any(_sampled(result, "avg") for result in found.values())
    heads = ["questions", "right %", "95 % interval", "unreadable", "cut off"]
    heads += ["k", "mean of k samples", "95 % interval", "vote of k"] if sampled else []
    table = _table("one answer", *heads)
    for name, result in found.items():
        benchmark = catalogue.BENCHMARKS[name]
        cells = [_asked(result, benchmark), *_pair(result, benchmark.headline)]
        cells += [_plain(result, name) for name in ("parse_failure_rate", "truncated_rate")]
        if sampled:
            avg = _sampled(result, "avg")
            k = Text(avg.rpartition("_")[2], style="dim")
            cells += [k, *_pair(result, avg), _plain(result, _sampled(result, "vote"))]
        table.add_row(Text(benchmark.title), *cells)
        for metric in _further(result, benchmark.headline):
            beside = [Text(f"  {_WORDS.get(metric, metric)}"), _count(result, metric)]
            table.add_row(*beside, *_pair(result, metric), style="dim")
    return table


def _scaling(results: Mapping[str, Result]) -> Table | None:
    heads = ("right %", "95 % interval", "gain", "95 % interval", "tokens before", "and after")
    table = _table("judged and reflected on", *heads)
    for name, result in _answered(results).items():
        benchmark = catalogue.BENCHMARKS[name]
        judged = f"tts/{benchmark.headline}"
        if judged in result["metrics"]:
            spent = [f"{result['tokens'][key]:,.0f}" for key in ("accuracy", "tts/accuracy")]
            cells = [*_pair(result, judged), *_pair(result, "tts/gain", signed=True)]
            cells += [Text(one, style="dim") for one in spent]
            table.add_row(Text(benchmark.title), *cells)
    return table if table.row_count else None


def _further(result: Result, headline: str) -> list[str]:
    """Figures of a benchmark's own, besides its categories."""
    own = [
        name
        for name in result["metrics"]
        if name not in (headline, *_SHOWN_BESIDE) and "/" not in name and "_at_" not in name
    ]
    return own if headline == "accuracy" else ["accuracy", *own]


def _sampled(result: Result, kind: str) -> str:
    return next((name for name in result["metrics"] if name.startswith(f"{kind}_at_")), "")


def _judging(results: Mapping[str, Result]) -> Table | None:
    heads = ("questions", "right %", "95 % interval", "unreadable", "cut off")
    table = _table("judging", *heads)
    for name, result in results.items():
        benchmark = catalogue.BENCHMARKS.get(name)
        if benchmark is None or not benchmark.judging:
            continue
        lost = [_plain(result, name) for name in ("parse_failure_rate", "truncated_rate")]
        head = [Text(benchmark.title), _asked(result, benchmark)]
        table.add_row(*head, *_pair(result, benchmark.headline), *lost)
        for metric in result["metrics"]:
            if metric not in (benchmark.headline, "parse_failure_rate", "truncated_rate"):
                shown = _WORDS.get(metric, metric.removeprefix("subset/"))
                table.add_row(Text(f"  {shown}"), _count(result, metric), *_pair(result, metric))
    return table if table.row_count else None


def _harness(results: Mapping[str, Result]) -> Table | None:
    table = _table("lm-eval", "metric", "value", "95 % interval", "of")
    for name, result in results.items():
        if not name.startswith(catalogue.HARNESS):
            continue
        for metric, value in result["metrics"].items():
            low, high = result["intervals"][metric]
            spread = "" if low is None else f"{low:.3f} to {high:.3f}"
            cells = (metric, f"{value:.3f}", Text(spread, style="dim"), _count(result, metric))
            table.add_row(name.removeprefix(catalogue.HARNESS), *cells)
    return table if table.row_count else None


def _asked(result: Result, benchmark: Benchmark) -> Text:
    """How many questions; of how many, where it is a part."""
    whole = "" if _whole(result, benchmark) else f" of {benchmark.size:,}"
    return Text(f"{result['rows']:,}{whole}", style="dim")


def _whole(result: Result, benchmark: Benchmark) -> bool:
    return benchmark.size is None or result["rows"] == benchmark.size


def _count(result: Result, metric: str) -> Text:
    return Text(f"{result['counts'][metric]:,}", style="dim")


def _plain(result: Result, metric: str) -> Text:
    value = result["metrics"].get(metric)
    return Text(_DASH if value is None else _number(100 * value), style="dim")


def _pair(result: Result, metric: str, *, signed: bool = False) -> tuple[Text, Text]:
    value = result["metrics"].get(metric)
    if value is None:
        return Text(_DASH, style="dim"), Text()
    shown = _number(100 * value, "+" if signed else "")
    low, high = result["intervals"][metric]
    spread = "" if low is None else f"{_number(100 * low)} to {_number(100 * high)}"
    return Text(shown, style="bold"), Text(spread, style="dim")


def _notes(results: Mapping[str, Result]) -> list[str]:
    lines = []
    for name, result in results.items():
        benchmark = catalogue.BENCHMARKS.get(name)
        if benchmark is None:
            continue
        if benchmark.note:
            lines.append(f"{benchmark.title}: {benchmark.note}.")
        if result["trained_on"]:
            lines.append(
                f"{benchmark.title}: {words.number(result['trained_on'], 'question')} of it this run"
                " was trained on."
            )
    return lines


def _left_out(suites: Sequence[str]) -> list[str]:
    """What a table of the paper has and can't be measured."""
    tables = [table for suite in suites for table in paper.TABLES.get(suite, ())]
    shown = {name for table in tables for name, _ in table.columns}
    return [
        f"{title}: not measured, as {why}."
        for name, (title, why) in general.JUDGED.items()
        if name in shown
    ]


def _beside(table: paper.Table, results: Mapping[str, Result]) -> Table:
    """The paper's rows, then this model's with one answer, then after judging and reflecting."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 0, 0, 1))
    shown.add_column("the paper's", no_wrap=True)
    for name, metric in table.columns:
        title = _title(name)
        shown.add_column(f"{title} maths" if metric else title, justify="right", overflow="fold")
    for name in table.averages:
        shown.add_column(name, justify="right", style="bold")
    for label, values in table.rows.items():
        by_column = dict(zip(table.columns, values, strict=True))
        shown.add_row(label, *_numbers(table, by_column), end_section=label == [*table.rows][-1])
    measured = {name: results[name] for name, _ in table.columns if name in results}
    partly = not all(_whole(one, catalogue.BENCHMARKS[name]) for name, one in measured.items())
    own = "this model, on a part" if partly else "this model"
    for label, judged in ((own, False), ("  judged and reflected on", True)):
        found = _own(table, results, judged=judged)
        if found and (not judged or found != _own(table, results, judged=False)):
            shown.add_row(Text(label, style="bold"), *_numbers(table, found))
    return shown


def _title(name: str) -> str:
    known = catalogue.BENCHMARKS
    return known[name].title if name in known else general.JUDGED[name][0]


def _numbers(table: paper.Table, values: Mapping[paper.Column, float]) -> list[str]:
    averages = table.averaged(values)
    found = [*(values.get(column) for column in table.columns), *averages.values()]
    return [_DASH if value is None else _number(value) for value in found]


def _number(percent: float, sign: str = "") -> str:
    """Without a sign before a zero."""
    return f"{round(percent, 1) + 0.0:{sign}.1f}"


def _own(
    table: paper.Table, results: Mapping[str, Result], *, judged: bool
) -> dict[paper.Column, float]:
    """Percent, of what was measured; judged: after judging and reflecting, where that was done."""
    found = {}
    for name, metric in table.columns:
        if name not in results:
            continue
        metrics = results[name]["metrics"]
        headline = catalogue.BENCHMARKS[name].headline
        scaled = f"tts/{headline}"
        wanted = metric or (scaled if judged and scaled in metrics else headline)
        if wanted in metrics:
            found[name, metric] = 100 * metrics[wanted]
    return found
