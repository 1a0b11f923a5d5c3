"""Everything that a report says, before any page is made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spark_lab.analysis.load import RunData, load_runs
from spark_lab.analysis.report import arms as grouping
from spark_lab.analysis.report import record, samples, search, search_sides, tables, test_time
from spark_lab.analysis.report.contrasts import Verdict, contrast_arms
from spark_lab.analysis.report.drawings import Artist, Drawing
from spark_lab.analysis.report.measures import GLOSSARY, STARTING_MODEL
from spark_lab.analysis.report.table import Table
from spark_lab.analysis.search import Searched
from spark_lab.analysis.verdicts import metric_words

TAGS = ("better", "worse", "not separable", "budgets differ", "one seed", "no spread", "refused")
TABLES = (
    "search_sides",
    "search_worth",
    "search_space",
    "search_best",
    "skills",
    "own_answers",
    "compute",
    "summaries",
    "contrasts",
    "test_time_arms",
    "test_time",
    "configuration",
    "provenance",
)


@dataclass(frozen=True)
class Asked:
    """What a named sweep asks; `primary` is in words, "none" where no metric answers it."""

    sweep: str
    question: str
    primary: str
    baseline: str
    answer: str


@dataclass(frozen=True)
class Report:
    """`primary` are the metrics, in words, that answer the questions; `verdicts` by the words of their metric; `missing` is in sentences; tables may be absent."""

    title: str
    sweeps: list[str]
    setup: list[tuple[str, str]]
    asked: list[Asked]
    summary: str
    primary: tuple[str, ...]
    verdicts: dict[str, list[Verdict]]
    skills: Table
    own_answers: Table | None
    compute: Table
    summaries: Table | None
    contrasts: Table | None
    forest: Drawing
    answer: Drawing
    coevolution: list[Drawing]
    test_time: test_time.Section | None
    sides: search_sides.Sides | None
    searches: list[search.Section]
    health: Drawing
    samples: list[samples.Samples]
    missing: list[str]
    configuration: Table | None
    provenance: Table
    glossary: dict[str, str]
    command: str
    made_by: list[str]
    limits: str

    @property
    def tables(self) -> list[Table]:
        beside = [self.sides.table] if self.sides else []
        searched = beside + [table for found in self.searches for table in found.tables]
        own = (self.skills, self.own_answers, self.compute, self.summaries, self.contrasts)
        scaled = (self.test_time.arms, self.test_time.strategies) if self.test_time else ()
        found = (*searched, *own, *scaled, self.configuration, self.provenance)
        return [table for table in found if table is not None]

    @property
    def drawings(self) -> list[Drawing]:
        scaled = [self.test_time.drawing] if self.test_time else []
        beside = [self.sides.drawing] if self.sides else []
        searched = beside + [drawing for found in self.searches for drawing in found.drawings]
        return [*searched, self.forest, *self.coevolution, *scaled, self.health]


def compose(paths: Sequence[Path], command: str, axis: str | None = None) -> Report:
    """Reads the runs below the paths and works out the report.

    `axis` is the column of compute that curves are drawn over. Raises UserError without a run, or
    where a run lacks that column.
    """
    compared, searches = search.split(load_runs(paths))
    sections = [search.section(*found, place) for place, found in enumerate(searches)]
    arms = grouping.group(compared)
    found = contrast_arms(arms)
    artist = Artist(arms, found, axis)
    scaled, left_out = test_time.section(arms, found.baseline)
    # In the order of the measures: the metric that answers the question comes first.
    grouped = {metric_words(measure.metric): [] for measure in found.measures}
    for verdict in found.verdicts:
        grouped[metric_words(verdict.metric)].append(verdict)
    sweeps = list(dict.fromkeys(arm.sweep for arm in arms))
    return Report(
        title=_title(sweeps, arms, searches),
        sweeps=sweeps,
        setup=record.setup(arms),
        asked=_asked(arms, found.baseline),
        summary=_summary(found.verdicts, found.baseline),
        primary=tuple(map(metric_words, found.primary)),
        verdicts={metric: verdicts for metric, verdicts in grouped.items() if verdicts},
        skills=tables.skills(arms, found),
        own_answers=tables.own_answers(arms, found),
        compute=tables.compute(arms),
        summaries=tables.summaries(arms, found),
        contrasts=tables.contrasts(found),
        forest=artist.contrasts(),
        answer=artist.answer(),
        coevolution=artist.coevolution(),
        test_time=scaled,
        sides=search_sides.sides(searches),
        searches=sections,
        health=artist.health(),
        samples=[samples.of_arm(arm) for arm in arms],
        missing=record.missing(arms, found, artist.problems + left_out),
        configuration=tables.configuration(arms),
        provenance=record.provenance(arms),
        glossary=GLOSSARY | (search.GLOSSARY if sections else {}),
        command=command,
        made_by=record.made_by(arms),
        limits=record.limits(arms),
    )


def _title(
    sweeps: Sequence[str],
    arms: Sequence[grouping.Arm],
    searches: Sequence[tuple[Searched, Sequence[RunData]]],
) -> str:
    trials = sum(len(searched.trials) for searched, _ in searches)
    parts = [f"{trials} trial{'s' if trials > 1 else ''}"] if trials else []
    parts.append(f"{len(arms)} arm{'s' if len(arms) > 1 else ''}")
    return f"{', '.join(sweeps)}: {', '.join(parts)}"


def _asked(arms: Sequence[grouping.Arm], baseline: str) -> list[Asked]:
    return [
        Asked(
            sweep=sweep,
            question=question.asks,
            primary="none" if question.primary is None else metric_words(question.primary),
            baseline=_against(baseline),
            answer=question.answer,
        )
        for sweep, question in grouping.questions(arms).items()
    ]


def _against(baseline: str) -> str:
    return f"the {STARTING_MODEL}" if baseline == STARTING_MODEL else baseline


def _summary(verdicts: Sequence[Verdict], baseline: str) -> str:
    """How the contrasts ended, in one sentence."""
    if not verdicts:
        return "There is nothing to compare: no metric was measured at the end of a finished run."
    counts = Counter(verdict.tag for verdict in verdicts)
    known = [tag for tag in TAGS if counts[tag]] + sorted(set(counts) - set(TAGS))
    found = ", ".join(f"{counts[tag]} {tag}" for tag in known)
    noun = "contrast" if len(verdicts) == 1 else "contrasts"
    return f"{len(verdicts)} {noun} with {_against(baseline)} at the final checkpoint: {found}."
