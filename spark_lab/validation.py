"""Rules over several keys, and over the files that they name. Before torch is imported."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

from spark_lab import compatibility, limits, prompts, tasks, trl_fields, vllm
from spark_lab.errors import Problem
from spark_lab.models.adapters import check_adapters
from spark_lab.models.folder import sees_images, text_alone
from spark_lab.models.load import check_model_path, resolve_path
from spark_lab.rewards import rules as reward_rules
from spark_lab.schema import Config


def check(config: Config) -> list[Problem]:
    """Everything that is wrong with a configuration."""
    problems = limits.check(config)
    sound = (
        not problems
    )  # else the rules below would repeat or misread a value that is already wrong
    if sound:
        problems += compatibility.check(config)
        problems += _check_batches(config)
        problems += vllm.check(config)
    problems += trl_fields.check(config.trainer.grpo)
    if not any(problem.where.startswith("task") for problem in problems):
        problems += tasks.check_task(config.task)
    problems += _check_model(config)
    if not any(problem.where.startswith("task") for problem in problems):
        # What is wrong with a model's folder is told by the name of its file.
        if not check_model_path(config.model.path):
            problems += _check_images(config)
        if sound:
            problems += _check_questions(config, tasks.train_size(config.task))
    problems += _check_templates(config)
    return problems


def _check_batches(config: Config) -> list[Problem]:
    trainer, problems = config.trainer, []
    rows = trainer.prompts_per_window * trainer.group_size
    if rows % trainer.updates_per_window:
        problems.append(
            Problem(
                "trainer.updates_per_window",
                str(trainer.updates_per_window),
                f"a divisor of the window's {rows} rows (prompts_per_window x group_size)",
                f"trainer.updates_per_window={_divisor(rows, trainer.updates_per_window)}",
            )
        )
    per_update = rows // trainer.updates_per_window
    micro = trainer.micro_batch_size
    if micro is not None and not problems and per_update % min(micro, per_update):
        problems.append(
            Problem(
                "trainer.micro_batch_size",
                str(micro),
                f"a divisor of an update's {per_update} rows",
                f"trainer.micro_batch_size={_divisor(per_update, micro)}",
            )
        )
    if trainer.epsilon_high is not None and trainer.epsilon_high < trainer.epsilon:
        got = f"{trainer.epsilon_high} with epsilon {trainer.epsilon}"
        fix = "trainer.epsilon_high=null, or a larger number"
        problems.append(Problem("trainer.epsilon_high", got, "at least epsilon", fix))
    level = trainer.grpo.get("importance_sampling_level", "token")
    if trainer.loss_type == "luspo" and level != "sequence":
        fix = "'+trainer.grpo.importance_sampling_level=sequence', or trainer.loss_type=dapo"
        got = f"luspo with ratios by {level}"
        problems.append(Problem("trainer.loss_type", got, "ratios by sequence", fix))
    return problems


def _check_questions(config: Config, count: int) -> list[Problem]:
    """Whether there are enough questions, and enough with a label."""
    size = config.trainer.prompts_per_window
    if count >= size:
        return reward_rules.check(config, list(compatibility.active(config.objective)), count)
    if config.task.data is not None:
        key = "task.data.train_path"
        fix = f"more rows, or trainer.prompts_per_window={count} or fewer"
    else:
        [slot] = (name for name in tasks.TASKS if getattr(config.task, name) is not None)
        key = f"task.{slot}.train_size"
        fix = f"{key}={size} or more"
    got = f"{count} training questions for windows of {size}"
    return [Problem(key, got, "at least a window's questions", fix)]


def _divisor(number: int, near: int) -> int:
    """The largest divisor of `number` that is at most `near`."""
    return max(d for d in range(1, min(near, number) + 1) if number % d == 0)


def _check_model(config: Config) -> list[Problem]:
    model, problems = config.model, check_model_path(config.model.path)
    if model.attention == "flash_attention_2" and find_spec("flash_attn") is None:
        fix = "pip install flash-attn, or model.attention=auto"
        got = "flash_attention_2, which is not installed"
        problems.append(Problem("model.attention", got, "an installed kernel", fix))
    if model.chat_template is not None:
        problems += _check_readable(Path(model.chat_template))
    if model.lora is not None:
        problems += check_adapters(model.lora)
    return problems or _check_context(config)


def _check_readable(file: Path) -> list[Problem]:
    try:
        file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        got = f"{file} ({error.strerror if isinstance(error, OSError) else error})"
        return [Problem("model.chat_template", got, "a file in UTF-8", "model.chat_template=FILE")]
    return []


def _check_context(config: Config) -> list[Problem]:
    path = Path(resolve_path(config.model.path)) / "config.json"
    if not path.is_file():
        return []  # a hub name: its length is known once it is loaded
    stored = json.loads(path.read_text(encoding="utf-8"))
    text = stored.get("text_config", stored)
    context = text.get("max_position_embeddings") if isinstance(text, dict) else None
    if not isinstance(context, int):
        return []  # loading says what is wrong with it
    lengths = {
        "trainer.max_completion_length": config.trainer.max_completion_length,
        "eval.max_completion_length": config.eval.max_completion_length,
    }
    return [
        Problem(
            key,
            f"{length}, while the model's context is {context} tokens",
            "room for a prompt and a completion in the context",
            f"{key}={context // 2} or less",
        )
        for key, length in lengths.items()
        if length is not None and length >= context
    ]


def _check_images(config: Config) -> list[Problem]:
    folder = Path(resolve_path(config.model.path))
    # What a hub name stands for is known once it is loaded.
    if not folder.is_dir() or sees_images(folder):
        return []
    problems = [
        Problem(
            f"model.{key}", str(value).lower(), "a model that sees images", f"model.{key}={off}"
        )
        for key, value, off in (
            ("max_pixels", config.model.max_pixels, "null"),
            ("freeze_vision", config.model.freeze_vision, "false"),
        )
        if value
    ]
    count = tasks.pictured(config.task)
    return [*problems, text_alone(config.model.path, count)] if count else problems


def _check_templates(config: Config) -> list[Problem]:
    users = {"model": config.model.templates}
    users |= {
        f"objective.{n}": s.templates for n, s in compatibility.active(config.objective).items()
    }
    if config.reward.self_judge is not None:
        users["reward.self_judge"] = config.reward.self_judge.templates
    problems = []
    for name in dict.fromkeys(users.values()):
        keys = [f"{key}.templates" for key, used in users.items() if used == name]
        for problem in prompts.check(name):
            where = keys[0] if problem.where == "templates" else f"{keys[0]}: {problem.where}"
            problems.append(Problem(where, problem.got, problem.expected, problem.fix))
    return problems
