"""One evaluation: solve, then judge and reflect on a fixed and on a live judge set."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from spark_lab.evaluation import judge_set
from spark_lab.evaluation.generation import Completer, Completion
from spark_lab.evaluation.judge import POINTWISE_FORM, judge_metrics, judge_trials
from spark_lab.evaluation.policy import policy_metrics, solve
from spark_lab.evaluation.reflection import reflection_metrics, reflection_trials
from spark_lab.evaluation.test_time import scale, scaled_metrics
from spark_lab.evaluation.trial import MATERIAL, Row, Trial, grade, prompt_of, trial_row
from spark_lab.prompts import LABELS, TemplateSet
from spark_lab.records import Group, Prompt, Question
from spark_lab.schema import EvalConfig
from spark_lab.tasks import Task


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`metrics` lacks what had nothing to be computed from; `rows` are the rollouts behind them.

    `outcomes` has accuracy and tokens of each question and test-time strategy, where it was due.
    `generated_tokens` counts what was really decoded: equal judge prompts once.
    """

    metrics: dict[str, float]
    rows: list[Row]
    seconds: float
    generated_tokens: int
    outcomes: list[Row] = field(default_factory=list)


class Evaluator:
    """Evaluates a model, or anything else that completes prompts, on a task's held-out questions.

    Calls that follow one another share the fixed judge set at `judge_set_path`, which the first one
    makes from its own samples. `eval.seed` draws all samples, so runs with other seeds or
    objectives but the same starting model get the same set. Without a path there is none, and the
    model judges its own answers alone.
    """

    def __init__(
        self, task: Task, templates: TemplateSet, config: EvalConfig, judge_set_path: Path | None
    ):
        self._task = task
        self._templates = templates
        self._config = config
        self._path = judge_set_path

    def __call__(self, completer: Completer, *, step: int = 0, last: bool = False) -> Evaluation:
        """Evaluate after optimizer step `step`, which is the `last` one of the run or not.

        Raises UserError where the judge set is damaged, or is missing after step 0, when no
        starting model is left to make it.
        """
        began = time.perf_counter()
        rows, groups = solve(
            self._task.eval,
            self._templates.solve,
            self._task.verifier,
            self._config,
            completer,
        )
        tokens = sum(row["tokens"] for row in rows)
        judged: list[Row] = []
        known: dict[Prompt, Completion] = {}
        for trials in self._trials(groups, step):
            judged += self._run(trials, completer, known)
        tokens += sum(completion.tokens for completion in known.values())
        if self._config.calibration:
            _add_probabilities(judged, self._task.eval, known, completer)
        found = _metrics(rows, judged)
        outcomes: list[Row] = []
        if self._config.test_time == "always" or (self._config.test_time == "final" and last):
            scaled = scale(self._task, self._templates, self._config, rows, completer)
            found |= scaled_metrics(scaled.outcomes, self._config.test_time_rounds)
            outcomes, judged = scaled.outcomes, judged + scaled.rows
            tokens += scaled.generated_tokens
        clock = {"step": step, "window": None, "phase": "eval"}
        return Evaluation(
            metrics={key: float(value) for key, value in found.items() if value is not None},
            rows=[clock | row for row in rows + judged],
            seconds=time.perf_counter() - began,
            generated_tokens=tokens,
            outcomes=[{"step": step} | row for row in outcomes],
        )

    def _trials(self, groups: Sequence[Group], step: int) -> list[list[Trial]]:
        """The fixed set first, so that verdicts sampled on it don't depend on the live one. Greedy
        ones don't anyway: they come from one call."""
        live = [judge_set.choose(group, MATERIAL) for group in groups]
        sets = {}
        if self._path is not None:
            if step == 0 and not self._path.exists():
                judge_set.write(self._path, live)
            sets["fixed"] = judge_set.read(self._path, self._task.eval)
        if self._config.live or self._path is None:
            sets["live"] = live
        trials = [
            judge_trials(entries, self._templates, name)
            + reflection_trials(entries, self._templates, name)
            for name, entries in sets.items()
        ]
        return trials if self._config.answer_temperature > 0 else [list(chain(*trials))]

    def _run(
        self, trials: Sequence[Trial], completer: Completer, known: dict[Prompt, Completion]
    ) -> list[Row]:
        """Rows of the trials. `known` has the completions of this evaluation's judge prompts: each
        distinct one runs once, as live trials often repeat fixed ones."""
        questions = {question.index: question for question in self._task.eval}
        prompts = [prompt_of(trial.item, questions) for trial in trials]
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in known]
        if new:
            found = completer.complete(
                new, temperature=self._config.answer_temperature, seed=self._config.seed + 2
            )
            known |= {prompt: one for prompt, (one,) in zip(new, found, strict=True)}
        return [
            trial_row(trial, reply, grade(trial.item, reply, self._task.verifier), prompt.images)
            for trial, prompt in zip(trials, prompts, strict=True)
            for reply in (known[prompt],)
        ]


def _add_probabilities(
    rows: Sequence[Row],
    questions: Sequence[Question],
    completions: Mapping[Prompt, Completion],
    completer: Completer,
) -> None:
    judged = [row for row in rows if row["objective"] == "pointwise" and row["parsed"]]
    prompts = [Prompt(row["prompt"], questions[row["question"]].images) for row in judged]
    probabilities = completer.verdict_probabilities(
        prompts, [completions[prompt] for prompt in prompts], LABELS[POINTWISE_FORM]
    )
    for row, p_yes in zip(judged, probabilities, strict=True):
        row["p_yes"] = p_yes


def _metrics(solved: Sequence[Row], judged: Sequence[Row]) -> dict[str, float | None]:
    found = policy_metrics(solved)
    for name in ("fixed", "live"):
        rows = [row for row in judged if row["set"] == name]
        per_set = judge_metrics(rows) | reflection_metrics(rows)
        found |= {f"{name}/{key}": value for key, value in per_set.items()}
    return found
