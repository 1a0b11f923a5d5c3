"""Set before torch, transformers or mlflow are imported: one thread, no network, no telemetry."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest

os.environ.update(
    OMP_NUM_THREADS="1",
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    MLFLOW_DISABLE_TELEMETRY="true",
    DO_NOT_TRACK="true",
    TOKENIZERS_PARALLELISM="false",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, and within them all as it was: a long one must not begin last."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., str]:
    """Runs a command that must be refused; returns what it says."""

    from spark_lab import cli

    def run(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["spark-lab", *words])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert caught.value.code == cli.BAD_INPUT
        said = capsys.readouterr()
        assert said.out == ""
        assert "Traceback" not in said.err
        for line in ("got", "expected", "fix"):
            assert f"\n  {line:<9} " in said.err
        return said.err

    return run
