"""The report's pages: one self-contained HTML file and the same in Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from spark_lab.analysis.figures.look import theme_css
from spark_lab.analysis.report.content import Report
from spark_lab.analysis.report.table import as_markdown, markdown

_IDS = re.compile(r'(\bid="|url\(#|href="#)')
_WIDTH = re.compile(r'\bwidth="([\d.]+)pt"')
# CSS pixels of a point: figures are drawn for paper, 9 pt there read as 13 px here.
SCALE = 1.5
_PROLOGUE = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)


def html(report: Report, figures: Mapping[str, str]) -> str:
    """The page; `figures` are SVG documents by their drawing's name."""
    inline = {name: Markup(_inlined(svg, name)) for name, svg in figures.items()}
    environment = _environment(autoescape=True)
    environment.filters["breakable"] = _breakable
    template = environment.get_template("report.html.jinja")
    return template.render(report=report, figures=inline, theme=Markup(theme_css()))


def as_text(report: Report) -> str:
    """The page in Markdown, which refers to figures/*.png beside it."""
    environment = _environment(autoescape=False)
    environment.filters |= {"md": markdown, "table": as_markdown, "block": _block}
    return environment.get_template("report.md.jinja").render(report=report)


def _environment(autoescape: bool) -> Environment:
    return Environment(
        loader=PackageLoader("spark_lab.analysis", "templates"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _inlined(svg: str, name: str) -> str:
    """An SVG document as an element of the page: no prologue, ids of its own."""
    bare = _METADATA.sub("", _PROLOGUE.sub("", svg, count=1))
    width = SCALE * float(_WIDTH.search(bare)[1])
    sized = bare.replace("<svg ", f'<svg role="img" style="max-width:{width:.0f}px" ', 1)
    return _IDS.sub(rf"\g<1>{name}-", sized)


def _breakable(text: str) -> Markup:
    """Escaped, with places to break a long name."""
    return Markup(re.sub(r"([+/_=,])(?=\S)", r"\1<wbr>", str(escape(text))))


def _block(text: str) -> str:
    """An indented code block: whatever the model wrote stays text, fences and tags too."""
    return "\n".join(f"    {line}" for line in text.splitlines()) or "    (empty)"
