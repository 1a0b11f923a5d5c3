"""Asks for trials, and tells how they went: whatever is killed, each trial is done exactly once.

A trial belongs to the process that asked for it, which holds a lock file as long as it lives. Where
the kernel has freed that lock, the trial was torn: whoever asks next takes it over, with its number,
its parameters, and its run folder, where the run goes on from its last checkpoint.
"""

from __future__ import annotations

import fcntl
import math
import os
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_lab.tuning import samplers, storage
from spark_lab.tuning import study as studies
from spark_lab.tuning.endings import COMPLETE, FAILED, PRUNED
from spark_lab.tuning.search import Search
from spark_lab.tuning.space import Value

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

# Attributes of a trial: who trains it, how far it broke the constraints, what its runs reached.
OWNER, EXCESS, RESULT, ERROR = "owner", "excess", "result", "error"
_LOOK_SECONDS = 1.0
# What a constraint is broken by whose metric was not measured: JSON has no infinity.
_NEVER = 1e9


@dataclass(frozen=True)
class Asked:
    """A trial to train."""

    number: int
    params: dict[str, Value]


class Desk:
    """One worker's hand on the study."""

    def __init__(self, search: Search):
        from optuna.study import load_study
        from optuna.trial import TrialState

        self._search = search
        self._states = TrialState
        with samplers.quiet():
            self._study: Study = load_study(
                study_name=search.name,
                storage=storage.open_storage(search.storage),
                pruner=samplers.build_pruner(search.settings.pruner, search.last_rung),
            )
        self._owners = search.folder / ".owners"
        self._owners.mkdir(exist_ok=True)
        self._me = uuid.uuid4().hex
        self._alive = (self._owners / self._me).open("w")
        fcntl.flock(self._alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._failed_before = len(self._trials(TrialState.FAIL))

    def ask(self) -> Asked | None:
        """The next trial, a torn one first; None when there are enough, or too many have failed.

        Waits as long as other processes have the last trials: one of those may be torn yet.
        """
        while True:
            with studies.lock(self._search.folder):
                torn = [t for t in self._trials(self._states.RUNNING) if self._is_torn(t)]
                if torn:
                    return self._take(torn[0].number, torn[0]._trial_id)
                running = len(self._trials(self._states.RUNNING))
                ended = len(self._trials(self._states.COMPLETE, self._states.PRUNED))
                failed = len(self._trials(self._states.FAIL)) - self._failed_before
                if ended >= self._search.n_trials or failed >= self._search.settings.max_failures:
                    return None
                if ended + running < self._search.n_trials and self._has_another():
                    return self._new()
                if not running:
                    return None
            time.sleep(_LOOK_SECONDS)

    def report(self, number: int, values: dict[int, float]) -> bool:
        """Report values by rung, those that were not reported before; whether to give up."""
        kept, trial_id = self._study._storage, self._id(number)
        known = kept.get_trial(trial_id).intermediate_values
        for rung in sorted(values.keys() - known.keys()):
            kept.set_trial_intermediate_value(trial_id, rung, values[rung])
        with samplers.quiet():
            return self._study.pruner.prune(self._study, kept.get_trial(trial_id))

    def tell(
        self, number: int, state: str, finals: Sequence[dict[str, float]], error: str | None = None
    ) -> str:
        """End a trial as "complete", "pruned" or "failed". `finals` are its seeds' last metrics.

        Returns the state: a trial that is complete but for a metric of the search has failed.
        """
        result = _means(finals)
        values = [result.get(metric, math.nan) for metric in self._search.settings.metrics]
        if state == COMPLETE and not all(map(math.isfinite, values)):
            state, error = FAILED, "a metric of the search was not measured"
        self._note(number, RESULT, result)
        if error is not None:
            self._note(number, ERROR, error)
        if self._search.settings.bounds and state != FAILED:
            self._note(number, EXCESS, self._excess(result))
        self._study.sampler = self._sampler(number)
        with samplers.quiet():
            try:
                if state == COMPLETE:
                    self._study.tell(number, values)
                else:
                    ended = self._states.PRUNED if state == PRUNED else self._states.FAIL
                    self._study.tell(number, state=ended)
            except RuntimeError as stop:
                # The last point of a grid stops a loop of Optuna's own, after it was stored.
                if "Study.stop" not in str(stop):
                    raise
        return state

    def _excess(self, result: dict[str, float]) -> list[float]:
        bounds = self._search.settings.bounds
        found = [b.excess(result[b.metric]) if b.metric in result else _NEVER for b in bounds]
        return [min(value, _NEVER) for value in found]

    def _note(self, number: int, key: str, value: Any) -> None:
        self._study._storage.set_trial_user_attr(self._id(number), key, value)

    def close(self) -> None:
        self._alive.close()
        with suppress(FileNotFoundError):
            (self._owners / self._me).unlink()

    def _new(self) -> Asked:
        self._study.sampler = self._sampler(len(self._study.get_trials(deepcopy=False)))
        with samplers.quiet():
            trial = self._study.ask()
            return self._owned(trial)

    def _take(self, number: int, trial_id: int) -> Asked:
        from optuna.trial import Trial

        self._study.sampler = self._sampler(number)
        with samplers.quiet():
            return self._owned(Trial(self._study, trial_id))

    def _owned(self, trial: Any) -> Asked:
        trial.set_user_attr(OWNER, self._me)
        return Asked(trial.number, self._search.space.ask(trial))

    def _is_torn(self, trial: FrozenTrial) -> bool:
        owner = trial.user_attrs.get(OWNER)
        if owner is None:  # torn before it was anybody's: asking goes by turns
            return True
        if owner == self._me:
            return False
        return not _is_alive(self._owners / owner)

    def _has_another(self) -> bool:
        """Whether a grid has a point left. Those that have failed come once more at its end: for
        Optuna's sampler they are done."""
        if self._search.settings.sampler["kind"] != "grid":
            return True
        if not self._sampler(0).is_exhausted(self._study):
            return True
        failed = self._trials(self._states.FAIL)
        others = [t.params for t in self._study.get_trials(deepcopy=False) if t not in failed]
        again = next((t.params for t in failed if t.params and t.params not in others), None)
        if again is not None:
            self._study.enqueue_trial(again)
        return again is not None

    def _sampler(self, number: int) -> Any:
        chosen = self._search.settings
        return samplers.build_sampler(
            chosen.sampler,
            self._search.space,
            seed=chosen.seed,
            number=number,
            bounds=_excess_of if chosen.constraints else None,
        )

    def _id(self, number: int) -> int:
        kept = self._study._storage
        return kept.get_trial_id_from_study_id_trial_number(self._study._study_id, number)

    def _trials(self, *states: Any) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states)


def _excess_of(trial: FrozenTrial) -> Sequence[float]:
    return trial.user_attrs[EXCESS]


def _is_alive(path: Path) -> bool:
    try:
        with path.open("r+") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    with suppress(FileNotFoundError):
        os.unlink(path)
    return False


def _means(finals: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean over seeds of what all of them measured."""
    if not finals:
        return {}
    shared = set.intersection(*(set(final) for final in finals))
    return {key: sum(f[key] for f in finals) / len(finals) for key in sorted(shared)}
