"""What each of a launcher's jobs does for a search: ask, train, tell, until there is nothing to ask.

So a slot that is free gets the next trial at once, on any launcher, and no process in the middle has
to live for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from omegaconf import DictConfig

from spark_lab.errors import UserError
from spark_lab.sweeping.plan import PlannedRun
from spark_lab.sweeping.worker import Outcome, is_child_of, run_one
from spark_lab.tracking.jsonl import read_rows
from spark_lab.tuning import endings, samplers
from spark_lab.tuning.desk import Asked, Desk
from spark_lab.tuning.endings import COMPLETE, FAILED, PRUNED
from spark_lab.tuning.search import Search


def work(node: DictConfig, search: Search, main_process: str) -> None:
    """The whole life of a worker. Raises UserError where the storage fails.

    A worker whose command was killed on its machine ends the trial that it has, and no more.
    """
    ours = is_child_of(main_process)
    desk = Desk(search)
    try:
        while is_child_of(main_process) or not ours:
            asked = desk.ask()
            if asked is None:
                return
            state = _train(search, desk, asked, main_process)
            if state is None:
                return
            endings.show(search, asked.number, state)
    finally:
        desk.close()


def _train(search: Search, desk: Desk, asked: Asked, main_process: str) -> str | None:
    """How the trial ended; None after Ctrl-C, which leaves it to be taken over."""
    over = samplers.over(search.settings.pruner)
    finals: list[dict[str, float]] = []
    for place, seed in enumerate(search.seeds):
        try:
            run = search.trial_run(asked.number, asked.params, seed)
        except UserError as error:
            return desk.tell(asked.number, FAILED, finals, str(error))
        watched = "steps" in over and place == 0
        outcome = run_one(
            run.config,
            list(run.overrides),
            workers=search.shares,
            main_process=main_process,
            hopeless=partial(_is_hopeless, search, desk, asked.number, run) if watched else None,
        )
        if outcome.state == "stopped":
            return None
        finals.append(_final(run, outcome))
        if outcome.state != "done":
            # A run that has collapsed is an answer, of the worst kind; trying again gives the same.
            answered = outcome.state == "pruned" or "collapse" in run.status
            state = PRUNED if answered else FAILED
            return desk.tell(asked.number, state, finals, outcome.error)
        if _ends(search, desk, asked.number, run, finals):
            return desk.tell(asked.number, PRUNED, finals)
    return desk.tell(asked.number, COMPLETE, finals)


def _final(run: PlannedRun, outcome: Outcome) -> dict[str, float]:
    """The metrics of a run's last evaluation, wherever it ended."""
    if outcome.state == "done":
        return run.status.get("final", {})
    rows = read_rows(run.folder / "eval.jsonl").rows
    last: dict[str, Any] = rows[-1] if rows else {}
    return {key: float(v) for key, v in last.items() if isinstance(v, int | float) and "/" in key}


def _is_hopeless(search: Search, desk: Desk, number: int, run: PlannedRun) -> bool:
    """After an evaluation of the first seed: report the rungs it has passed. Not at its end, when
    there is nothing left to save."""
    [metric] = search.settings.metrics
    rows = read_rows(run.folder / "eval.jsonl").rows
    rungs = rungs_of(rows, metric, search.settings.rungs)
    if not rungs or rows[-1]["fraction"] >= 1.0:
        return False
    return desk.report(number, rungs)


def _ends(
    search: Search,
    desk: Desk,
    number: int,
    run: PlannedRun,
    finals: Sequence[dict[str, float]],
) -> bool:
    """After a seed has ended: report it; whether the trial ends here without the seeds left."""
    metrics, chosen = search.settings.metrics, search.settings
    over = samplers.over(chosen.pruner)
    if len(metrics) > 1 or not over or metrics[0] not in finals[-1]:
        return False
    values = [final[metrics[0]] for final in finals]
    if chosen.pruner["kind"] == "wilcoxon":  # which pairs the seeds of two trials
        found = {len(values): values[-1]}
    else:
        found = {chosen.rungs + len(values) - 1: sum(values) / len(values)}
    if "steps" in over and len(finals) == 1:  # a run taken over from elsewhere was not asked
        found |= rungs_of(read_rows(run.folder / "eval.jsonl").rows, metrics[0], chosen.rungs)
    hopeless = desk.report(number, found)
    return hopeless and "seeds" in over and len(finals) < len(search.seeds)


def rungs_of(rows: Sequence[dict[str, Any]], metric: str, count: int) -> dict[int, float]:
    """The metric at each passed `count`-th of the budget but the last: on the line between the
    evaluations around it. Trials evaluate at different points; here they can be compared."""
    points = [(row["fraction"], row[metric]) for row in rows if metric in row]
    found = {}
    for (before, low), (after, high) in pairwise(points):
        for rung in range(1, count):
            at = rung / count
            if before < at <= after:
                found[rung] = low + (high - low) * (at - before) / (after - before)
    return found
