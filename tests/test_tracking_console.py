"""What a user sees of a run: live on a terminal, plain lines in a log, the closing table."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console as Terminal

from spark_lab.tracking import words
from spark_lab.tracking.console import Console, next_commands
from spark_lab.tracking.progress import Progress

START = {"policy/accuracy": 0.4, "policy/pass_at_4": 0.8, "fixed/reflect/break_rate": 0.1}
FINAL = {"policy/accuracy": 0.9, "policy/pass_at_4": 0.8, "fixed/reflect/break_rate": 0.3}


def step(number: int, **metrics: float) -> dict[str, float]:
    clock = {"step": number, "time": 100.0 + 2 * number, "fraction": number / 10}
    return (
        clock | {"compute/generated_tokens": 500 * number, "compute/seconds": 2 * number} | metrics
    )


def shown(mode: str, terminal: bool = False) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    colours = "truecolor" if terminal else None
    screen = Terminal(
        file=text, force_terminal=terminal, width=110, highlight=False, color_system=colours
    )
    console = Console(
        mode,
        title="reflect [bold]· seed 0",
        trained=["reflect"],
        unit="generated_tokens",
        limit=5e6,
        terminal=screen,
    )
    return console, text


def test_plain_lines_when_the_output_is_no_terminal() -> None:
    console, text = shown("auto")
    with console:
        console.start()
        console.evaluation(step(0) | START)
        console.step(step(1, **{"train/solve/reward_mean": 0.25}))
        console.step(step(2, **{"train/solve/reward_mean": 0.75}))
        console.evaluation(step(2) | FINAL)
    lines = text.getvalue().splitlines()
    # The second step came within five seconds of the first.
    assert lines == [
        "reflect [bold]· seed 0 | 5 M generated tokens",
        "step 0 | held-out | policy accuracy 40.0 %",
        "step 1 | 10 % | 500 tokens | solve 0.25",
        "step 2 | held-out | policy accuracy 90.0 %",
    ]
    assert "\x1b" not in text.getvalue()


def test_a_terminal_shows_one_line_per_objective() -> None:
    console, text = shown("auto", terminal=True)
    with console:
        console.start()
        console.evaluation(step(0) | START | {"fixed/judge/pairwise_accuracy": 0.6})
        console.step(step(1, **{"train/reflect/reward_mean": 0.5}))
        console.evaluation(step(2) | FINAL | {"fixed/judge/pairwise_accuracy": 0.7})
    drawn = text.getvalue()
    picture = drawn[drawn.rindex("reflect [bold]") :]
    assert "held-out, step 2" in picture
    for line in ("solve", "policy accuracy", "pairwise", "not trained", "reflect", "0.50"):
        assert line in picture
    # Neither trained nor measured.
    assert "pointwise" not in picture


def test_off_prints_nothing() -> None:
    console, text = shown("off", terminal=True)
    with console:
        console.start()
        console.evaluation(step(0) | START)
        console.step(step(1))
        console.finish(START, FINAL, Path("runs/x"), [("spark-lab runs", "all runs")])
    assert text.getvalue() == ""


def test_the_closing_table_says_what_changed_and_what_to_type() -> None:
    console, text = shown("plain")
    console.step(step(10))
    console.finish(START, FINAL, Path("runs/x"), [("spark-lab rollouts " + "x" * 150, "read")])
    closing = text.getvalue()
    rows = [line.split() for line in closing.splitlines()]
    assert ["accuracy", "40.0", "%", "90.0", "%", "+50.0"] in rows
    assert ["pass@4", "80.0", "%", "80.0", "%", "0.0"] in rows
    assert ["right", "answers", "broken", "10.0", "%", "30.0", "%", "+20.0"] in rows
    assert "10 steps, 5 k tokens, 20 s" in closing and "runs/x/" in closing
    # Commands are never broken into lines: they are there to be copied.
    assert "spark-lab rollouts " + "x" * 150 in closing
    # What was not measured is not there.
    assert "pairwise" not in closing


def test_more_broken_answers_are_shown_as_worse() -> None:
    console, text = shown("live", terminal=True)
    console.finish(START, FINAL, Path("runs/x"), [])
    better, worse = (f"\x1b[38;2;{rgb}m" for rgb in ("0;158;115", "213;94;0"))
    closing = text.getvalue().replace(" ", "")
    assert f"{better}+50.0" in closing and f"{worse}+20.0" in closing


def test_an_exception_gives_the_terminal_back() -> None:
    console, text = shown("auto", terminal=True)
    with pytest.raises(KeyboardInterrupt), console:
        console.start()
        raise KeyboardInterrupt
    # The cursor, which a live display hides.
    assert text.getvalue().rindex("\x1b[?25h") > text.getvalue().rindex("\x1b[?25l")


def test_speed_is_measured_between_evaluations_and_time_left_over_all() -> None:
    progress = Progress()
    for number in (1, 2, 3):
        progress.add_step(step(number))
    assert progress.tokens_per_second() == 250
    assert progress.seconds_left() == pytest.approx(7 * 2)
    progress.add_evaluation(step(3))
    progress.add_step(step(4) | {"time": 120.0})
    assert progress.tokens_per_second() is None
    # 18 s for three tenths of the budget, with the evaluation; six tenths are left.
    assert progress.seconds_left() == pytest.approx(36)


def test_rewards_are_smoothed_over_ten_steps() -> None:
    progress = Progress()
    for number in range(1, 21):
        progress.add_step(step(number, **{"train/solve/reward_mean": float(number > 15)}))
    assert progress.reward("solve") == 0.5
    assert progress.reward("reflect") is None
    assert progress.trend("solve", 4) == [0, 0, 0, 1]
    assert progress.trend("reflect", 4) == []


def test_a_resumed_run_shows_its_curve_from_the_start_but_its_pace_from_now() -> None:
    console, _ = shown("plain")
    console.resume([step(1, **{"train/solve/reward_mean": 0.5})], [step(0) | START])
    progress = console._progress
    assert progress.first["policy/accuracy"] == 0.4 and progress.trend("solve", 9) == [0.5]
    progress.add_step(step(2) | {"time": 9000.0})
    assert progress.tokens_per_second() is None and progress.seconds_left() is None
    progress.add_step(step(3) | {"time": 9001.0})
    assert progress.tokens_per_second() == 500 and progress.seconds_left() == pytest.approx(7)


def test_next_commands_fit_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs/single/none/seed0-00000000"
    commands = [line for line, _ in next_commands(folder, Path("runs"), mlflow=True)]
    assert commands[:3] == [
        "spark-lab rollouts runs/single/none/seed0-00000000",
        "spark-lab runs",
        "spark-lab ui",
    ]
    elsewhere = [line for line, _ in next_commands(folder, Path("/data/x"), mlflow=False)]
    assert "spark-lab runs /data/x" in elsewhere
    assert not any("ui" in line.split() for line in elsewhere)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0 s"),
        (59.6, "1 min 00 s"),
        (3599.7, "1 h 00 min"),
        (7384, "2 h 03 min"),
        (90000, "1 d 01 h"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


def test_budgets_are_said_with_their_unit() -> None:
    assert words.budget("steps", 200.0) == "200 steps"
    assert words.budget("generated_tokens", 12e6) == "12 M generated tokens"
    assert words.budget("flops", 1.5e15) == "1.5e+15 FLOPs"
    assert words.budget("seconds", 150) == "2 min 30 s"
