"""The run log survives kills and says what it can't read."""

from __future__ import annotations

import gzip
from pathlib import Path

from spark_lab.tracking.jsonl import RunLog, read_rows, rollout_files

ROW = {"step": 1, "time": 1.5, "loss": 0.1 + 0.2, "train/solve/reward_mean": 1e-17}


def test_rows_come_back_exactly(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        log.step(ROW)
        log.evaluation({"step": 1, "policy/accuracy": 1 / 3})
        log.rollouts("train", 1, [{"completion": "\x1b[31m \ud800 ‮"}])
    assert read_rows(tmp_path / "metrics.jsonl").rows == [ROW]
    assert read_rows(tmp_path / "eval.jsonl").rows == [{"step": 1, "policy/accuracy": 1 / 3}]
    assert read_rows(rollout_files(tmp_path, "train")[1]).rows == [
        {"completion": "\x1b[31m \ud800 ‮"}
    ]


def test_a_row_is_on_disk_before_the_log_is_closed(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.step(ROW)
    assert read_rows(tmp_path / "metrics.jsonl").rows == [ROW]
    log.close()


def test_a_second_log_appends(tmp_path: Path) -> None:
    for step in (1, 2):
        with RunLog(tmp_path) as log:
            log.step({"step": step})
    assert [row["step"] for row in read_rows(tmp_path / "metrics.jsonl").rows] == [1, 2]


def test_equal_rollouts_give_equal_bytes_and_replace_the_file(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        log.rollouts("eval", 40, [ROW, ROW])
        first = (tmp_path / "rollouts/eval-000040.jsonl.gz").read_bytes()
        log.rollouts("eval", 40, [])
        log.rollouts("eval", 40, [ROW, ROW])
    assert (tmp_path / "rollouts/eval-000040.jsonl.gz").read_bytes() == first
    assert [path.name for path in (tmp_path / "rollouts").iterdir()] == ["eval-000040.jsonl.gz"]


def test_a_torn_last_line_is_left_out_and_named(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "loss": 0.')
    found = read_rows(path)
    assert found.rows == [{"step": 1}]
    assert found.problems == ["metrics.jsonl: torn last line 2 left out"]


def test_an_unreadable_line_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n\x00\x00\xff\n[3]\n{"step": 4}\n')
    found = read_rows(path)
    assert [row["step"] for row in found.rows] == [1, 4]
    assert found.problems == [
        "metrics.jsonl: unreadable line 2 left out",
        "metrics.jsonl: unreadable line 3 left out",
    ]


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(b'{"step": 1}\n' * 100)
    for name, content in (("cut", whole[:-20]), ("noise", b"not gzip"), ("flip", b"\xff" + whole)):
        path = tmp_path / f"{name}.jsonl.gz"
        path.write_bytes(content)
        found = read_rows(path)
        assert found.rows == [] and "damaged archive" in found.problems[0]


def test_rollout_files_are_in_order_of_their_steps(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        for step in (1_000_000, 20, 999_999):
            log.rollouts("train", step, [ROW])
        log.rollouts("eval", 3, [ROW])
    assert list(rollout_files(tmp_path, "train")) == [20, 999_999, 1_000_000]
    assert list(rollout_files(tmp_path, "eval")) == [3]
