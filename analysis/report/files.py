"""`spark-lab report PATH...`: writes a report's files beside the runs it is about."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from spark_lab.analysis import style
from spark_lab.analysis.figures.look import to_svg
from spark_lab.analysis.report import pages, results
from spark_lab.analysis.report.content import TABLES, Report, compose
from spark_lab.analysis.report.measures import COMPUTE
from spark_lab.analysis.report.series import axis_name
from spark_lab.analysis.report.table import as_csv, as_latex
from spark_lab.durable import write_text
from spark_lab.errors import Problem, UserError

PNG_DPI = 110


def main(argv: list[str]) -> int:
    """`spark-lab report PATH... [--out FOLDER] [--axis UNIT] [--results FOLDER]`.

    Raises UserError for bad input.
    """
    parser = argparse.ArgumentParser(prog="spark-lab report", description="A report of these runs.")
    parser.add_argument("paths", nargs="+", type=Path, help="sweeps, arms or runs")
    parser.add_argument("--out", type=Path, help="folder of the report (PATH/report)")
    parser.add_argument(
        "--results", type=Path, help="folder whose RESULTS.md gets the sweep's answer as well"
    )
    axes = {axis_name(column): column for column in COMPUTE}
    words = f"what the curves are over: {', '.join(axes)}"
    parser.add_argument("--axis", choices=axes, metavar="UNIT", help=words)
    args = parser.parse_args(argv)
    print(write(args.paths, args.out, args.results, axes.get(args.axis)))
    if args.results is not None:
        print(args.results / results.PAGE)
    return 0


def write(
    paths: Sequence[Path],
    out: Path | None = None,
    collection: Path | None = None,
    axis: str | None = None,
) -> Path:
    """Write the report of the runs below `paths` and return its HTML page.

    `out` is <path>/report for a single path and ./report for several; the answer goes into the
    RESULTS.md of `collection`, too. Curves are over `axis`, a column of COMPUTE. The same run folders give the same bytes. Raises UserError for
    a path without runs, a folder that can't be written, or results that answer no question.
    """
    usual = paths[0] / "report" if len(paths) == 1 else Path("report")
    folder = out or usual
    report = compose(paths, _command(paths, None if folder == usual else folder, axis), axis)
    entry = None
    if collection is not None:
        again = f"{report.command} --results {shlex.quote(_short(collection))}"
        entry = results.entry(report, again)
    try:
        page = _write(report, folder)
    except OSError as error:
        raise UserError(_unwritable(folder, error, "--out")) from error
    if entry is not None:
        try:
            results.collect(entry, collection)
        except OSError as error:
            raise UserError(_unwritable(collection, error, "--results")) from error
    return page


def _unwritable(folder: Path, error: OSError, option: str) -> Problem:
    return Problem(
        str(folder),
        f"can't write there: {error.strerror}",
        "a folder for the report that you may write to",
        f"{option} FOLDER with another one",
    )


def _write(report: Report, folder: Path) -> Path:
    for part in ("tables", "figures"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for stale in (folder / "tables").glob("*.*"):
        # Of an earlier report: it would pass for a table of this one.
        if stale.stem in TABLES and stale.suffix in (".csv", ".tex"):
            stale.unlink()
    for table in report.tables:
        write_text(folder / "tables" / f"{table.name}.csv", as_csv(table))
        write_text(folder / "tables" / f"{table.name}.tex", as_latex(table))
    svgs = {}
    for drawing in report.drawings:
        stem = folder / "figures" / drawing.name
        if drawing.draw is None:
            stem.with_suffix(".svg").unlink(missing_ok=True)
            stem.with_suffix(".png").unlink(missing_ok=True)
            continue
        figure = drawing.draw()
        svgs[drawing.name] = to_svg(figure)
        write_text(stem.with_suffix(".svg"), svgs[drawing.name])
        _write_png(figure, stem.with_suffix(".png"))
    write_text(folder / "report.md", pages.as_text(report))
    page = folder / "report.html"
    write_text(page, pages.html(report, svgs))
    return page


def _write_png(figure: Figure, path: Path) -> None:
    # Its places were worked out for the SVG.
    figure.set_layout_engine("none")
    with style.applied():
        figure.savefig(path, dpi=PNG_DPI, metadata={"Software": "spark-lab"})


def _command(paths: Sequence[Path], out: Path | None, axis: str | None) -> str:
    words = ["spark-lab", "report", *map(_short, paths)]
    words += ["--out", _short(out)] if out else []
    return shlex.join([*words, "--axis", axis_name(axis)] if axis else words)


def _short(path: Path) -> str:
    """As it can be typed in the folder that the command runs in."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
