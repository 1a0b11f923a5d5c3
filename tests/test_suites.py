"""`spark-lab eval suite=...` on the tiny model: measured once, gone on with, shown beside the paper."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from known_benchmarks import KNOWN, REWARD_BENCH_2, copy
from known_data import jsonl
from tiny_spark import SMALL

from spark_lab import build, runner
from spark_lab.assessing import command, measuring, subject, suites
from spark_lab.benchmarks import catalogue
from spark_lab.config import compose
from spark_lab.errors import UserError
from spark_lab.models.load import BUILTIN
from spark_lab.viewing import show_rollouts

NAMES = ("aime24", "gsm8k", "math500", "mmlu_stem")
SHORT = ["trainer.max_completion_length=12", "eval.test_time_rounds=1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmarks")
    for name in NAMES:
        copy(name, folder, KNOWN[name].rows)
    return copy("reward_bench_2", folder, REWARD_BENCH_2)


@pytest.fixture
def suite(data: Path, tmp_path: Path, capsys):
    """The results by benchmark of `spark-lab eval suite=NAMES WORDS`, and what was printed."""

    def evaluated(names: str, *words: str, subject: str = "model.path=builtin:tiny"):
        root = [] if any(word.startswith("root=") for word in words) else [f"root={tmp_path}"]
        where = [] if any(word.startswith("data=") for word in words) else [f"data={data}"]
        command.main([subject, f"suite={names}", *where, *SHORT, *root, *words])
        out = capsys.readouterr().out
        found = {}
        for line in out.splitlines():
            name, _, folder = line.strip().partition("  ")
            if folder.endswith("/") and "/evals/" in folder:
                found[name] = json.loads((Path(folder) / "result.json").read_text())
        return found, out

    return evaluated


def test_a_suite_is_measured_once_and_shown_beside_the_paper(suite, monkeypatch) -> None:
    found, out = suite("[gsm8k,aime24,reward_bench_2]", "samples=3")
    assert list(found) == ["gsm8k", "aime24", "reward_bench_2"]
    metrics = found["gsm8k"]["metrics"]
    assert {"accuracy", "avg_at_3", "vote_at_3", "pass_at_3", "tts/accuracy", "tts/gain"} <= set(
        metrics
    )
    assert found["gsm8k"]["rows"] == 2 and found["gsm8k"]["intervals"]["accuracy"][1] > 0.5
    assert found["reward_bench_2"]["metrics"]["overall"] <= 0.0, (
        "not a letter fits in twelve tokens"
    )
    for shown in ("2 of 1,319", "judged and reflected on", "by the official rule"):
        assert shown in out
    assert "SPARK-7B" not in out
    monkeypatch.setattr(build, "load_asked", lambda *_: pytest.fail("measured already"))
    again, said = suite("gsm8k", "samples=3", "eval.batch_size=7")
    assert again["gsm8k"] == found["gsm8k"] and "2 of 1,319" in said


def test_the_papers_table_has_a_row_for_this_model(suite, monkeypatch) -> None:
    monkeypatch.setitem(catalogue.SUITES, "paper_llm", ("gsm8k", "reward_bench_2"))
    found, out = suite("paper_llm", "eval.test_time=off")
    assert "tts/accuracy" not in found["gsm8k"]["metrics"] and "judged and reflected" not in out
    table = out.partition("Table 2")[2].splitlines()
    [paper] = [line.split() for line in table if "SPARK-7B" in line]
    [own] = [line.split() for line in table if "this model, on a part" in line]
    assert paper[1:5] == ["16.7", "6.7", "62.5", "93.2"] and paper[-1] == "56.8"
    overall = round(100 * found["reward_bench_2"]["metrics"]["overall"], 1)
    dash = "\N{EN DASH}"
    # AIME, AMC, GSM8k, MATH-500, MMLU-STEM, RB2, its maths, and the means of maths, reward, all.
    columns = [
        dash,
        dash,
        dash,
        "0.0",
        dash,
        dash,
        f"{overall}",
        "0.0",
        dash,
        f"{overall / 2:.1f}",
        dash,
    ]
    assert own[-len(columns) :] == columns


def test_settings_and_weights_have_results_of_their_own(suite) -> None:
    first, _ = suite("gsm8k")
    other, _ = suite("gsm8k", "samples=2")
    part, out = suite("gsm8k", "limit=1")
    assert "avg_at_2" in other["gsm8k"]["metrics"] and "avg_at_2" not in first["gsm8k"]["metrics"]
    assert part["gsm8k"]["rows"] == 1 and "1 of 1,319" in out
    anew, _ = suite("gsm8k", "force=true")
    assert anew["gsm8k"]["metrics"] == first["gsm8k"]["metrics"]
    assert anew["gsm8k"]["seconds"] != first["gsm8k"]["seconds"]


class Killed:
    """A generator that ends the process after one call."""

    def __init__(self, generator):
        self._generator = generator
        self.calls = 0

    def complete(self, prompts, **settings):
        if self.calls == 1:
            raise KeyboardInterrupt
        self.calls += 1
        return self._generator.complete(prompts, **settings)


def test_what_was_killed_goes_on(suite, tmp_path: Path, monkeypatch) -> None:
    whole, _ = suite("gsm8k", "samples=2", f"root={tmp_path}/whole")
    make = build.build_generator
    monkeypatch.setattr(measuring, "BLOCK", 1)
    monkeypatch.setattr(build, "build_generator", lambda *asked: Killed(make(*asked)))
    with pytest.raises(KeyboardInterrupt):
        suite("gsm8k", "samples=2")
    [kept] = tmp_path.glob("evals/*/completions")
    assert len(list(kept.iterdir())) == 1 and not (kept.parent / "result.json").exists()
    monkeypatch.setattr(build, "build_generator", make)
    found, _ = suite("gsm8k", "samples=2")
    assert found["gsm8k"]["metrics"]["accuracy"] == whole["gsm8k"]["metrics"]["accuracy"]
    assert not kept.exists(), "what was made of them is safe"


def test_a_run_says_what_of_a_benchmark_it_was_trained_on(suite, tmp_path: Path, capsys) -> None:
    texts = [KNOWN["gsm8k"].rows[0]["question"].upper(), "1+1", "2+1", "1+2"]
    train = jsonl(tmp_path / "train.jsonl", *({"question": one, "answer": 2} for one in texts))
    held_out = jsonl(tmp_path / "eval.jsonl", {"question": "2+2", "answer": 4})
    words = [one for one in SMALL if "chain_sums" not in one]
    words += ["task=data", f"task.data.train_path={train}", f"task.data.eval_path={held_out}"]
    words += ["budget.limit=1", f"root={tmp_path}", "tracking.console=off", "eval.test_time=off"]
    runner.run(compose(words), [])
    [status] = tmp_path.glob("*/*/*/status.json")
    capsys.readouterr()
    found, out = suite("gsm8k,math500", subject=f"run={status.parent}")
    assert found["gsm8k"]["trained_on"] == 1 and found["math500"]["trained_on"] == 0
    assert "GSM8k: 1 question of it this run was trained on." in out and "MATH-500: " not in out
    assert found["gsm8k"]["counts"]["accuracy_untrained"] == 1
    assert found["gsm8k"]["run"] == str(status.parent) and found["gsm8k"]["step"] == 1
    Path(train).unlink()
    gone, _ = suite("math500", "force=true", subject=f"run={status.parent}")
    assert gone["math500"]["trained_on"] is None, "what it was trained on can't be read any more"


def test_its_rollouts_can_be_read(suite, tmp_path: Path, capsys) -> None:
    suite("gsm8k,reward_bench_2", "eval.test_time=off")
    for folder in tmp_path.glob("evals/*"):
        show_rollouts([str(folder)])
    out = capsys.readouterr().out
    assert "You are a fair judge" in out and "Ann has 1,000 pens" in out


TASK = """
task: own_choices
dataset_path: json
dataset_kwargs:
  data_files:
    test: {file}
output_type: multiple_choice
test_split: test
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list:
  - metric: acc
"""


@pytest.mark.slow
def test_a_task_of_the_harness(suite, tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("lm_eval")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    rows = [
        {"question": "1+1=", "choices": ["2", "3"], "answer": number % 2} for number in range(4)
    ]
    file = jsonl(tmp_path / "own/rows.jsonl", *rows)
    (tmp_path / "own/own_choices.yaml").write_text(TASK.format(file=file))
    found, out = suite("lm_eval:own_choices", f"data={tmp_path}/own")
    result = found["lm_eval:own_choices"]
    assert result["metrics"]["acc"] == 0.5 and result["counts"]["acc"] == 4
    low, high = result["intervals"]["acc"]
    assert low < 0.5 < high and "own_choices" in out
    monkeypatch.setattr(build, "load_asked", lambda *_: pytest.fail("measured already"))
    assert suite("lm_eval:own_choices", f"data={tmp_path}/own")[0] == found
    with pytest.raises(UserError, match="did you mean suite=lm_eval:own_choices"):
        suite("lm_eval:own_choice", f"data={tmp_path}/own")


WRONG = {
    "no such suite": (["suite=papers_llm"], "did you mean suite=paper_llm"),
    "a paid judge": (["suite=mmvet"], "GPT-4, which is a paid service"),
    "no rows there": (["suite=amc23"], "copy math-ai/amc23 there"),
    "a picture for a blind model": (["suite=mmk12"], "a model of text alone, for mmk12"),
    "a part of no rows": (["suite=gsm8k", "limit=0"], "an integer >= 1"),
    "half a sample": (["suite=gsm8k", "samples=0.5"], "an integer >= 0"),
    "a task's own key": (
        ["suite=gsm8k", "task.chain_sums.seed=1"],
        "nothing that a benchmark is asked",
    ),
    "samples by another name": (["suite=gsm8k", "eval.samples=4"], "samples=K"),
    "a key without effect": (
        ["suite=gsm8k", "eval.live=false"],
        "nothing that a benchmark is asked",
    ),
    "a training key": (
        ["suite=gsm8k", "trainer.learning_rate=1"],
        "nothing that a model is asked by",
    ),
    "a typo": (["suite=gsm8k", "eval.sede=1"], "nothing that a benchmark is asked"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_refused_before_a_model_is_loaded(case: str, suite, monkeypatch) -> None:
    words, said = WRONG[case]
    monkeypatch.setattr(build, "load_asked", lambda *_: pytest.fail("a model was loaded"))
    with pytest.raises(UserError) as caught:
        suite(words[0].removeprefix("suite="), *words[1:])
    assert said in str(caught.value)


def test_a_model_that_proves_blind_once_it_is_loaded_is_refused(
    suite, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(suites, "sees_images", lambda folder: True)
    copy("mmk12", tmp_path / "visual", KNOWN["mmk12"].rows)
    with pytest.raises(UserError, match="a model of text alone, for mmk12"):
        suite("mmk12", f"data={tmp_path}/visual")


def test_a_model_of_its_own_is_asked_as_the_paper_asks() -> None:
    words = [f"model.path={BUILTIN['builtin:tiny']}", "trainer.max_completion_length=9"]
    found = subject.find([*words, "eval.max_completion_length=64"], "eval", "benchmark")
    assert found.config.eval.answer_temperature == 0.0 and found.config.eval.test_time_rounds == 2
    with pytest.raises(UserError, match="2048, while the model's context is 512 tokens"):
        subject.find(words, "eval", "benchmark")
    assert subject.find([*words, "eval=sparse"], "eval", "benchmark").config.eval.every == 400
