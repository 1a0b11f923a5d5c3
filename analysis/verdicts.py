"""A contrast in one plain sentence, which never says more than the data do."""

from __future__ import annotations

from spark_lab.analysis.budgets import WORDS, BudgetMatch, amount
from spark_lab.analysis.power import MOST_SEEDS, questions_suffice
from spark_lab.analysis.stats import Contrast
from spark_lab.analysis.test_time import name_of
from spark_lab.analysis.test_time import words as strategy_words

MINUS = "\N{MINUS SIGN}"

METRIC_WORDS = {
    "policy/accuracy": "policy accuracy",
    "policy/sampled_accuracy": "sampled policy accuracy",
    "judge/pointwise_balanced_accuracy": "pointwise judge accuracy",
    "judge/pointwise_accuracy": "unbalanced pointwise judge accuracy",
    "judge/pairwise_accuracy": "pairwise judge accuracy",
    "judge/swap_consistency": "judge consistency under swapping",
    "judge/parse_failure_rate": "unreadable verdicts",
    "judge/yes_rate": "judge yes-rate",
    "reflect/fix_rate": "answers fixed by reflection",
    "tts/accuracy": "accuracy after judging and reflecting",
    "tts/tokens_per_question": "tokens a question at test time",
    "reflect/break_rate": "right answers broken by reflection",
}
SET_WORDS = {"fixed": "fixed judge set", "live": "own answers"}


def metric_words(metric: str) -> str:
    """`fixed/judge/pairwise_accuracy` -> `pairwise judge accuracy (fixed judge set)`."""
    first, _, rest = metric.partition("/")
    name = rest if first in SET_WORDS else metric
    words = METRIC_WORDS.get(name)
    if scaled := name_of(name):
        words = f"accuracy of {strategy_words(scaled)}"
    if words is None:
        k = name.removeprefix("policy/pass_at_")
        words = f"policy pass@{k}" if k != name else name.replace("/", " ").replace("_", " ")
    return f"{words} ({SET_WORDS[first]})" if first in SET_WORDS else words


def points(fraction: float, *, sign: bool = False) -> str:
    """A fraction (all contrasted metrics are) as percentage points with a true minus: 0.031 -> `3.1`, or `+3.1` with `sign`."""
    text = f"{abs(100 * fraction):.1f}"
    if text == "0.0":
        return text
    return (MINUS if fraction < 0 else "+" if sign else "") + text


def verdict_line(contrast: Contrast, budget: BudgetMatch) -> str:
    """What the report says of one contrast: effect, interval, n, what was matched, and the verdict.

    No winner is named where the budgets differ, where one seed is all there is, or where the
    corrected p-value exceeds alpha; the sentence then says what would settle it.
    """
    pairs = contrast.pairs
    head = f"{pairs.arm} vs {pairs.baseline}: {metric_words(pairs.metric)}"
    parts = [
        f"{head} {points(contrast.estimate.mean, sign=True)} points",
        *_interval(contrast),
    ]
    parts.append(_seeds(len(pairs.seeds)))
    if budget.matched:
        parts.append(f"matched at {amount(budget.baseline[budget.unit], budget.unit)}")
        parts += _other_units(budget)
        line = ", ".join(parts) + _judgement(contrast)
    else:
        line = ", ".join(parts) + f". No winner: {_unmatched(budget)}"
    return line + _left_out(contrast) + "."


def brief(contrast: Contrast) -> str:
    """Arm, effect and interval for a list: `reflect +7.1 (4.1 to 10.2)`, in points."""
    single = contrast.estimate
    effect = f"{contrast.pairs.arm} {points(single.mean, sign=True)}"
    if single.basis == "none":
        return effect
    return f"{effect} ({points(single.low)} to {points(single.high)})"


def short_verdict(contrast: Contrast, budget: BudgetMatch) -> str:
    """The verdict alone, for a table's cell."""
    if not budget.matched:
        return "budgets differ"
    if contrast.outcome == "no verdict":
        return "one seed" if len(contrast.pairs.seeds) == 1 else "no spread"
    return contrast.outcome


def _interval(contrast: Contrast) -> list[str]:
    single = contrast.estimate
    if single.basis == "none":
        return []
    over = " over questions only" if single.basis == "questions" else ""
    level = f"{100 * single.confidence:g} % interval"
    return [f"{level}{over} {points(single.low)} to {points(single.high)}"]


def _judgement(contrast: Contrast) -> str:
    """What follows the numbers; a winner on its own needs no further words than its direction."""
    if contrast.outcome == "no verdict":
        return _no_verdict(contrast)
    if contrast.outcome != "not separable":
        direction = " (lower is better)" if contrast.lower_is_better else ""
        return f": {contrast.outcome}{direction}{_corrected(contrast)}"
    seeds = len(contrast.pairs.seeds)
    excludes_zero = contrast.estimate.low * contrast.estimate.high > 0
    why = f" after correction for {contrast.family} contrasts" if excludes_zero else ""
    return f": not separable with {seeds} seeds{why}; {_what_it_takes(contrast)}"


def _what_it_takes(contrast: Contrast) -> str:
    effect = f"a difference of {points(contrast.effect_of_interest)} points"
    needed, seeds = contrast.seeds_needed, len(contrast.pairs.seeds)
    if needed is None:
        spread = contrast.estimate.spread
        level = contrast.alpha / contrast.family
        if questions_suffice(spread, contrast.effect_of_interest, level, contrast.target_power):
            return f"over {MOST_SEEDS} would be needed to resolve {effect}"
        return f"no number of seeds would resolve {effect} on {spread.n_questions} questions"
    if needed <= seeds:
        return f"{effect} would most likely have been seen"
    return f"about {needed} would be needed to resolve {effect}"


def _no_verdict(contrast: Contrast) -> str:
    if len(contrast.pairs.seeds) == 1:
        return ": one seed says nothing about training again; run at least 3"
    if contrast.estimate.p_value == 1.0:
        return ": the runs are identical on every question"
    return ": every seed differs by exactly as much, so there is no spread to judge it by"


def _corrected(contrast: Contrast) -> str:
    p = contrast.p_corrected
    shown = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    return (
        f" ({shown} after correction for {contrast.family} contrasts)"
        if contrast.family > 1
        else ""
    )


def _seeds(count: int) -> str:
    return f"n = {count} seed" if count == 1 else f"n = {count} seeds"


def _other_units(budget: BudgetMatch) -> list[str]:
    if not budget.unmatched_units:
        return []
    return [
        "not matched: " + " and ".join(_excess(budget, unit) for unit in budget.unmatched_units)
    ]


def _unmatched(budget: BudgetMatch) -> str:
    matched = [
        WORDS.get(unit, unit) for unit in budget.excess if unit not in budget.unmatched_units
    ]
    ours = amount(budget.arm[budget.unit], budget.unit)
    theirs = amount(budget.baseline[budget.unit], budget.unit)
    others = [unit for unit in budget.unmatched_units if unit != budget.unit]
    limit, unit = f"{100 * budget.tolerance:.0f} %", budget.unit
    text = f"the budgets differ by more than {limit}: {ours} against {theirs}"
    if abs(budget.arm[unit] / budget.baseline[unit] - 1) <= budget.tolerance:
        text = (
            f"the budgets of some seed differ by more than {limit} (by {_by(budget, unit)}; on"
            f" average {ours} against {theirs})"
        )
    if others:
        text += ", also " + " and ".join(_excess(budget, unit) for unit in others)
    return text + (
        f"; matched were {' and '.join(matched)}" if matched else "; nothing was matched"
    )


def _excess(budget: BudgetMatch, unit: str) -> str:
    return f"{WORDS.get(unit, unit)} ({_by(budget, unit)})"


def _by(budget: BudgetMatch, unit: str) -> str:
    by = budget.excess[unit]
    return f"{'+' if by > 0 else MINUS}{abs(100 * by):.0f} %"


def _left_out(contrast: Contrast) -> str:
    pairs = contrast.pairs
    missing = [
        f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))} of {arm}"
        for arm, seeds in (
            (pairs.arm, pairs.only_arm),
            (pairs.baseline, pairs.only_baseline),
        )
        if seeds
    ]
    return f". Left out for want of a partner: {' and '.join(missing)}" if missing else ""
