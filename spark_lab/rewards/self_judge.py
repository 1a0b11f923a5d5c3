"""The policy's reward from its own verdict, where no verifiable answer is known.

Two ways to ask:

- pointwise: is this solution right? Its reward is the share of its judgements that say so.
- pairwise: a tournament inside the group. Every two different solutions are compared, in both
  orders in turn; a rollout's reward is the share of comparisons that it wins against the rest of
  its group, where an equal solution is worth a half.

Equal solutions of a group are judged together, so that they earn the same. A rollout without a
readable answer is not judged and earns 0, as with the verifier. An unreadable verdict speaks for
nobody: a judge can't be rewarded by falling silent.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spark_lab import answers, prompts
from spark_lab.records import Group, Prompt, Question, Rollout
from spark_lab.rewards.collapse import CollapseGuard, Tally
from spark_lab.schema import SelfJudgeConfig


@dataclass(frozen=True, slots=True)
class Judgement:
    """One question to the judge about a `subject`, alone or before a `rival`.

    Of the two `labels` of its form the first speaks for the subject, the second against it.
    """

    group: int
    subject: str
    rival: str | None
    prompt: Prompt
    labels: tuple[str, str]


class SelfJudge:
    """Asks about the groups of a window, and turns the verdicts into rewards.

    `fits` says whether a prompt leaves room for a completion in the model's context; a solution that
    leaves none can't be judged and earns 0. The state is the random stream of forms, templates and
    orders, and the guard's.
    """

    def __init__(self, config: SelfJudgeConfig, *, seed: int, fits: Callable[[Prompt], bool]):
        self._config = config
        self._guard = CollapseGuard(config)
        self._tally = Tally(config.kind)
        self._since_drained = Tally(config.kind)
        self._templates = prompts.load(config.templates)
        self._rng = random.Random(f"self_judge {seed}")
        self._fits = fits
        self._groups: Sequence[Group] = ()
        self._open: list[Judgement] = []

    def ask(self, groups: Sequence[Group]) -> list[Prompt]:
        """The judge prompts about these groups; `rewards` takes their completions."""
        self._groups = groups
        asked = [
            judgement
            for number, group in enumerate(groups)
            for judgement in self._ask_about(number, group)
        ]
        self._open = [judgement for judgement in asked if self._fits(judgement.prompt)]
        self._tally.too_long += len(asked) - len(self._open)
        return [judgement.prompt for judgement in self._open]

    def _ask_about(self, number: int, group: Group) -> list[Judgement]:
        solutions = list(dict.fromkeys(filter(None, map(self._solution, group.rollouts))))
        times = range(self._config.judgements)
        if self._config.kind == "pointwise":
            return [self._alone(number, group.question, one) for one in solutions for _ in times]
        pairs = [
            (one, other) if self._rng.random() < 0.5 else (other, one)
            for one, other in itertools.combinations(solutions, 2)
        ]
        return [
            self._against(number, group.question, *(pair if turn % 2 == 0 else reversed(pair)))
            for pair in pairs
            for turn in times
        ]

    def _solution(self, rollout: Rollout) -> str | None:
        """What the judge is shown of a rollout; None where no answer could be read."""
        if not rollout.verdict.parsed:
            return None
        return rollout.shown(self._config.material) or None

    def _alone(self, number: int, question: Question, solution: str) -> Judgement:
        form = self._rng.choice(self._config.forms)
        yes, no = labels = prompts.LABELS[form]
        template = self._rng.choice(self._templates.pointwise[form])
        prompt = prompts.fill(template, question=question.text, solution=solution, yes=yes, no=no)
        return Judgement(number, solution, None, Prompt(prompt, question.images), labels)

    def _against(self, number: int, question: Question, first: str, second: str) -> Judgement:
        a, b = labels = prompts.LABELS["pair"]
        prompt = prompts.fill(
            self._rng.choice(self._templates.pairwise),
            question=question.text,
            solution_a=first,
            solution_b=second,
            a=a,
            b=b,
        )
        return Judgement(number, first, second, Prompt(prompt, question.images), labels)

    def rewards(self, completions: Sequence[str]) -> list[list[float]]:
        """The rewards, 0 to 1, of the groups' rollouts, from the judge's completions."""
        support: dict[tuple[int, str, str | None], list[float]] = {}

        def vote(group: int, winner: str, loser: str | None, won: bool) -> None:
            support.setdefault((group, winner, loser), []).append(float(won))

        for asked, text in zip(self._open, completions, strict=True):
            first, second = asked.labels
            verdict = answers.read_verdict(text, asked.labels)
            self._tally.count(verdict, asked.labels)
            vote(asked.group, asked.subject, asked.rival, verdict == first)
            if asked.rival is not None:
                vote(asked.group, asked.rival, asked.subject, verdict == second)
        shares = {key: sum(votes) / len(votes) for key, votes in support.items()}
        return [
            self._score(number, [self._solution(rollout) for rollout in group.rollouts], shares)
            for number, group in enumerate(self._groups)
        ]

    def _score(
        self,
        number: int,
        solutions: Sequence[str | None],
        shares: Mapping[tuple[int, str, str | None], float],
    ) -> list[float]:
        if self._config.kind == "pointwise":
            return [shares.get((number, one, None), 0.0) if one else 0.0 for one in solutions]

        def won(one: str, other: str | None) -> float:
            if other is None:  # it has no answer to compare
                return 1.0
            return 0.5 if one == other else shares.get((number, one, other), 0.0)

        return [
            sum(won(one, other) for j, other in enumerate(solutions) if j != i)
            / (len(solutions) - 1)
            if one
            else 0.0
            for i, one in enumerate(solutions)
        ]

    def close(self, own: Sequence[float], verified: Sequence[Sequence[float]]) -> None:
        """End the window, in which it gave the rewards `own` and the verifier `verified`, by group."""
        self._guard.watch(self._tally, own, verified)
        self._since_drained.add(self._tally)
        self._tally = Tally(self._config.kind)

    def drain(self) -> Tally:
        """The verdicts of the windows since the last call."""
        tally, self._since_drained = self._since_drained, Tally(self._config.kind)
        return tally

    def collapse(self) -> str | None:
        """What was seen of the last windows, where it means that the judge is of no use any more."""
        return self._guard.seen()

    def state_dict(self) -> dict[str, Any]:
        version, internal, gauss = self._rng.getstate()
        return {"rng": [version, list(internal), gauss], "guard": self._guard.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        version, internal, gauss = state["rng"]
        self._rng.setstate((version, tuple(internal), gauss))
        self._guard.load_state_dict(state["guard"])
