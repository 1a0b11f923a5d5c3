"""What each single key may be, beyond its type: choices and ranges."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from spark_lab import answers
from spark_lab.errors import Problem, unknown
from spark_lab.schema import Config

_MATERIALS = ("answer", "working", "both")
_CHANGES = ("constant", "linear", "cosine", "competence")
_OBJECTIVES = ("pointwise", "pairwise", "reflect")
_CHOICES: dict[str, tuple[str, ...]] = {
    **{f"objective.{name}.loss": ("grpo", "sft") for name in _OBJECTIVES},
    **{f"objective.{name}.material": _MATERIALS for name in _OBJECTIVES},
    **{f"objective.{name}.share_schedule": _CHANGES for name in _OBJECTIVES},
    **{f"objective.{name}.weight_schedule": _CHANGES for name in _OBJECTIVES},
    "objective.pairwise.wrong": ("any", "most_frequent", "closest_length"),
    "recycle.source": ("on_policy", "lagged", "frozen", "fresh", "off"),
    "recycle.all_right": ("pointwise", "skip", "drop"),
    "recycle.all_wrong": ("pointwise", "skip", "drop"),
    "recycle.label_balance": ("none", "half", "prior"),
    "recycle.take": ("shares", "fifo"),
    "recycle.order": ("oldest", "newest", "hardest"),
    "reward.self_judge.kind": ("pointwise", "pairwise"),
    "reward.self_judge.material": ("answer", "working"),
    "reward.self_judge.judge": ("current", "ema", "snapshot"),
    "schedule.kind": ("joint", "alternate", "mixed", "judge_only"),
    "task.data.question_form": ("text", "chat"),
    "task.data.answer_form": ("plain", "boxed", "hashes", "index"),
    "task.data.on_bad_row": ("error", "skip"),
    "task.data.on_overlap": ("error", "skip"),
    "model.dtype": ("auto", "float32", "mixed", "bfloat16"),
    "model.attention": ("auto", "sdpa", "eager", "flash_attention_2"),
    "trainer.lr_schedule": ("constant", "linear", "cosine"),
    "trainer.loss_type": (*("dapo", "bnpo", "grpo", "dr_grpo", "cispo", "sapo", "luspo", "vespo"),),
    "trainer.scale_rewards": ("group", "batch", "none"),
    "trainer.shared_prompts": ("auto", "cache", "packed", "off"),
    "trainer.vllm": ("off", "colocate", "server"),
    "budget.unit": ("steps", "rollouts", "generated_tokens", "flops", "seconds"),
    "eval.test_time": ("off", "final", "always"),
    "tracking.console": ("auto", "plain", "off"),
}
_LISTS: dict[str, tuple[str, ...]] = {
    "objective.pointwise.forms": ("yes_no", "a_b"),
    "objective.reflect.forms": ("told_wrong", "verify_first"),
    "reward.self_judge.forms": ("yes_no", "a_b"),
}
# In interval notation: [ and ] include the end, ( and ) leave it out.
_RANGES = {
    **{
        f"objective.{name}.{key}": "[0, inf)"
        for name in _OBJECTIVES
        for key in ("share", "share_end", "weight", "weight_end")
    },
    **{f"objective.{name}.template_count": "[1, inf)" for name in _OBJECTIVES},
    "objective.reflect.keep_share": "[0, 1]",
    "recycle.lag_windows": "[2, inf)",
    "recycle.frozen_windows": "[1, inf)",
    "recycle.pairwise_share": "[0, 1]",
    "recycle.judge_cap": "[0, inf)",
    "recycle.reflect_cap": "[0, inf)",
    "recycle.capacity": "[1, inf)",
    "recycle.max_age": "[1, inf)",
    "recycle.max_prompt_tokens": "[1, inf)",
    "reward.false_positive": "[0, 1]",
    "reward.false_negative": "[0, 1]",
    "reward.labelled": "[0, 1]",
    "reward.self_judge.judgements": "[1, inf)",
    "reward.self_judge.anchor": "[0, 1)",
    "reward.self_judge.ema_decay": "(0, 1)",
    "reward.self_judge.refresh": "[1, inf)",
    "reward.self_judge.stop_after": "[0, inf)",
    "reward.self_judge.max_gap": "(0, 1]",
    "reward.self_judge.same_verdict": "(0.5, 1]",
    "schedule.fraction": "(0, 1)",
    "schedule.judge_every": "[1, inf)",
    "schedule.judge_items": "[1, inf)",
    "task.visual_sums.grain": "[0, 1]",
    "task.visual_sums.dot": "[1, inf)",
    "task.data.train_size": "[1, inf)",
    "task.data.eval_size": "[1, inf)",
    "task.reasoning_gym.train_size": "[1, inf)",
    "task.reasoning_gym.eval_size": "[1, inf)",
    "task.reasoning_gym.seed": "[0, inf)",
    "model.max_pixels": "[1, inf)",
    "model.lora.rank": "[1, inf)",
    "model.lora.alpha": "(0, inf)",
    "model.lora.dropout": "[0, 1)",
    "trainer.prompts_per_window": "[1, inf)",
    "trainer.group_size": "[2, inf)",
    "trainer.updates_per_window": "[1, inf)",
    "trainer.num_iterations": "[1, inf)",
    "trainer.micro_batch_size": "[1, inf)",
    "trainer.max_completion_length": "[1, inf)",
    "trainer.temperature": "(0, inf)",
    "trainer.top_p": "(0, 1]",
    "trainer.learning_rate": "(0, inf)",
    "trainer.lr_min_ratio": "[0, 1]",
    "trainer.warmup_fraction": "[0, 1)",
    "trainer.weight_decay": "[0, inf)",
    "trainer.adam_beta1": "[0, 1)",
    "trainer.adam_beta2": "[0, 1)",
    "trainer.max_grad_norm": "[0, inf)",
    "trainer.beta": "[0, inf)",
    "trainer.epsilon": "(0, inf)",
    "trainer.epsilon_high": "(0, inf)",
    "trainer.vllm_memory": "(0, 1)",
    "trainer.vllm_tensor_parallel": "[1, inf)",
    "trainer.save_every": "[0, inf)",
    "trainer.keep_checkpoints": "[1, inf)",
    "trainer.threads": "[1, inf)",
    "budget.limit": "(0, inf)",
    "eval.every": "[0, inf)",
    "eval.samples": "[1, inf)",
    "eval.temperature": "(0, inf)",
    "eval.answer_temperature": "[0, inf)",
    "eval.test_time_samples": "[4, inf)",
    "eval.test_time_rounds": "[1, inf)",
    "eval.batch_size": "[1, inf)",
    "eval.max_completion_length": "[1, inf)",
    "eval.seed": "[0, inf)",
    "tracking.rollouts_every": "[0, inf)",
    "seed": "[0, inf)",
    "retry": "[0, inf)",
}


def check(config: Config) -> list[Problem]:
    """Every value that is no choice of its key, or out of its range."""
    problems = []
    for key, choices in _CHOICES.items():
        value = _get(config, key)
        if value is not None and value not in choices:
            problems.append(unknown(key, value, choices, f"{key}="))
    for key, choices in _LISTS.items():
        values = _get(config, key)
        problems += [
            unknown(key, value, choices, f"{key}=")
            for value in values or ()
            if value not in choices
        ]
        if values == []:
            problems.append(Problem(key, "[]", "at least one form", f"{key}=[{choices[0]}]"))
    for key, interval in _RANGES.items():
        value = _get(config, key)
        if value is not None and not _within(value, interval):
            problems.append(Problem(key, str(value), _words(interval), f"{key}=NUMBER"))
    for key, name in (("name", config.name), ("arm", config.arm)):
        if name is not None and not re.fullmatch(r"[\w+=,-][\w.+=,-]*", name):
            fix = "letters, digits and . _ + - = only"
            problems.append(Problem(key, repr(name), "the name of one folder", fix))
    problems += answers.check(config.task.verifier)
    uri = config.tracking.mlflow_uri
    if uri is not None and "://" not in uri:
        fix = f"tracking.mlflow_uri=sqlite:///{Path(uri).absolute()}"
        problems.append(Problem("tracking.mlflow_uri", uri, "an address with ://", fix))
    return problems


def _get(config: Any, key: str) -> Any:
    """The value at a dotted key; None where a slot on the way is off."""
    for name in key.split("."):
        config = getattr(config, name, None)
    return config


def _within(value: float, interval: str) -> bool:
    low, high = map(float, interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    below = value <= high if interval[-1] == "]" else value < high
    return not math.isnan(value) and above and below


def _words(interval: str) -> str:
    low, high = interval[1:-1].split(", ")
    words = f"at least {low}" if interval[0] == "[" else f"above {low}"
    if high == "inf":
        return words
    return f"{words} and {'at most' if interval[-1] == ']' else 'below'} {high}"
