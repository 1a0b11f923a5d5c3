"""The report in a real browser. Without chromium these tests fail: a page that nobody rendered is
not known to work."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from simulated import simulate_run

from spark_lab.analysis.report import write

pytestmark = pytest.mark.slow

EVIL = '<script>document.title = "owned"</script></svg></pre><img src=x onerror=alert(1)>'
FIGURES = {
    "contrasts",
    "curves",
    "portrait",
    "lead_lag",
    "transfer",
    "difficulty",
    "tradeoff",
    "reliability",
    "health",
}
# Appended to a copy of the page: what a reader's browser made of it.
PROBE = """<script>
const boxes = [...document.querySelectorAll("figure > svg")].map(svg => {
  const {width, height} = svg.getBoundingClientRect();
  return {name: svg.parentElement.id, width, height, marks: svg.querySelectorAll("path").length};
});
const texts = [...document.querySelectorAll("#samples pre")].map(pre => pre.textContent);
const wide = document.documentElement.scrollWidth > innerWidth;
const found = {boxes, texts, wide, title: document.title, images: document.images.length};
const out = document.createElement("pre");
out.id = "probe";
out.textContent = JSON.stringify(found);
document.body.append(out);
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("browser")
    for arm in ("none", "pointwise", "reflect"):
        for seed in (0, 1):
            options = {"questions": 30, "evaluations": 12, "steps": 24, "samples": 2}
            simulate_run(root, arm, seed, sweep="s", rollouts=("eval",), **options)
    for path in root.rglob("eval-*.jsonl.gz"):
        rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        lines = "".join(json.dumps(row | {"completion": EVIL}) + "\n" for row in rows)
        path.write_bytes(gzip.compress(lines.encode(), mtime=0))
    return write([root / "s"])


def chromium(profile: Path, *words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "chromium is missing: apt install chromium fonts-dejavu-core"
    command = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += ["--disable-dev-shm-usage", "--no-proxy-server", "--virtual-time-budget=5000"]
    command += ["--enable-logging=stderr", "--v=0", f"--user-data-dir={profile}", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)


def probed(page: Path, tmp_path: Path, width: int) -> dict:
    copy = tmp_path / "probed.html"
    policy = re.compile(r"<meta http-equiv=[^>]*>")
    text, count = policy.subn("", page.read_text())
    assert count == 1, "the page forbids all scripts, the probe's too"
    copy.write_text(text.replace("</body>", PROBE + "</body>"))
    ran = chromium(tmp_path / "p", f"--window-size={width},1200", "--dump-dom", copy.as_uri())
    assert "CONSOLE" not in ran.stderr, ran.stderr
    text = re.search(r'<pre id="probe">(.*?)</pre>', ran.stdout, re.DOTALL)[1]
    return json.loads(text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


@pytest.mark.parametrize("width", [1300, 600])
def test_every_figure_is_drawn_and_text_stays_text(page: Path, tmp_path: Path, width: int) -> None:
    found = probed(page, tmp_path, width)
    assert {box["name"].removeprefix("figure-") for box in found["boxes"]} == FIGURES
    for box in found["boxes"]:
        assert box["width"] > 300 and box["height"] > 100 and box["marks"] > 5, box
    assert EVIL in found["texts"]
    assert found["title"] == "s: 3 arms"
    assert found["images"] == 0
    assert not found["wide"], "the page scrolls sideways"


@pytest.mark.parametrize(("scheme", "dark"), [(0, True), (1, False)])
def test_light_and_dark(page: Path, tmp_path: Path, scheme: int, dark: bool) -> None:
    shot = tmp_path / "shot.png"
    chromium(
        tmp_path / "p",
        f"--blink-settings=preferredColorScheme={scheme}",
        "--window-size=1200,9000",
        f"--screenshot={shot}",
        page.as_uri(),
    )
    grey = imread(shot)[..., :3].mean(axis=-1)
    paper = np.median(grey)
    assert (paper < 0.2) == dark
    # The figures' own paper too: no bright cards on a dark page, and ink that can be read on it.
    assert (np.abs(grey - paper) < 0.1).mean() > 0.8
    assert (np.abs(grey - paper) > 0.5).mean() > 0.005


def test_prints(page: Path, tmp_path: Path) -> None:
    printed = tmp_path / "report.pdf"
    chromium(tmp_path / "p", f"--print-to-pdf={printed}", page.as_uri())
    assert printed.read_bytes().startswith(b"%PDF")
