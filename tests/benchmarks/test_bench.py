"""The benchmark suite runs, measures the right things and notices what got slower."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, replace
from pathlib import Path

import bench
import compare
import pytest
import torch
from speed import commands, growth, judge, memory, scoring, search, solve, whole
from speed.measure import Row, middle
from speed.pair import (
    GROUP,
    SHAPES,
    Pair,
    bound,
    clock_rows,
    configure,
    judge_overrides,
    judging,
    spark,
)
from speed.scales import SCALES
from speed.table import quantity

TINY = SCALES["tiny"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return TINY.save(tmp_path_factory.mktemp("model"))


def test_one_command_measures_prints_and_keeps_every_figure(tmp_path, monkeypatch, capsys):
    few = tuple(replace(setting, shapes=(1,)) for setting in scoring.SETTINGS)
    monkeypatch.setattr(scoring, "SETTINGS", few)
    words = ["scoring", "--model", "tiny", "--rounds", "2", "--folder", str(tmp_path)]
    assert bench.main(words) == 0
    said = capsys.readouterr().out
    assert "bound" in said and torch.__version__ in said
    machine, rows = compare.load(next(tmp_path.glob("*.json")))
    assert machine["model"] == "tiny" and machine["threads"] == str(torch.get_num_threads())
    names = ["P/C 200/64, cache", "P/C 200/64, packed", "P/C 200/64, packed, recomputed"]
    assert [(row.section, row.name) for row in rows] == [("scoring", name) for name in names]
    assert all(name in said for name in names)
    for row in rows:
        assert len(row.trl) == len(row.spark) == 2 and min(*row.trl, *row.spark) > 0
        # Both passes are of the same batch: the two trainers agree about it.
        assert float(row.notes["log-probs"]) < 1e-4 and float(row.notes["gradient"]) < 1e-4


def test_judge_windows_have_exactly_the_stated_sizes(model: Path):
    pair = Pair(*judge_overrides(TINY, model, 0))
    judging(pair.ours, TINY, 0)
    absorbed = []
    absorb = pair.ours.loop.absorb
    pair.ours.loop.absorb = lambda samples: absorbed.extend(samples) or absorb(samples)
    step = pair.step(0)
    assert [(sample.prompt_length, sample.length) for sample in absorbed] == [SHAPES[0]] * GROUP
    # Its verdicts are read from what the model wrote.
    assert all(sample.verdict.parsed for sample in absorbed)
    assert all(parts.sample > 0 and parts.train > 0 for parts in step.values())


def test_both_trainers_sample_the_same_completions_where_spark_shares_nothing(tmp_path: Path):
    pair = Pair("objective=none", "trainer.shared_prompts=off", "trainer.prompts_per_window=4")
    written: dict[str, list] = {"spark": [], "trl": []}
    for name, trainer in (("spark", pair.ours), ("trl", pair.theirs)):
        generate = trainer._generate_single_turn

        def heard(*args, name=name, generate=generate, **kwargs):
            found = generate(*args, **kwargs)
            written[name] += found[0]
            return found

        trainer._generate_single_turn = heard
    before = [weight.clone() for weight in pair.ours.model.parameters()]
    pair.step(3, windows=2, updates=1)
    assert written["spark"] == written["trl"] and len(written["trl"]) == 64
    after = list(pair.ours.model.parameters())
    assert all(torch.allclose(a, b, rtol=0, atol=1e-20) for a, b in zip(before, after, strict=True))


def test_peaks_of_memory_follow_what_a_window_needs():
    peaks = {}
    for case in ("P/C 100/30", "P/C 400/32"):
        base, found = memory.peaks("trl", case, TINY, 1)
        peaks[case] = found[0]
        assert base > 100 and len(found) == 1
    # Three times the positions, whose activations outweigh the tiny model's weights.
    assert peaks["P/C 400/32"] > peaks["P/C 100/30"] + 10


def test_trls_memory_is_measured_without_sparks_weights_and_gradients(model: Path):
    config = configure(*judge_overrides(TINY, model, 0))
    ours = spark(config)
    judging(ours, TINY, 0)
    theirs, inputs = memory._trl(ours, config, [clock_rows(ours)])
    assert sum(weight.nbytes for weight in ours.model.parameters()) == 0
    assert all(weight.grad is None for weight in ours.model.parameters())
    assert sum(weight.nbytes for weight in theirs.model.parameters()) > 100_000
    assert [len(rows) for rows in inputs] == [GROUP]


def test_growth_fills_the_buffer_and_keeps_it_full():
    loop = spark(configure("recycle.capacity=400")).loop
    growth._fill(loop, 400)
    growth._cycle(loop, random.Random(0))
    queues = loop.state_dict()["buffer"]["queues"]
    assert all(380 < len(queue) <= 400 for queue in queues.values())
    row = growth._row("", loop, 1)
    assert row.trl == () and 0 < row.spark[0] < 1


def test_a_command_that_ends_otherwise_is_not_timed(tmp_path: Path):
    wall, cpu, peak = commands.spend(["--cfg", "job"], 0, str(tmp_path))
    assert wall > 0 and cpu > 0 and 0.01 < peak < 4
    with pytest.raises(RuntimeError, match="ended with 2"):
        commands.spend(["seed=-1"], 0, str(tmp_path))


def test_a_report_is_timed_from_end_to_end():
    row = whole._report(("none", "pointwise"), seeds=2, evaluations=3, rounds=1)
    assert row.trl == () and 1 < row.spark[0] < 100
    assert 0.05 < float(row.notes["peak of a process GiB"]) < 2


def test_sections_of_a_step_add_up():
    pair = Pair("objective=none", "trainer.prompts_per_window=2", "trainer.group_size=2")
    whole, sample, train = solve.part_rows("solve", "x", [pair.step(0), pair.step(1)])
    for side in ("trl", "spark"):
        parts = [a + b for a, b in zip(getattr(sample, side), getattr(train, side), strict=True)]
        assert getattr(whole, side) == pytest.approx(parts)
    assert judge.ROUNDS and bound(200, 64) == pytest.approx(2.97, abs=0.01)


def noisy(factor: float, seed: int) -> Row:
    """A row of twelve rounds: SPARK at half of TRL's time, times `factor`, on a drifting machine."""
    rng = random.Random(seed)
    trl = [1.0 + index / 10 for index in range(12)]
    spark = [factor * value / 2 * rng.lognormvariate(0, 0.02) for value in trl]
    return Row("judge", "x", "s", tuple(trl), tuple(spark))


def test_a_slow_down_beyond_noise_is_worse_and_noise_is_not():
    old = noisy(1.0, 1)
    slower = compare.Change.of(old, noisy(1.1, 2))
    assert slower.verdict == "worse" and slower.low < 1.1 < slower.high
    assert compare.Change.of(old, noisy(0.8, 3)).verdict == "better"
    alarms = [compare.Change.of(noisy(1.0, 2 * i), noisy(1.0, 2 * i + 1)) for i in range(200)]
    assert sum(change.verdict == "worse" for change in alarms) <= 2


def test_a_machine_that_is_slower_for_both_is_no_slow_down():
    old, new = noisy(1.0, 1), noisy(1.0, 2)
    new = replace(new, trl=tuple(2 * t for t in new.trl), spark=tuple(2 * s for s in new.spark))
    assert compare.Change.of(old, new).verdict == ""
    alone = [replace(row, trl=()) for row in (old, new)]
    assert compare.Change.of(*alone).verdict == "worse"


def test_comparing_two_files_names_what_got_worse(tmp_path: Path, capsys):
    files = []
    for index, factor in enumerate((1.0, 1.5)):
        once = Row("commands", "y", "s", (), (1.0 + index,))
        rows = [asdict(noisy(factor, index)), asdict(once)]
        files.append(str(tmp_path / f"{index}.json"))
        Path(files[-1]).write_text(json.dumps({"machine": {"load": str(index)}, "rows": rows}))
    assert compare.main(files) == 1
    said = capsys.readouterr().out
    assert "load: 0 -> 1" in said and "worse: judge, x: x 1.5" in said
    assert "measured once" in said and "1 of 2 rows" in said
    assert compare.main([files[0], files[0]]) == 0
    with pytest.raises(SystemExit):
        compare.main([files[0]])


def test_quantities_have_three_digits():
    assert middle([1.0, 2.0, 3.0, 4.0, 5.0]) == (3.0, 1.0)
    assert quantity([0.0123, 0.0123], "s") == "12.3 ± 0.0 ms"
    assert quantity([1234.0], "MiB") == "1,234 ± 0 MiB"


def test_what_a_search_spends_on_a_trial_is_measured_in_every_storage():
    found = search.rows(rounds=2, stored=12)
    assert [row.name for row in found] == [f"a trial, {name}" for name in search.CASES]
    assert all(len(row.spark) == 2 and min(row.spark) > 0 for row in found)
