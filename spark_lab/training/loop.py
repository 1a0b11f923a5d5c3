"""The SPARK algorithm, window by window, without any tensor in it.

    plan       questions and recycled items become the groups of a window
    (sample)   the trainer draws G completions for each group
    grade      the verifier, or the known label, says what each one is worth
    (judge)    where no label is known, the policy may be asked what its own answers are worth
    absorb     groups that solved a question (or reflected on one) are recycled into new items

Everything here is replicated on every rank: the same calls in the same order leave the same state,
so a group may be split over ranks.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from spark_lab.objectives import Objective, Solve
from spark_lab.records import Group, Item, Prompt, Question, Rollout, Verdict
from spark_lab.recycling.buffer import RecycleBuffer
from spark_lab.recycling.recycler import Harvest, Recycler
from spark_lab.rewards import Labels, SelfJudge
from spark_lab.training.graded import GradedGroup, Sample, objective_metrics
from spark_lab.training.mix import Mix
from spark_lab.training.reward_metrics import reward_metrics
from spark_lab.training.schedule import Schedule, Source, Window
from spark_lab.training.stream import PromptStream


class SparkLoop:
    """Plans windows, grades their completions and recycles them.

    `questions` hold all answers; what the learner may know of them goes through `labels`.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        solve: Solve,
        objectives: Mapping[str, Objective],
        *,
        labels: Labels,
        self_judge: SelfJudge | None,
        schedule: Schedule,
        mix: Mix,
        stream: PromptStream,
        extra_stream: PromptStream,
        recycler: Recycler,
        buffer: RecycleBuffer,
        group_size: int,
    ):
        self._questions = labels.hide(questions)
        self._answered = questions
        self._labels = labels
        self._self_judge = self_judge
        self._solve = solve
        self._objectives = objectives
        self._schedule = schedule
        self._mix = mix
        self._stream = stream
        self._extra_stream = extra_stream
        self._recycler = recycler
        self._buffer = buffer
        self._group_size = group_size
        self._window = 0
        self._plan = Window([])
        self._graded: list[GradedGroup] = []
        self._counts: Counter[str] = Counter()
        self._ages: list[int] = []

    def plan(self) -> list[Prompt]:
        """Open the next window; returns the prompt of each of its groups."""
        self._plan = self._schedule.plan(
            self._stream, self._extra_stream, self._buffer, self._mix.shares()
        )
        return [self._prompt(source) for source in self._plan.sources]

    def pictured(self) -> list[tuple[int, str]]:
        """What a window on which training goes on needs to see its images again: each group's
        question and text; empty where no group has images."""
        sources = self._plan.sources
        prompts = [self._prompt(source) for source in sources]
        if not any(prompt.images for prompt in prompts):
            return []
        questions = [one if isinstance(one, int) else one.question for one in sources]
        return [(number, one.text) for number, one in zip(questions, prompts, strict=True)]

    def prompts_of(self, pictured: Sequence[tuple[int, str]]) -> list[Prompt]:
        """The prompts of a window of which this is what `pictured` said."""
        return [Prompt(text, self._questions[question].images) for question, text in pictured]

    @property
    def extra(self) -> bool:
        """Whether the open window is sampled for judging only, so that nothing is trained on it."""
        return self._plan.extra

    def given(self, group: int) -> str | None:
        """What the open window's group is to be taught to write, where that is not left to it."""
        source = self._plan.sources[group]
        return rf"\boxed{{{source.label}}}" if self._teaches(source) else None

    def _teaches(self, source: Source) -> bool:
        return isinstance(source, Item) and self._objectives[source.objective].config.loss == "sft"

    def _prompt(self, source: Source) -> Prompt:
        if isinstance(source, int):
            return self._solve.prompt(self._questions[source])
        return Prompt(source.prompt, self._questions[source.question].images)

    def _label(self, source: Source) -> str | None:
        return self._answered[source].answer if isinstance(source, int) else source.label

    def grade(self, group: int, text: str, place: int = 0) -> Verdict:
        """The learner's verdict on completion number `place` of the open window's group."""
        source = self._plan.sources[group]
        if isinstance(source, int):
            verdict = self._solve.grade(self._questions[source], text)
        else:
            verdict = self._objectives[source.objective].grade(source, text)
        if not self._verifies(source):
            return verdict
        return self._labels.seen(verdict, self._window, group, place)

    def audit(self, group: int, text: str) -> bool | None:
        """Whether a completion of a question without a label is right; None of any other."""
        source = self._plan.sources[group]
        if not self._hides(source):
            return None
        return self._solve.grade(self._answered[source], text).correct

    def _verifies(self, source: Source) -> bool:
        if isinstance(source, int):
            return not self._hides(source)
        return self._objectives[source.objective].asks_the_verifier and not self._teaches(source)

    def _hides(self, source: Source) -> bool:
        return isinstance(source, int) and self._questions[source].answer is None

    @property
    def judges_itself(self) -> bool:
        return self._self_judge is not None

    def ask(self, samples: Sequence[Sample]) -> list[Prompt]:
        """The judge prompts about all samples of the open window that no verifier can grade."""
        size, sources = self._group_size, self._plan.sources
        return self._self_judge.ask(
            [
                self._group(samples[number * size : (number + 1) * size], sources[number])
                for number in self._ungraded()
            ]
        )

    def judge(self, completions: Sequence[str]) -> dict[int, list[float]]:
        """The rewards of each such group, from the completions of `ask`'s prompts."""
        return dict(zip(self._ungraded(), self._self_judge.rewards(completions), strict=True))

    def _ungraded(self) -> list[int]:
        return [group for group, source in enumerate(self._plan.sources) if self._hides(source)]

    @property
    def collapse(self) -> str | None:
        """What was seen, where the run's own judge has become useless; then the run must end."""
        return self._self_judge.collapse() if self._self_judge is not None else None

    def loss_weight(self, group: int) -> float:
        """Factor on the advantages of a group: 1 for questions, else the objective's weight."""
        source = self._plan.sources[group]
        return 1.0 if isinstance(source, int) else self._mix.weight(source.objective)

    def absorb(self, samples: Sequence[Sample]) -> None:
        """Close the window with all its samples in global row order, and recycle its groups."""
        size = self._group_size
        graded = [
            GradedGroup(
                source,
                self._window,
                self._prompt(source),
                self._label(source),
                self._verifies(source),
                tuple(samples[i * size : (i + 1) * size]),
                self._plan.extra,
                self._teaches(source),
            )
            for i, source in enumerate(self._plan.sources)
        ]
        for group in graded:
            if isinstance(group.source, Item):
                self._ages.append(self._window - group.source.window)
                if not group.given:
                    self._mix.learn(group.objective, group.rewards)
        self._graded += graded
        self._watch(graded)
        self._recycle(graded)
        self._window += 1

    def _watch(self, graded: Sequence[GradedGroup]) -> None:
        """Let the guard compare the policy's rewards with the verifier's in the same window."""
        if self._self_judge is None:
            return
        solved = [group for group in graded if isinstance(group.source, int)]
        self._self_judge.close(
            own=[one for group in solved if not group.verified for one in group.rewards],
            verified=[group.rewards for group in solved if group.verified],
        )

    def _recycle(self, graded: Sequence[GradedGroup]) -> None:
        if not self._objectives:
            return
        solved, reflections = [], []
        for group in graded:
            if isinstance(group.source, int):
                if group.verified:
                    solved.append(self._group(group.samples, group.source))
            elif group.objective == "reflect" and not group.source.chained:
                reflections.append(self._group(group.samples, group.source.question))
        harvest = Harvest()
        if self._recycler.takes(extra=self._plan.extra):
            harvest = self._recycler.recycle(solved, self._window)
        if self._recycler.chains:
            harvest += self._recycler.recycle(reflections, self._window, chained=True)
        left = self._buffer.push(harvest.items, self._window + 1)
        self._counts["produced"] += len(harvest.items)
        self._counts["chained"] += sum(item.chained for item in harvest.items)
        self._counts["extra_rollouts"] += self._plan.extra * len(graded) * self._group_size
        self._counts.update({f"dropped_{w}": n for w, n in (harvest.dropped + left).items()})

    def _group(self, samples: Sequence[Sample], question: int) -> Group:
        rollouts = tuple(Rollout(sample.text, sample.verdict) for sample in samples)
        return Group(self._questions[question], rollouts)

    def drain(self) -> tuple[dict[str, float], list[GradedGroup]]:
        """The metrics and the groups of all windows since the last call."""
        metrics = {}
        by_objective: dict[str, list[GradedGroup]] = defaultdict(list)
        for group in self._graded:
            if not group.extra:
                by_objective[group.objective].append(group)
        for name in ("solve", *self._objectives):
            if by_objective[name]:
                metrics |= objective_metrics(name, by_objective[name])
        if self._objectives and self._graded:
            metrics |= self._recycle_metrics() | self._mix.metrics()
        tally = None if self._self_judge is None else self._self_judge.drain()
        metrics |= reward_metrics(self._graded, self._labels, tally)
        graded, self._graded = self._graded, []
        self._counts.clear()
        self._ages.clear()
        return metrics, graded

    def _recycle_metrics(self) -> dict[str, float]:
        dropped = {name: n for name, n in self._counts.items() if name.startswith("dropped_")}
        metrics: dict[str, float] = {
            "recycle/size": len(self._buffer),
            "recycle/produced": self._counts["produced"],
            "recycle/dropped": sum(dropped.values()),
        }
        details = dropped | {name: self._counts[name] for name in ("chained", "extra_rollouts")}
        details["waiting"] = self._buffer.young
        metrics |= {f"recycle/{name}": n for name, n in details.items() if n}
        if self._ages:
            metrics["recycle/age_windows"] = statistics.fmean(self._ages)
        labels = [
            group.source.source_correct
            for group in self._graded
            if isinstance(group.source, Item) and group.source.objective == "pointwise"
        ]
        if labels:
            metrics["recycle/label_share"] = statistics.fmean(labels)
        return metrics

    def state_dict(self) -> dict[str, Any]:
        judge = {} if self._self_judge is None else {"self_judge": self._self_judge.state_dict()}
        return judge | {
            "window": self._window,
            "schedule": self._schedule.state_dict(),
            "mix": self._mix.state_dict(),
            "stream": self._stream.state_dict(),
            "extra_stream": self._extra_stream.state_dict(),
            "recycler": self._recycler.state_dict(),
            "buffer": self._buffer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._window = state["window"]
        self._schedule.load_state_dict(state["schedule"])
        self._mix.load_state_dict(state["mix"])
        self._stream.load_state_dict(state["stream"])
        self._extra_stream.load_state_dict(state["extra_stream"])
        self._recycler.load_state_dict(state["recycler"])
        self._buffer.load_state_dict(state["buffer"])
        if self._self_judge is not None:
            self._self_judge.load_state_dict(state["self_judge"])
