"""Arms as curves: runs of one budget end at different steps, and their ends belong together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from simulated import simulate_run
from test_report import rewrite

from spark_lab.analysis.load import load_runs
from spark_lab.analysis.report import arms as grouping
from spark_lab.analysis.report.measures import JUDGE, POLICY
from spark_lab.analysis.report.series import together


def test_a_phase_portrait_ends_where_each_seed_ends(tmp_path: Path) -> None:
    for seed in (0, 1):
        folder = simulate_run(tmp_path, "none", seed, steps=12, evaluations=3, questions=20)
        if seed == 1:
            for name in ("eval.jsonl", "metrics.jsonl"):
                rewrite(folder / name, lambda row: row | {"step": row["step"] + (row["step"] > 0)})
    (arm,) = grouping.group(load_runs([tmp_path]))
    found = together(arm, (POLICY, JUDGE))
    assert found is not None
    for metric, values in zip((POLICY, JUDGE), found, strict=True):
        assert values.shape == (2, 2)  # the start and the end, as no step between is in both
        ends = [run.evals[metric].iloc[[0, -1]] for run in arm.shown]
        assert np.array_equal(values, np.stack(ends))
