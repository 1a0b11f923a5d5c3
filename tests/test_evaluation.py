"""Whole evaluations: of a scripted model with exact expectations, and of a tiny real one."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from spark_lab import prompts
from spark_lab.errors import UserError
from spark_lab.evaluation import Evaluator
from spark_lab.evaluation.generation import Completion, Generator
from spark_lab.models.decoder import build_tokenizer
from spark_lab.models.encoding import Encoder
from spark_lab.prompts import TemplateSet
from spark_lab.records import Question
from spark_lab.schema import EvalConfig
from spark_lab.tasks import Task

QUESTIONS = [Question(index, f"q{index}", str(10 + index)) for index in range(5)]
TEMPLATES = TemplateSet(
    name="test",
    solve="solve|{question}",
    pointwise={"yes_no": ("judge|{question}|{solution}|{yes}|{no}", "other"), "a_b": ("other",)},
    pairwise=("pair|{question}|{solution_a}|{solution_b}|{a}|{b}", "other"),
    reflect={
        ("told_wrong", "answer"): ("fix|{question}|{solution}", "other"),
        ("verify_first", "answer"): ("check|{question}|{solution}", "other"),
        ("told_wrong", "working"): ("other",),
        ("verify_first", "working"): ("other",),
    },
)
COLUMNS = {
    *("step", "window", "phase", "set", "objective", "form", "material", "question", "prompt"),
    *("completion", "label", "answer", "reward", "correct", "parsed", "tokens", "truncated"),
    *("source_correct", "source_window", "p_yes", "swapped", "sample"),
}

# The greedy and the two sampled answers to each question; "?" is one that can't be parsed.
SOLUTIONS = {
    "q0": ("10", "10", "10"),
    "q1": ("11", "11", "91"),
    "q2": ("92", "92", "?"),
    "q3": ("?", "?", "13"),
    "q4": ("14", "94", "14"),
}
JUDGEMENTS = {
    **{"q0|10": "Yes", "q1|11": "No", "q3|13": "?", "q4|14": "Yes"},
    **{"q1|91": "Yes", "q2|92": "No", "q4|94": "No"},
    "q2|12": "Yes",  # only shown live, once the model solves q2
}
CHOICES = {"q1|11|91": "B", "q1|91|11": "A", "q4|14|94": "A", "q4|94|14": "B"}
CHECKED = {
    **{"q1|91": "11", "q2|92": "92", "q4|94": "?"},
    **{"q0|10": "10", "q1|11": "11", "q3|13": "91", "q4|14": "14"},
}
FIXED = {"q1|91": "11", "q2|92": "12", "q4|94": "94"}
EXPECTED = {
    "policy/accuracy": 3 / 5,
    "policy/sampled_accuracy": 5 / 10,
    "policy/pass_at_2": 4 / 5,
    "policy/parse_failure_rate": 1 / 5,
    "policy/truncated_rate": 1 / 5,
    "policy/tokens": (4 * 10 + 1) / 5,
}
EXPECTED_JUDGE = {
    "judge/pointwise_balanced_accuracy": (2 / 4 + 2 / 3) / 2,
    "judge/pointwise_accuracy": 4 / 7,
    "judge/pointwise_precision": 2 / 3,
    "judge/pointwise_recall": 2 / 4,
    "judge/pointwise_f1": 4 / 7,
    "judge/yes_rate": 3 / 7,
    "judge/label_yes_rate": 4 / 7,
    "judge/brier": (0.04 + 0.49 + 0.04 + 0.64 + 0.09) / 5,
    "judge/ece": (abs(-0.2 - 0.2 + 0.8) + abs(-0.7 + 0.3)) / 5,
    "judge/pairwise_accuracy": 2 / 4,
    "judge/swap_consistency": 1.0,  # q1 is judged wrongly in both orders
    "judge/parse_failure_rate": 1 / 11,
    "reflect/fix_rate": 1 / 3,
    "reflect/break_rate": 1 / 4,
    "reflect/told_wrong_fix_rate": 2 / 3,
}


class Script:
    """Completes prompts by a function of the prompt and the sample's number (0 is greedy)."""

    def __init__(self, reply: Callable[[str, int], str]):
        self.reply = reply
        self.calls: list[tuple[set[str], int, float, int]] = []

    def complete(self, prompts, *, samples=1, temperature=0.0, seed=0):
        prompts = [prompt.text for prompt in prompts]
        kinds = {prompt.partition("|")[0] for prompt in prompts}
        self.calls.append((kinds, samples, temperature, seed))
        numbers = [0] * samples if temperature == 0.0 else range(1, samples + 1)
        return [[self._completion(self.reply(prompt, n)) for n in numbers] for prompt in prompts]

    @staticmethod
    def _completion(answer: str) -> Completion:
        text = answer if answer == "?" else f"\\boxed{{{answer}}}"
        return Completion(text, len(text), answer == "?")

    def verdict_probabilities(self, prompts, completions, labels):
        assert labels == ("Yes", "No")
        texts = [completion.text for completion in completions]
        weights = {"\\boxed{Yes}": 0.8, "\\boxed{No}": 0.3}
        return [
            None if "q4|94" in prompt.text else weights[text]
            for prompt, text in zip(prompts, texts, strict=True)
        ]


def scripted(prompt: str, sample: int) -> str:
    kind, rest = prompt.split("|", 1)
    if kind == "solve":
        return SOLUTIONS[rest][sample]
    replies = {"judge": JUDGEMENTS, "pair": CHOICES, "check": CHECKED, "fix": FIXED}[kind]
    return replies[rest.removesuffix("|Yes|No").removesuffix("|A|B")]


def eval_config(**changes) -> EvalConfig:
    settings = dict(every=1, samples=2, temperature=1.0, live=True, calibration=True)
    settings |= dict(answer_temperature=0.0)
    settings |= dict(test_time="off", test_time_samples=4, test_time_rounds=2)
    sizes = dict(batch_size=16, max_completion_length=None, seed=0)
    return EvalConfig(**(settings | sizes | changes))


def evaluator(folder, questions=QUESTIONS, **changes) -> Evaluator:
    task = Task(train=[], eval=questions, verifier="exact")
    return Evaluator(task, TEMPLATES, eval_config(**changes), folder / "judge_set.jsonl")


def test_every_metric_of_a_scripted_model(tmp_path):
    result = evaluator(tmp_path)(Script(scripted))
    expected = EXPECTED | {
        f"{name}/{key}": value
        for name in ("fixed", "live")
        for key, value in EXPECTED_JUDGE.items()
    }
    assert result.metrics == pytest.approx(expected)
    assert all(type(value) is float for value in result.metrics.values())


JUDGE_KINDS = {"judge", "pair", "check", "fix"}


def test_answers_can_be_sampled_with_a_greedy_one_beside(tmp_path):
    script = Script(scripted)
    result = evaluator(tmp_path, answer_temperature=0.7, seed=5)(script)
    expected = EXPECTED | {
        "policy/accuracy": 2 / 5,  # the first column of samples of SOLUTIONS
        "policy/greedy_accuracy": 3 / 5,
    }
    got = {key: value for key, value in result.metrics.items() if key.startswith("policy/")}
    assert got == pytest.approx(expected)
    numbers = [row["sample"] for row in result.rows if row["question"] == 0 and row["form"] is None]
    assert numbers == [-1, 0, 1, 2]
    # Judging draws with a seed that solving doesn't use; both sets of the start are the same.
    assert sorted(script.calls, key=str) == sorted(
        [
            ({"solve"}, 1, 0.0, 0),
            ({"solve"}, 1, 0.7, 5),
            ({"solve"}, 2, 1.0, 6),
            (JUDGE_KINDS, 1, 0.7, 7),
        ],
        key=str,
    )
    judged = {row["prompt"]: row["tokens"] for row in result.rows if row["set"] != "heldout"}
    solved = sum(row["tokens"] for row in result.rows if row["set"] == "heldout")
    assert result.generated_tokens == solved + sum(judged.values())


def test_a_live_prompt_of_the_fixed_set_takes_over_its_sample(tmp_path):
    """So a model that answers otherwise than the start is asked for what is new alone."""

    def always_wrong(prompt: str, sample: int) -> str:
        if prompt.startswith("solve"):
            return "55"
        return scripted(prompt, sample) if "55" not in prompt else "?"

    evaluate = evaluator(tmp_path, answer_temperature=0.7)
    evaluate(Script(scripted))
    script = Script(always_wrong)
    asked = []
    complete = script.complete
    script.complete = lambda prompts, **how: (
        asked.append([prompt.text for prompt in prompts]) or complete(prompts, **how)
    )
    rows = evaluate(script, step=1).rows
    *_, fixed, live = asked
    assert "55" not in "".join(fixed) and all("55" in prompt for prompt in live)
    by_set = {
        name: [row["prompt"] for row in rows if row["set"] == name] for name in ("fixed", "live")
    }
    assert set(fixed) == set(by_set["fixed"]) and set(live) == set(by_set["live"]) - set(fixed)


def test_greedy_judging_takes_one_call_for_both_sets(tmp_path):
    script = Script(scripted)
    evaluator(tmp_path)(script)
    assert [call for call in script.calls if call[0] != {"solve"}] == [(JUDGE_KINDS, 1, 0.0, 2)]


def test_rows_are_the_rollouts_behind_the_metrics(tmp_path):
    result = evaluator(tmp_path)(Script(scripted), step=0)
    assert all(set(row) == COLUMNS for row in result.rows)
    assert json.loads(json.dumps(result.rows)) == result.rows
    greedy = {row["question"]: row["correct"] for row in result.rows if row["sample"] == 0}
    assert greedy == {0: True, 1: True, 2: False, 3: False, 4: True}
    live = [row for row in result.rows if row["set"] == "live"]
    fixed = [row for row in result.rows if row["set"] == "fixed"]
    assert [row | {"set": "fixed"} for row in live] == fixed
    swapped = [row for row in fixed if row["objective"] == "pairwise" and row["swapped"]]
    assert {(row["prompt"], row["label"]) for row in swapped} == {
        ("pair|q1|91|11|A|B", "B"),
        ("pair|q4|94|14|A|B", "B"),
    }
    unparsed = [row for row in fixed if row["objective"] == "pointwise" and not row["parsed"]]
    assert [(row["reward"], row["answer"], row["p_yes"]) for row in unparsed] == [(0.0, None, None)]
    broken = [row for row in fixed if row["source_correct"] and row["objective"] == "reflect"]
    assert {row["form"] for row in broken} == {"verify_first"}


def test_generated_tokens_count_equal_greedy_prompts_once(tmp_path):
    result = evaluator(tmp_path)(Script(scripted))
    solved = sum(row["tokens"] for row in result.rows if row["objective"] == "solve")
    judged = {
        row["prompt"]: row["tokens"] for row in result.rows if row["set"] in ("fixed", "live")
    }
    assert result.generated_tokens == solved + sum(judged.values())
    assert result.seconds > 0


def test_the_fixed_set_stays_that_of_the_starting_model(tmp_path):
    evaluate = evaluator(tmp_path)
    start = evaluate(Script(scripted))
    before = (tmp_path / "judge_set.jsonl").read_bytes()

    def perfect(prompt: str, sample: int) -> str:
        kind, rest = prompt.split("|", 1)
        return str(10 + int(rest[1])) if kind in ("solve", "fix", "check") else scripted(prompt, 0)

    later = evaluator(tmp_path)(Script(perfect), step=40)
    assert (tmp_path / "judge_set.jsonl").read_bytes() == before

    def prompts_of(result, name):
        return [row["prompt"] for row in result.rows if row["set"] == name]

    assert prompts_of(later, "fixed") == prompts_of(start, "fixed")
    assert later.metrics["fixed/reflect/fix_rate"] == 1.0
    assert later.metrics["fixed/judge/pointwise_accuracy"] == pytest.approx(4 / 7)
    # The current model is never wrong, so nothing of what needs a wrong answer exists.
    for absent in ("judge/pointwise_balanced_accuracy", "judge/pairwise_accuracy"):
        assert f"live/{absent}" not in later.metrics
    assert "live/judge/swap_consistency" not in later.metrics
    assert "live/reflect/fix_rate" not in later.metrics
    assert later.metrics["live/reflect/break_rate"] == 0.0
    assert later.metrics["live/judge/label_yes_rate"] == 1.0
    assert all(row["step"] == 40 and row["phase"] == "eval" for row in later.rows)


def test_without_a_starting_model_a_missing_or_damaged_judge_set_is_refused(tmp_path):
    evaluate = evaluator(tmp_path)
    with pytest.raises(UserError, match="no such file"):
        evaluate(Script(scripted), step=40)
    assert list(tmp_path.iterdir()) == []
    evaluate(Script(scripted))
    path = tmp_path / "judge_set.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match="force=true"):
        evaluate(Script(scripted), step=40)
    with pytest.raises(UserError, match="question"):
        evaluator(tmp_path, questions=[Question(0, "q0", "10")] * 5)(Script(scripted))


def test_live_and_calibration_can_be_switched_off(tmp_path):
    result = evaluator(tmp_path, live=False, calibration=False)(Script(scripted))
    assert {row["set"] for row in result.rows} == {"heldout", "fixed"}
    assert not any(key.startswith("live/") for key in result.metrics)
    assert "fixed/judge/brier" not in result.metrics and "fixed/judge/ece" not in result.metrics
    assert all(row["p_yes"] is None for row in result.rows)
    assert result.metrics["fixed/judge/pointwise_accuracy"] == pytest.approx(4 / 7)


def test_a_model_that_never_answers_is_measured_too(tmp_path):
    result = evaluator(tmp_path)(Script(lambda prompt, sample: "?"))
    assert result.metrics == {
        "policy/accuracy": 0.0,
        "policy/sampled_accuracy": 0.0,
        "policy/pass_at_2": 0.0,
        "policy/parse_failure_rate": 1.0,
        "policy/truncated_rate": 1.0,
        "policy/tokens": 1.0,
    }


@pytest.mark.parametrize("text", ["{" * 5000, "\\boxed{" * 3000, "\\boxed{\x00\u202e}", "}{"])
def test_whatever_the_model_writes_is_data(tmp_path, text):
    result = evaluator(tmp_path)(Script(lambda prompt, sample: text))
    assert 0.0 <= result.metrics["policy/accuracy"] <= 1.0


def test_a_real_model_gives_the_same_evaluation_twice(tmp_path):
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=128,
    )
    model = Qwen2ForCausalLM(config).train()
    # A random model hardly ever boxes anything; this one does.
    box = tokenizer.convert_tokens_to_ids("\\boxed{")

    def bias(_module, _args, logits):
        logits[..., box] += 3.0
        logits[..., tokenizer.convert_tokens_to_ids("}")] += 3.0
        logits[..., [tokenizer.convert_tokens_to_ids(str(n)) for n in (3, 4, 5)]] += 3.0
        return logits

    model.lm_head.register_forward_hook(bias)
    questions = [Question(i, f"{i % 9 + 1}+2", str(i % 9 + 3)) for i in range(12)]
    task = Task(train=[], eval=questions, verifier="exact")
    encoder = Encoder(tokenizer)
    generator = Generator(model, tokenizer, encoder, max_new_tokens=24, batch_size=16)
    before = torch.get_rng_state()
    results = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "judge_set.jsonl"
        evaluate = Evaluator(task, prompts.load("terse"), eval_config(samples=4), path)
        results.append((evaluate(generator), path.read_bytes()))
    (one, file), (two, same_file) = results
    assert (one.metrics, one.rows, one.generated_tokens, file) == (
        two.metrics,
        two.rows,
        two.generated_tokens,
        same_file,
    )
    assert {"policy/pass_at_4", "fixed/reflect/fix_rate"} <= set(one.metrics)
    assert torch.equal(before, torch.get_rng_state()) and model.training
