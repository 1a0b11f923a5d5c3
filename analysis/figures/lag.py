"""Lead-lag panel: does the judge move before the policy?"""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from spark_lab.analysis.figures.look import (
    INK,
    MINUS,
    MUTED,
    PAPER,
    ArmMark,
    heading,
    panels,
    seeds_of,
    styled,
)
from spark_lab.analysis.leadlag import LeadLag


@styled
def lead_lag_panels(arms: Mapping[str, LeadLag], marks: Mapping[str, ArmMark]) -> Figure:
    """A panel per arm: correlation at each lag, grey where chance alone stays in 95 % of worlds."""
    figure, axes = panels(len(arms), columns=3, height=2.2, sharex=True, sharey=True)
    for single, (arm, found) in zip(axes, arms.items(), strict=True):
        single.axhspan(-found.band, found.band, color=MUTED, alpha=0.16, linewidth=0)
        colour, within = marks[arm].colour, abs(found.correlation) <= found.band
        single.axhline(0, color=INK, linewidth=0.8)
        single.vlines(found.lags, 0, found.correlation, color=colour, linewidth=2)
        for inside, face in ((False, colour), (True, PAPER)):
            if (chosen := within == inside).any():
                single.plot(
                    found.lags[chosen],
                    found.correlation[chosen],
                    marks[arm].marker,
                    color=colour,
                    markerfacecolor=face,
                    markersize=5.5,
                    clip_on=False,
                )
        heading(single, arm)
        p = "p < 0.001" if found.p_lead < 0.001 else f"p = {found.p_lead:.2g}"
        single.annotate(
            f"lead {round(found.lead, 2) + 0.0:+.2f}, {p}".replace("-", MINUS),
            (0.98, 0.05),
            xycoords="axes fraction",
            ha="right",
            va="bottom",
            fontsize=8,
            color=MUTED,
        )
        single.grid(axis="x", visible=False)
        single.set_xticks(
            found.lags, [f"{lag:+d}".replace("-", MINUS) if lag else "0" for lag in found.lags]
        )
        single.set_ylim(-1, 1)
    figure.supxlabel("← policy first · lag in evaluations · judge first →", fontsize=9)
    figure.supylabel("correlation", fontsize=9)
    return figure


def caption(arms: Mapping[str, LeadLag]) -> str:
    """What the bars and the band are, with n."""
    n = seeds_of({arm: found.n_runs for arm, found in arms.items()})
    return (
        "Correlation of the judge's and the policy's changes between evaluations, the trend shared by"
        f" the seeds taken out ({n}). Within the grey band at all lags lie 95 % of worlds in"
        " which one curve was shifted in time. Lead is the mean over positive minus negative lags."
    )
