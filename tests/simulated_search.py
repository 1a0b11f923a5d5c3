"""Folders of searches whose runs are simulated: everything but the training is real."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from searches import desk, score, search
from simulated import simulate_run
from simulated_world import Levels

from spark_lab import runs
from spark_lab.analysis import search as searched
from spark_lab.analysis.search import UNTUNED
from spark_lab.tracking.jsonl import read_rows
from spark_lab.tuning import snapshot
from spark_lab.tuning import study as studies
from spark_lab.tuning.desk import Asked
from spark_lab.tuning.search import Search
from spark_lab.tuning.worker import rungs_of


def simulate_search(
    root: Path, *words: str, name: str = "simulated", n: int = 20, fresh: int = 3, **space
) -> Path:
    """Ask for `n` trials, simulate their runs, and the chosen one beside the untuned configuration
    on `fresh` seeds; the folder of the search."""
    wanted = search(root, f"name={name}", *words, n=n, **space)
    one = desk(wanted)
    while (asked := one.ask()) is not None:
        pruned, final = _train(root, wanted, one, asked)
        one.tell(asked.number, "pruned" if pruned else "complete", [final])
    one.close()
    snapshot.write(wanted, studies.open_study(wanted))
    found = searched.read(wanted.folder)
    assert found is not None
    if fresh and found.chosen is not None:
        _validate(root, wanted, found.chosen, fresh)
    return wanted.folder


def _levels(asked: Asked) -> Levels:
    """The judge wants what the policy doesn't, and tokens cost both."""
    true = 0.45 + 0.4 * max(score(asked), 0.0)
    return Levels(policy=(0.4, true), judge=(0.6, 1.25 - 0.6 * true))


def _train(root: Path, wanted: Search, one, asked: Asked) -> tuple[bool, dict[str, float]]:
    folder = _simulated(root, wanted, runs.trial_arm(asked.number), 0, asked, "done")
    rows = read_rows(folder / "eval.jsonl").rows
    pruned = False
    metrics = wanted.settings.metrics
    if len(metrics) == 1 and wanted.settings.pruner["kind"] != "none":
        rungs = rungs_of(rows, metrics[0], wanted.settings.rungs)
        pruned = any(
            one.report(asked.number, {rung: value}) for rung, value in rungs.items() if rung < 6
        )
        if not pruned:
            one.report(asked.number, rungs | {wanted.settings.rungs: rows[-1][metrics[0]]})
    if pruned:
        shutil.rmtree(folder)
        folder = _simulated(root, wanted, runs.trial_arm(asked.number), 0, asked, "pruned")
        rows = read_rows(folder / "eval.jsonl").rows
    return pruned, {k: v for k, v in rows[-1].items() if isinstance(v, float) or "/" in k}


def _simulated(root: Path, wanted: Search, arm: str, seed: int, asked: Asked, state: str) -> Path:
    return simulate_run(
        root,
        arm,
        seed,
        _levels(asked),
        sweep=wanted.name,
        questions=60,
        samples=1,
        state=state,
        rollouts=("eval",),
        tokens_per_step=1000 * int(asked.params["trainer.group_size"]),
    )


def _validate(root: Path, wanted: Search, chosen: searched.Trial, fresh: int) -> None:
    tuned = Asked(chosen.number, chosen.params)
    typical = {"trainer.learning_rate": 1e-2, "trainer.warmup_fraction": 0.4}
    untuned = Asked(0, typical | {"trainer.group_size": chosen.params["trainer.group_size"]})
    planned = []
    for seed in range(1, 1 + fresh):
        for arm, asked in ((UNTUNED, untuned), (f"tuned-{chosen.number:03d}", tuned)):
            _simulated(root, wanted, arm, seed, asked, "done")
            planned.append({"arm": arm, "seed": seed})
    question = {
        "asks": "Is there a better rate?",
        "primary": wanted.settings.metrics[0],
        "baseline": UNTUNED,
        "answer": "An interval that leaves out zero.",
    }
    plan = {"runs": planned, "question": question, "command": ["spark-lab", "-m"]}
    (wanted.folder / "plan.json").write_text(json.dumps(plan))
