"""MLflow's own pages of a sweep, in a real browser, by the links that `spark-lab ui` prints."""

from __future__ import annotations

import re
from html import unescape

import pytest
from simulated import TOKENS_PER_STEP, simulate_run
from test_browser import chromium

from spark_lab.tracking.sync import sync
from spark_lab.tracking.ui import free_port, links, server

pytestmark = pytest.mark.slow

ARMS = ("none", "pointwise+reflect")
SMALL = {"questions": 6, "steps": 4, "evaluations": 3, "samples": 1, "rollouts": ()}
# MLflow's pages ask for their data while the browser's clock stands still.
PATIENCE = "--virtual-time-budget=20000"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The visible words of each page by what its link is called."""
    root = tmp_path_factory.mktemp("runs")
    for arm in ARMS:
        simulate_run(root, arm, 0, sweep="objectives", **SMALL)
    sync(root)
    shown = {}
    with server(root, free_port(None)) as (_, url):
        for name, link in links(root, url):
            size = "--window-size=1600,1600"
            ran = chromium(root / "profile", PATIENCE, size, "--dump-dom", link)
            errors = [line for line in ran.stderr.splitlines() if "Uncaught" in line]
            assert not errors, errors
            bare = re.sub(r"<(script|style)\b.*?</\1>", " ", ran.stdout, flags=re.DOTALL)
            shown[name] = " ".join(unescape(re.sub(r"<[^>]+>", " ", bare)).split())
    return shown


def test_the_compare_page_shows_the_arms_and_their_metrics(pages: dict[str, str]) -> None:
    page = pages["compare 'objectives'"]
    assert "Comparing 2 Runs" in page
    assert re.search(r"Run Name: none seed0 pointwise\+reflect seed0", page)
    assert re.search(r"objective none pointwise\+reflect", page)
    metrics = page.partition("Show diff only")[2].partition("Show diff only")[2]
    assert "compute/generated_tokens" in metrics
    # Its column of names stands apart from the arms' values.
    assert metrics.split().count(str(SMALL["steps"] * TOKENS_PER_STEP)) >= len(ARMS)


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("its curves over steps", "policy/accuracy"),
        ("its curves over generated tokens", "tokens/policy/accuracy"),
    ],
)
def test_the_curves_are_named_by_arm(pages: dict[str, str], name: str, metric: str) -> None:
    assert metric in pages[name]
    for arm in ARMS:
        assert f"{arm} seed0" in pages[name]


def test_the_chart_view_lists_the_arms(pages: dict[str, str]) -> None:
    assert all(f"{arm} seed0" in pages["all runs"] for arm in ARMS)
