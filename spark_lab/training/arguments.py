"""From our trainer section to TRL's GRPOConfig: batch arithmetic in one place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trl import GRPOConfig

from spark_lab.schema import TrainerConfig

# Transformers wants a number of steps; the budget ends a run long before.
_NO_LIMIT = 10**9


@dataclass(frozen=True, slots=True)
class Batching:
    """How a window of prompts_per_window x group_size rows is cut, for each of `ranks` processes."""

    micro_batch: int
    steps_per_generation: int
    gradient_accumulation: int

    @classmethod
    def of(cls, config: TrainerConfig, *, windows_per_update: int, ranks: int) -> Batching:
        rows = config.prompts_per_window * config.group_size // ranks
        per_update = rows // config.updates_per_window
        micro_batch = min(config.micro_batch_size or per_update, per_update)
        return cls(micro_batch, rows // micro_batch, per_update // micro_batch * windows_per_update)


def grpo_config(
    config: TrainerConfig,
    *,
    output: Path,
    seed: int,
    windows_per_update: int,
    ranks: int,
    on_cpu: bool,
    bf16: bool,
    revision: str | None = None,
    chat_template_kwargs: dict[str, Any] | None = None,
    sees_images: bool = False,
) -> GRPOConfig:
    """TRL's arguments. `config.grpo` may name any further field of GRPOConfig. `revision`: of a hub's
    model, which TRL loads once more where the policy is tied to it (`beta`)."""
    batching = Batching.of(config, windows_per_update=windows_per_update, ranks=ranks)
    settings = dict(
        output_dir=str(output),
        seed=seed,
        max_steps=_NO_LIMIT,
        per_device_train_batch_size=batching.micro_batch,
        steps_per_generation=batching.steps_per_generation,
        gradient_accumulation_steps=batching.gradient_accumulation,
        num_generations=config.group_size,
        num_iterations=config.num_iterations,
        max_completion_length=config.max_completion_length,
        temperature=config.temperature,
        top_p=config.top_p,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        adam_beta1=config.adam_beta1,
        adam_beta2=config.adam_beta2,
        max_grad_norm=config.max_grad_norm,
        beta=config.beta,
        epsilon=config.epsilon,
        epsilon_high=config.epsilon_high,
        loss_type=config.loss_type,
        scale_rewards=config.scale_rewards,
        gradient_checkpointing=config.activation_checkpointing,
        save_steps=config.save_every or _NO_LIMIT,
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=on_cpu,
        bf16=bf16,
        chat_template_kwargs=chat_template_kwargs or None,
    )
    if config.beta > 0 and revision is not None:
        settings["model_init_kwargs"] = {"revision": revision}
    settings |= _vllm(config)
    if ranks > 1:
        # Every trained weight has a gradient in every step, but for those that see: a batch may have
        # no image, and some towers have layers that are never read.
        settings["ddp_find_unused_parameters"] = sees_images
    return GRPOConfig(**(settings | dict(config.grpo)))


def _vllm(config: TrainerConfig) -> dict[str, Any]:
    if config.vllm == "off":
        return {}
    chosen = {"use_vllm": True, "vllm_mode": config.vllm}
    if config.vllm == "server":
        return chosen | {"vllm_server_base_url": config.vllm_server}
    return chosen | {
        "vllm_gpu_memory_utilization": config.vllm_memory,
        "vllm_tensor_parallel_size": config.vllm_tensor_parallel,
        "vllm_enable_sleep_mode": config.vllm_sleep,
    }


def clock_rows(questions: int, per_window: int, windows_per_update: int) -> int:
    """Rows of the data set that only counts windows.

    As many whole windows as the questions make, so that epochs end where TRL's would, in a
    multiple of an optimizer step's windows, so that no step is cut short at an epoch's end.
    """
    step = per_window * windows_per_update
    return max(questions // step, 1) * step
