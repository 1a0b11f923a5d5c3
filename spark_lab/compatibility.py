"""Which objectives, recycling rules and schedules go together, and why the others don't."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from spark_lab import prompts
from spark_lab.errors import Problem
from spark_lab.schema import Config, JudgingConfig, ObjectiveConfig


def check(config: Config) -> list[Problem]:
    """Every clash. Needs values that are right by themselves (`limits.check`)."""
    return [
        problem
        for rule in (
            _objectives,
            _supervised,
            _changes,
            _starved,
            _sources,
            _order,
            _judging_alone,
            _schedule,
        )
        for problem in rule(config)
    ]


def active(objective: ObjectiveConfig) -> dict[str, Any]:
    """The slots that are switched on, by name."""
    return {name: slot for name, slot in vars(objective).items() if slot is not None}


def _objectives(config: Config) -> Iterator[Problem]:
    slots = active(config.objective)
    if slots and not any(slot.share or slot.share_end for slot in slots.values()):
        yield Problem(
            "objective.*.share",
            "0 for every objective",
            "a share above 0, or no objective",
            f"objective.{next(iter(slots))}.share=1, or objective=none",
        )
    reflect = config.objective.reflect
    if reflect is not None and reflect.keep_share > 0 and "verify_first" not in reflect.forms:
        yield Problem(
            "objective.reflect.keep_share",
            f"{reflect.keep_share} with forms [{', '.join(reflect.forms)}]",
            "the verify_first form, as a right solution can't be called wrong",
            "objective.reflect.keep_share=0, or add verify_first to objective.reflect.forms",
        )
    for name, slot in slots.items():
        most = _templates(name, slot)
        if slot.template_count is not None and most and slot.template_count > most:
            yield Problem(
                f"objective.{name}.template_count",
                f"{slot.template_count} of the set {slot.templates}",
                f"at most {most}, as it has no more for one way to ask",
                f"objective.{name}.template_count=null, or a larger set of templates",
            )


def _templates(name: str, slot: Any) -> int:
    """The most templates that the set has for one way to ask; 0 for a set that is broken."""
    if prompts.check(slot.templates):
        return 0
    found = prompts.load(slot.templates)
    if name == "pairwise":
        return len(found.pairwise)
    if name == "pointwise":
        return max(len(found.pointwise[form]) for form in slot.forms)
    return max(len(texts) for (form, _), texts in found.reflect.items() if form in slot.forms)


def _supervised(config: Config) -> Iterator[Problem]:
    """What needs completions that the policy has written, where they are given."""
    for name, slot in active(config.objective).items():
        if slot.loss != "sft":
            continue
        where, fix = f"objective.{name}.loss", f"objective.{name}.loss=grpo"
        if "competence" in (slot.share_schedule, slot.weight_schedule):
            expected = "a share and a weight that follow no accuracy, as there are no rewards"
            yield Problem(where, "sft with a schedule by competence", expected, fix)
        if getattr(slot, "chain", False):
            expected = "no chain, as there are no second attempts to recycle"
            yield Problem(where, "sft with objective.reflect.chain", expected, fix)
        if config.trainer.scale_rewards == "batch":
            expected = "rewards scaled by group, or not: given completions have none to scale with"
            yield Problem(where, "sft with trainer.scale_rewards=batch", expected, fix)


def _changes(config: Config) -> Iterator[Problem]:
    """Shares and weights that change over a run."""
    slots = active(config.objective)
    for name, slot in slots.items():
        for key in ("share", "weight"):
            yield from _change(config, f"objective.{name}.{key}", slot, key)
        if slot.share_schedule == "constant":
            continue
        where, fix = f"objective.{name}.share_schedule", f"objective.{name}.share_schedule=constant"
        if config.recycle.take == "fifo":
            yield Problem(
                where,
                f"{slot.share_schedule} with recycle.take=fifo",
                "shares that decide what is taken; fifo goes by age alone",
                f"recycle.take=shares, or {fix}",
            )
        if len(slots) == 1:
            got = f"{slot.share_schedule}, while {name} is the only objective"
            yield Problem(where, got, "another objective to share with", f"{fix}, or a weight")
        if slot.share_schedule == "competence" and slot.share == 0:
            expected = "a share above 0: without any windows its accuracy stays at 0"
            yield Problem(where, "competence from share 0", expected, f"objective.{name}.share=1")


def _change(config: Config, where: str, slot: JudgingConfig, key: str) -> Iterator[Problem]:
    schedule, end = getattr(slot, f"{key}_schedule"), getattr(slot, f"{key}_end")
    if schedule == "constant":
        if end is not None:
            fix = f"{where}_schedule=linear, or {where}_end=null"
            yield Problem(f"{where}_end", f"{end:g} with a constant {key}", "null", fix)
        return
    if end is None:
        fix = f"{where}_end=0, or {where}_schedule=constant"
        yield Problem(f"{where}_end", f"null with {schedule}", "where it goes: a number", fix)
    if config.budget.unit == "seconds" and schedule != "competence":
        yield Problem(
            f"{where}_schedule",
            f"{schedule} with budget.unit=seconds",
            "a budget that every process measures alike, and again when a run is resumed",
            f"budget=generated_tokens, or {where}_schedule=constant",
        )


def _starved(config: Config) -> Iterator[Problem]:
    """Objectives that are on and would never get an item."""
    slots, recycle = active(config.objective), config.recycle
    if slots and recycle.source == "off":
        yield Problem(
            "recycle.source",
            f"off with objective {'+'.join(slots)}",
            "a source of rollouts for the judge windows",
            "recycle=on_policy, or objective=none",
        )
        return
    judges = [name for name in ("pointwise", "pairwise") if name in slots]
    both = len(judges) == 2
    uniform = "pointwise" in (recycle.all_right, recycle.all_wrong)
    starved = [
        (bool(judges) and recycle.judge_cap == 0, "judge_cap", "0", " or ".join(judges)),
        ("reflect" in slots and recycle.reflect_cap == 0, "reflect_cap", "0", "reflect"),
        (both and recycle.pairwise_share == 0, "pairwise_share", "0", "pairwise"),
        (
            both and recycle.pairwise_share == 1 and not uniform,
            "pairwise_share",
            "1 without judgements on all-right and all-wrong groups",
            "pointwise",
        ),
    ]
    for wrong, key, got, name in starved:
        if wrong:
            yield Problem(
                f"recycle.{key}",
                f"{got}, which leaves {name} without items",
                "items for every objective that is on",
                f"another recycle.{key}, or leave {name} out of objective",
            )


def _sources(config: Config) -> Iterator[Problem]:
    """Sources of items that contradict another rule."""
    reflect, recycle = config.objective.reflect, config.recycle
    why = {
        "frozen": "items of the starting model only; second attempts are the current one's",
        "fresh": "no use of rollouts that are trained on, as second attempts are",
    }
    if reflect is not None and reflect.chain and recycle.source in why:
        yield Problem(
            "objective.reflect.chain",
            f"true with recycle.source={recycle.source}",
            why[recycle.source],
            "objective.reflect.chain=false, or recycle=on_policy",
        )
    if recycle.max_age is None:
        return
    if recycle.source == "frozen":
        yield Problem(
            "recycle.max_age",
            f"{recycle.max_age} with recycle.source=frozen",
            "no age limit, as frozen items are used to the end",
            "recycle.max_age=null, or recycle=on_policy",
        )
    if recycle.source == "lagged" and recycle.max_age < recycle.lag_windows:
        yield Problem(
            "recycle.max_age",
            f"{recycle.max_age}, while items have to be {recycle.lag_windows} windows old",
            "at least recycle.lag_windows",
            f"recycle.max_age={2 * recycle.lag_windows}, or null",
        )


def _order(config: Config) -> Iterator[Problem]:
    recycle = config.recycle
    if recycle.order == "oldest":
        return
    if recycle.take == "fifo":
        yield Problem(
            "recycle.order",
            f"{recycle.order} with recycle.take=fifo",
            "oldest, which is what first in, first out means",
            "recycle.take=shares, or recycle.order=oldest",
        )
    if recycle.source == "frozen":
        yield Problem(
            "recycle.order",
            f"{recycle.order} with recycle.source=frozen",
            "oldest, as frozen items are used in turn; any other order uses the same few for ever",
            "recycle.order=oldest, or recycle=on_policy",
        )


def _judging_alone(config: Config) -> Iterator[Problem]:
    schedule = config.schedule
    if not active(config.objective) or schedule.kind != "judge_only":
        return
    if config.recycle.source != "frozen":
        yield Problem(
            "schedule.kind",
            f"judge_only with recycle.source={config.recycle.source}",
            "items of the starting model: without question windows no others are made",
            "recycle=frozen, or schedule=joint",
        )
    if config.reward.self_judge is not None:
        yield Problem(
            "reward",
            "self_judge with schedule=judge_only",
            "question windows, whose answers the policy would judge",
            "reward=verifier, or schedule=joint",
        )
    for key, default in (("judge_every", 1), ("judge_items", None)):
        if getattr(schedule, key) != default:
            yield Problem(
                f"schedule.{key}",
                f"{getattr(schedule, key)} with schedule=judge_only",
                "no cadence, as there are no question windows in between",
                f"schedule.{key}={'null' if default is None else default}, or schedule=joint",
            )


def _schedule(config: Config) -> Iterator[Problem]:
    slots, schedule, trainer = active(config.objective), config.schedule, config.trainer
    if not slots:
        return
    for key in ("updates_per_window", "num_iterations"):
        if schedule.kind == "joint" and getattr(trainer, key) > 1:
            yield Problem(
                f"trainer.{key}",
                f"{getattr(trainer, key)} with schedule=joint",
                "1, as joint puts a question and a judge window into one update",
                f"trainer.{key}=1, or schedule=alternate",
            )
    size = trainer.prompts_per_window
    recycled = round(schedule.fraction * size)
    if schedule.kind == "mixed" and not 0 < recycled < size:
        yield Problem(
            "schedule.fraction",
            f"{schedule.fraction} of {size} groups, which is {recycled}",
            "at least one question and one recycled item in a window",
            "schedule.fraction=0.5, or more trainer.prompts_per_window",
        )
    least = schedule.judge_items or (size if schedule.kind == "alternate" else 0)
    if config.recycle.capacity * len(slots) < least:
        yield Problem(
            "recycle.capacity",
            f"{config.recycle.capacity} items for each of {len(slots)} objectives",
            f"room for the {least} items that a judge window waits for, or it never takes place",
            f"recycle.capacity={math.ceil(least / len(slots))} or more",
        )
