"""Everything that a report says, before any page is made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spark_lab.analysis.load import load_runs
from spark_lab.analysis.report import arms as grouping
from spark_lab.analysis.report import record, samples, tables
from spark_lab.analysis.report.contrasts import Verdict, contrast_arms
from spark_lab.analysis.report.drawings import Artist, Drawing
from spark_lab.analysis.report.measures import GLOSSARY, STARTING_MODEL
from spark_lab.analysis.report.table import Table
from spark_lab.analysis.verdicts import metric_words

TAGS = ("better", "worse", "not separable", "budgets differ", "one seed", "no spread", "refused")
TABLES = (
    "skills",
    "own_answers",
    "compute",
    "summaries",
    "contrasts",
    "configuration",
    "provenance",
)


@dataclass(frozen=True)
class Report:
    """`verdicts` by the words of their metric; `missing` is in sentences; tables may be absent."""

    title: str
    setup: list[tuple[str, str]]
    summary: str
    verdicts: dict[str, list[Verdict]]
    skills: Table
    own_answers: Table | None
    compute: Table
    summaries: Table | None
    contrasts: Table | None
    forest: Drawing
    coevolution: list[Drawing]
    health: Drawing
    samples: list[samples.Samples]
    missing: list[str]
    configuration: Table | None
    provenance: Table
    glossary: dict[str, str]
    command: str

    @property
    def tables(self) -> list[Table]:
        return [table for name in TABLES if (table := getattr(self, name)) is not None]

    @property
    def drawings(self) -> list[Drawing]:
        return [self.forest, *self.coevolution, self.health]


def compose(paths: Sequence[Path], command: str) -> Report:
    """Reads the runs below the paths and works out the report. Raises UserError without a run."""
    arms = grouping.group(load_runs(paths))
    found = contrast_arms(arms)
    artist = Artist(arms, found)
    grouped: dict[str, list[Verdict]] = {}
    for verdict in found.verdicts:
        grouped.setdefault(metric_words(verdict.metric), []).append(verdict)
    sweeps = list(dict.fromkeys(arm.sweep for arm in arms))
    return Report(
        title=f"{', '.join(sweeps)}: {len(arms)} arm{'s' if len(arms) > 1 else ''}",
        setup=record.setup(arms),
        summary=_summary(found.verdicts, found.baseline),
        verdicts=grouped,
        skills=tables.skills(arms, found),
        own_answers=tables.own_answers(arms, found),
        compute=tables.compute(arms),
        summaries=tables.summaries(arms, found),
        contrasts=tables.contrasts(found),
        forest=artist.contrasts(),
        coevolution=artist.coevolution(),
        health=artist.health(),
        samples=[samples.of_arm(arm) for arm in arms],
        missing=record.missing(arms, found, artist.problems),
        configuration=tables.configuration(arms),
        provenance=record.provenance(arms),
        glossary=GLOSSARY,
        command=command,
    )


def _summary(verdicts: Sequence[Verdict], baseline: str) -> str:
    """How the contrasts ended, in one sentence."""
    if not verdicts:
        return "There is nothing to compare: no metric was measured at the end of a finished run."
    counts = Counter(verdict.tag for verdict in verdicts)
    known = [tag for tag in TAGS if counts[tag]] + sorted(set(counts) - set(TAGS))
    found = ", ".join(f"{counts[tag]} {tag}" for tag in known)
    against = f"the {STARTING_MODEL}" if baseline == STARTING_MODEL else baseline
    noun = "contrast" if len(verdicts) == 1 else "contrasts"
    return f"{len(verdicts)} {noun} with {against} at the final checkpoint: {found}."
