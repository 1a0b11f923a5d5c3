"""Which fields of TRL's GRPOConfig a user may set, read from TRL's source: importing it takes seconds."""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from spark_lab.errors import Problem, unknown

_SOURCES = (
    ("trl", "trainer/grpo_config.py"),
    ("trl", "trainer/base_config.py"),
    ("transformers", "training_args.py"),
)

_FIXED = "nothing: spark-lab sets it"
# Fields that a key of ours already sets, and what to use instead.
_OWNED = {
    "num_generations": "trainer.group_size",
    "max_completion_length": "trainer.max_completion_length",
    "temperature": "trainer.temperature",
    "top_p": "trainer.top_p",
    "learning_rate": "trainer.learning_rate",
    "lr_scheduler_type": "trainer.lr_schedule",
    "lr_scheduler_kwargs": "trainer.lr_min_ratio",
    "warmup_ratio": "trainer.warmup_fraction",
    "warmup_steps": "trainer.warmup_fraction",
    "weight_decay": "trainer.weight_decay",
    "adam_beta1": "trainer.adam_beta1",
    "adam_beta2": "trainer.adam_beta2",
    "max_grad_norm": "trainer.max_grad_norm",
    "beta": "trainer.beta",
    "epsilon": "trainer.epsilon",
    "epsilon_high": "trainer.epsilon_high",
    "loss_type": "trainer.loss_type",
    "scale_rewards": "trainer.scale_rewards",
    "num_iterations": "trainer.num_iterations",
    "per_device_train_batch_size": "trainer.micro_batch_size",
    "auto_find_batch_size": "trainer.micro_batch_size",
    "generation_batch_size": "trainer.prompts_per_window",
    "steps_per_generation": "trainer.updates_per_window",
    "gradient_accumulation_steps": "trainer.updates_per_window",
    "gradient_checkpointing": "trainer.activation_checkpointing",
    "activation_checkpointing": "trainer.activation_checkpointing",
    "use_vllm": "trainer.vllm",
    "vllm_mode": "trainer.vllm",
    "vllm_gpu_memory_utilization": "trainer.vllm_memory",
    "vllm_tensor_parallel_size": "trainer.vllm_tensor_parallel",
    "vllm_enable_sleep_mode": "trainer.vllm_sleep",
    "vllm_server_base_url": "trainer.vllm_server",
    "vllm_server_host": "trainer.vllm_server",
    "vllm_server_port": "trainer.vllm_server",
    "save_steps": "trainer.save_every",
    "save_strategy": "trainer.save_every",
    "save_total_limit": "trainer.keep_checkpoints",
    "max_steps": "budget.limit",
    "num_train_epochs": "budget.limit",
    "eval_strategy": "eval.every",
    "eval_steps": "eval.every",
    "do_eval": "eval.every",
    "output_dir": "root",
    "seed": "seed",
    "data_seed": "seed",
    "bf16": "model.dtype",
    "fp16": "model.dtype",
    "chat_template_kwargs": "model.chat_template_kwargs",
    "model_init_kwargs": "model.path, model.dtype, model.attention",
    "reward_weights": "objective.NAME.weight",
    "report_to": "tracking.mlflow",
    "logging_steps": _FIXED,
    "logging_strategy": _FIXED,
    "disable_tqdm": _FIXED,
    "remove_unused_columns": _FIXED,
    "shuffle_dataset": _FIXED,
    "ignore_data_skip": _FIXED,
    "save_only_model": _FIXED,
    "resume_from_checkpoint": _FIXED,
    "load_best_model_at_end": _FIXED,
    "use_cpu": _FIXED,
    "trust_remote_code": _FIXED,
    "push_to_hub": _FIXED,
}


def check(grpo: dict[str, Any]) -> list[Problem]:
    """Names in trainer.grpo that TRL doesn't know, or that have a key of their own here."""
    problems = []
    for name in grpo:
        where = f"trainer.grpo.{name}"
        if name in _OWNED:
            instead = _OWNED[name]
            fix = f"remove {where}" if instead == _FIXED else f"set {instead} instead"
            problems.append(
                Problem(where, name, f"a field without a key of its own: {instead}", fix)
            )
        elif name not in known_fields():
            problems.append(unknown(where, name, _free(), "+trainer.grpo."))
    return problems


@cache
def known_fields() -> frozenset[str]:
    """All fields of GRPOConfig and of the classes that it inherits from."""
    names: set[str] = set()
    for package, file in _SOURCES:
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            continue
        source = (Path(spec.origin).parent / file).read_text(encoding="utf-8")
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef):
                names |= {
                    field.target.id
                    for field in node.body
                    if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
                }
    return frozenset(names)


def _free() -> list[str]:
    return sorted(known_fields() - set(_OWNED))
