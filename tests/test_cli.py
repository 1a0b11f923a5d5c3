"""The command line as a user meets it: in processes of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import yaml

from spark_lab import cli, doctor, runs
from spark_lab.config import compose

ROOT = Path(__file__).parent.parent
# A machine that does other things at the same time may take this many times longer.
SLACK = 6


def spark_lab(*words: str, cwd: Path, code: str = "from spark_lab.cli import main; main()"):
    """The finished process and its seconds; run from a folder that is not the checkout."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=env,
        timeout=300,
    )
    return done, time.perf_counter() - began


def test_help_names_every_command_group_and_option(tmp_path: Path) -> None:
    done, seconds = spark_lab("--help", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    for command in cli.COMMANDS:
        assert f"spark-lab {command}" in done.stdout
    for path in (ROOT / "conf").rglob("*.yaml"):
        assert path.stem in done.stdout, path
    for path in (ROOT / "sweeps").glob("*.yaml"):
        assert path.stem in done.stdout, path
    assert seconds < 1.0 * SLACK


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_explains_itself(command: str, tmp_path: Path) -> None:
    done, _ = spark_lab(command, "--help", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith(f"usage: spark-lab {command}")


def test_cfg_job_prints_the_configuration(tmp_path: Path) -> None:
    done, seconds = spark_lab("--cfg", "job", "seed=3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = yaml.safe_load(done.stdout)
    assert shown["seed"] == 3 and "hydra" not in shown
    assert list(tmp_path.iterdir()) == []
    assert seconds < 0.5 * SLACK


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--cfg", "job"],
        ["trainer.group_size=1"],
        ["schedule=joit"],
        ["dry_run=true"],
        ["-cn", "smoke", "dry_run=true"],
    ],
    ids=" ".join,
)
def test_nothing_heavy_is_imported(words: list[str], tmp_path: Path) -> None:
    code = (
        "import sys\nfrom spark_lab.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'trl', 'transformers', 'mlflow', 'optuna', 'pandas', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done, _ = spark_lab(*words, cwd=tmp_path, code=code)
    assert done.stderr.splitlines()[-1] == "[]"


def test_an_error_is_told_in_two_seconds(tmp_path: Path) -> None:
    done, seconds = spark_lab("trainer.lerning_rate=1", "recycle=off", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("2 problems with the input\n")
    assert seconds < 2.0 * SLACK


def test_dry_run_says_where_and_writes_nothing(tmp_path: Path) -> None:
    done, _ = spark_lab("dry_run=true", "objective=pointwise", f"root={tmp_path}/r", cwd=tmp_path)
    folder = runs.folder_of(compose(["objective=pointwise", f"root={tmp_path}/r"]))
    assert str(folder) in done.stdout and "128 rollouts" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_named_sweep_is_a_primary_config(tmp_path: Path) -> None:
    done, _ = spark_lab("-cn", "smoke", "dry_run=true", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines if "  seed " in line] == [
        "none",
        "pointwise+pairwise+reflect",
    ]


def test_multirun_takes_objectives_one_by_one_and_together(tmp_path: Path) -> None:
    done, _ = spark_lab(
        "-m", "objective=none,pairwise,[pointwise,reflect]", "dry_run=true", cwd=tmp_path
    )
    arms = [line.split()[0] for line in done.stdout.splitlines() if "  seed " in line]
    assert arms == ["none", "pairwise", "pointwise+reflect"]


def test_a_pickle_is_not_loaded(tmp_path: Path) -> None:
    done, _ = spark_lab("--experimental-rerun", "job.pickle", cwd=tmp_path)
    assert done.returncode != 0 and "refused" in done.stderr


def test_output_may_be_cut_short(tmp_path: Path) -> None:
    code = "import sys; sys.argv[0] = 'spark-lab'; from spark_lab.cli import main; main()"
    words = f'{sys.executable} -c "{code}" --help | head -1; exit ${{PIPESTATUS[0]}}'
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", words], check=False, capture_output=True, text=True, cwd=tmp_path, env=env
    )
    assert "Traceback" not in done.stderr


def test_doctor(tmp_path: Path) -> None:
    done, _ = spark_lab("doctor", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "Ready" in done.stdout and "trl" in done.stdout
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(project["optional-dependencies"]) == {"dev", *doctor.EXTRAS}
    told = done.stdout.splitlines()
    for name in doctor.EXTRAS:
        [place] = [n for n, line in enumerate(told) if line.split()[1:2] == [name]]
        is_there = told[place].startswith("ok")
        assert is_there or told[place + 1].endswith(f"pip install 'spark-lab[{name}]'")


@pytest.mark.slow
def test_ctrl_c_and_then_the_same_command_again(tmp_path: Path) -> None:
    """Stopped with code 130 and a hint; then it goes on; then it is done and skipped at once."""
    words = ["-c", "from spark_lab.cli import main; main()", f"root={tmp_path}", "objective=none"]
    words += ["budget=steps", "budget.limit=10", "trainer.save_every=1"]
    words += [
        "task.chain_sums.eval_size=8",
        "trainer.prompts_per_window=4",
        "eval.samples=1",
        "tracking=off",
    ]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # A shell starts its background jobs with Ctrl-C ignored, and children inherit that.
    pipes |= {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    process = subprocess.Popen([sys.executable, *words], env=env, text=True, **pipes)
    folder = None
    for _ in range(1200):
        time.sleep(0.05)
        folder = next(iter(runs.find_runs(tmp_path)), None)
        if folder is not None and runs.complete_checkpoints(folder):
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert folder is not None and process.returncode == cli.INTERRUPTED, said
    assert "same command" in said and "Traceback" not in said
    assert runs.read_status(folder)["state"] == "stopped"

    done, _ = spark_lab(*words[2:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert runs.read_status(folder)["state"] == "done"
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert [yaml.safe_load(line)["step"] for line in lines] == list(range(1, 11))

    again, seconds = spark_lab(*words[2:], cwd=tmp_path)
    assert again.returncode == 0 and "already done" in again.stdout
    assert seconds < 5
