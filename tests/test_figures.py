from __future__ import annotations

import re
import warnings
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from spark_lab.analysis.calibration import reliability
from spark_lab.analysis.curves import seed_band
from spark_lab.analysis.difficulty import difficulty_profile
from spark_lab.analysis.figures import (
    curves,
    difficulty,
    forest,
    health,
    lag,
    look,
    portrait,
    tradeoff,
    transfer,
)
from spark_lab.analysis.figures import reliability as reliability_figure
from spark_lab.analysis.leadlag import lead_lag
from spark_lab.analysis.pairing import ArmScores
from spark_lab.analysis.stats import compare
from spark_lab.analysis.transfer import transfer_matrix

EVIL = "<script>alert(1)</script></svg>&"
ARMS = ("none", "pointwise+pairwise+reflect", EVIL)
MARKS = look.arm_marks(ARMS, "none")
METRICS = ("policy/accuracy", "fixed/judge/pairwise_accuracy", "fixed/reflect/fix_rate")


def contrasts():
    rng = np.random.default_rng(0)

    def arm(name: str, metric: str, chance: float, seeds: int = 4) -> ArmScores:
        values = (rng.random((seeds, 60)) < chance).astype(float)
        return ArmScores(name, metric, tuple(range(seeds)), values, tuple(range(60)))

    pairs = []
    for metric in METRICS:
        base = arm("none", metric, 0.5)
        pairs += [(arm(ARMS[1], metric, 0.8), base), (arm(EVIL, metric, 0.5, seeds=1), base)]
    return compare(pairs)


def curve(seeds: int = 3) -> curves.Curve:
    compute = np.linspace(0, 12e6, 12)
    values = np.random.default_rng(seeds).random((seeds, 12))
    values[0, -3:] = np.nan
    return curves.Curve(compute, seed_band(values))


def drawn(name: str) -> Figure:
    rng = np.random.default_rng(0)
    if name == "forest":
        return forest.forest(contrasts(), MARKS, frozenset({EVIL}))
    if name == "curves":
        panel = curves.Panel("policy accuracy", {arm: curve() for arm in ARMS}, reference=0.5)
        single = curves.Panel("length, tokens", {EVIL: curve(1)}, fraction=False)
        return curves.curve_panels([panel, single], MARKS, "generated tokens")
    if name == "health":
        signs = {sign: {arm: curve() for arm in ARMS} for sign in health.SIGNS}
        return health.health(signs, MARKS, "updates")
    if name == "portrait":
        paths = {arm: (rng.random((3, 9)), rng.random((3, 9))) for arm in ARMS}
        return portrait.portrait(paths, MARKS, "policy", "judge")
    if name == "reliability":
        judges = {arm: reliability(rng.random(50), rng.random(50) < 0.5) for arm in ARMS}
        return reliability_figure.reliability_diagram(judges, MARKS)
    if name == "tradeoff":
        points = {arm: tradeoff.ArmPoint(rng.random(3), rng.random(3), 12e6) for arm in ARMS}
        return tradeoff.tradeoff(points, MARKS, "policy", "judge")
    if name == "lag":
        found = {arm: lead_lag(rng.random((3, 14)), rng.random((3, 14)), rng) for arm in ARMS}
        return lag.lead_lag_panels(found, MARKS)
    if name == "difficulty":
        right, said = rng.random(80) < 0.5, rng.random(80) < 0.5
        profile = difficulty_profile(rng.random(80), right, said, np.arange(80), rng)
        return difficulty.difficulty_panels(dict.fromkeys(ARMS, profile), MARKS)
    return transfer.transfer_heatmap(transfer_matrix(contrasts()))


FIGURES = (
    "forest",
    "curves",
    "health",
    "portrait",
    "reliability",
    "tradeoff",
    "lag",
    "difficulty",
    "transfer",
)


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_valid_svg_with_themed_colours_and_escaped_text(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = look.to_svg(drawn(name))
    root = ElementTree.fromstring(text)
    shown = "".join(root.itertext())
    assert "alert(1)" in shown.replace("\n", "") and "<script" not in text
    colours = set(re.findall(r"#[0-9a-f]{6}\b", text))
    assert colours <= set(look.THEME), f"{colours - set(look.THEME)} do not follow the theme"
    assert look.to_svg(drawn(name)) == text, "the same figure must give the same bytes"


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    before = dict(matplotlib.rcParams)
    look.to_svg(drawn("forest"))
    assert dict(matplotlib.rcParams) == before


def test_save_writes_both_formats(tmp_path) -> None:
    svg, png = look.save(drawn("transfer"), tmp_path / "v1.2")
    assert svg.name == "v1.2.svg" and svg.read_text().lstrip().startswith("<?xml")
    assert png.read_bytes().startswith(b"\x89PNG")


def test_every_arm_has_a_mark_of_its_own() -> None:
    marks = look.arm_marks([f"arm {i}" for i in range(14)])
    assert len(set(marks.values())) == 14


def test_a_theme_variable_for_each_colour() -> None:
    css = look.theme_css()
    assert all(f"--{name}:" in css for name, _ in look.THEME.values()) and "dark" in css


def test_filled_means_separable() -> None:
    figure = drawn("forest")
    faces = [
        line.get_markerfacecolor()
        for line in figure.axes[0].get_lines()
        if line.get_markersize() == 7 and line.get_marker() != "None"
    ]
    assert faces == [MARKS[ARMS[1]].colour, look.PAPER]


def test_captions_carry_n() -> None:
    assert "n = 1 to 4 paired seeds" in forest.caption(contrasts())
    panel = curves.Panel("x", {"none": curve(3), "other": curve(2)})
    assert "n = 3 seeds of none, 2 of other" in curves.caption([panel])


def test_unknown_sign_of_health_is_refused() -> None:
    with pytest.raises(ValueError, match="no such sign"):
        health.health({"mood": {}}, MARKS, "updates")
    with pytest.raises(ValueError, match="no curves"):
        health.health({}, MARKS, "updates")
    with pytest.raises(ValueError, match="at least one"):
        forest.forest([], MARKS)
