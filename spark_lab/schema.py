"""The typed configuration. Defaults live in conf/*.yaml, which is also the manual of every key.

OmegaConf checks names and types against these classes; `spark_lab.validation` checks everything
that needs more than one key. Optional objectives and tasks are slots: absent means switched off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional


@dataclass
class JudgingConfig:
    """What the three objectives have in common."""

    loss: str
    share: float
    share_schedule: str
    share_end: Optional[float]
    weight: float
    weight_schedule: str
    weight_end: Optional[float]
    templates: str
    template_count: Optional[int]
    material: str


@dataclass
class PointwiseConfig(JudgingConfig):
    forms: list[str]


@dataclass
class PairwiseConfig(JudgingConfig):
    wrong: str


@dataclass
class ReflectConfig(JudgingConfig):
    forms: list[str]
    keep_share: float
    chain: bool


@dataclass
class ObjectiveConfig:
    pointwise: Optional[PointwiseConfig] = None
    pairwise: Optional[PairwiseConfig] = None
    reflect: Optional[ReflectConfig] = None


@dataclass
class RecycleConfig:
    source: str
    lag_windows: int
    frozen_windows: int
    pairwise_share: float
    all_right: str
    all_wrong: str
    label_balance: str
    judge_cap: int
    reflect_cap: int
    capacity: int
    take: str
    order: str
    max_age: Optional[int]
    max_prompt_tokens: Optional[int]


@dataclass
class SelfJudgeConfig:
    kind: str
    judgements: int
    material: str
    templates: str
    forms: list[str]
    anchor: float
    judge: str
    ema_decay: float
    refresh: int
    stop_after: int
    max_gap: float
    same_verdict: float


@dataclass
class RewardConfig:
    false_positive: float
    false_negative: float
    labelled: float
    self_judge: Optional[SelfJudgeConfig] = None


@dataclass
class ScheduleConfig:
    kind: str
    fraction: float
    judge_every: int
    judge_items: Optional[int]


@dataclass
class ChainSumsConfig:
    min_terms: int
    max_terms: int
    train_size: int
    eval_size: int
    seed: int


@dataclass
class VisualSumsConfig(ChainSumsConfig):
    grain: float
    dot: int


@dataclass
class DataConfig:
    train_path: str
    eval_path: Optional[str]
    train_split: str
    eval_split: str
    subset: Optional[str]
    revision: Optional[str]
    question_field: str
    question_form: str
    instruction: Optional[str]
    answer_field: str
    answer_form: str
    choices_field: Optional[str]
    images_field: Optional[str]
    images_root: Optional[str]
    train_size: Optional[int]
    eval_size: Optional[int]
    on_bad_row: str
    on_overlap: str


@dataclass
class ReasoningGymConfig:
    generator: str
    settings: dict[str, Any]
    train_size: int
    eval_size: int
    seed: int


@dataclass
class TaskConfig:
    verifier: str
    chain_sums: Optional[ChainSumsConfig] = None
    visual_sums: Optional[VisualSumsConfig] = None
    data: Optional[DataConfig] = None
    reasoning_gym: Optional[ReasoningGymConfig] = None


@dataclass
class LoraConfig:
    rank: int
    alpha: float
    dropout: float
    targets: str
    four_bit: bool


@dataclass
class ModelConfig:
    path: str
    revision: Optional[str]
    dtype: str
    attention: str
    templates: str
    system_prompt: Optional[str]
    chat_template: Optional[str]
    chat_template_kwargs: dict[str, Any]
    max_pixels: Optional[int]
    freeze_vision: bool
    lora: Optional[LoraConfig] = None


@dataclass
class TrainerConfig:
    prompts_per_window: int
    group_size: int
    updates_per_window: int
    num_iterations: int
    micro_batch_size: Optional[int]
    max_completion_length: int
    temperature: float
    top_p: float
    learning_rate: float
    lr_schedule: str
    lr_min_ratio: float
    warmup_fraction: float
    weight_decay: float
    adam_beta1: float
    adam_beta2: float
    max_grad_norm: float
    beta: float
    epsilon: float
    epsilon_high: Optional[float]
    loss_type: str
    scale_rewards: str
    activation_checkpointing: bool
    shared_prompts: str
    vllm: str
    vllm_memory: float
    vllm_tensor_parallel: int
    vllm_sleep: bool
    vllm_server: str
    save_every: int
    keep_checkpoints: int
    threads: Optional[int]
    grpo: dict[str, Any]


@dataclass
class BudgetConfig:
    unit: str
    limit: float


@dataclass
class EvalConfig:
    every: int
    samples: int
    temperature: float
    answer_temperature: float
    live: bool
    calibration: bool
    test_time: str
    test_time_samples: int
    test_time_rounds: int
    batch_size: int
    max_completion_length: Optional[int]
    seed: int


@dataclass
class TrackingConfig:
    console: str
    mlflow: bool
    mlflow_uri: Optional[str]
    experiment: str
    rollouts_every: int


@dataclass
class QuestionConfig:
    """What a named sweep asks: a section of its file, not of its runs."""

    asks: str
    primary: Optional[str]
    baseline: Optional[str]
    answer: str


@dataclass
class Config:
    objective: ObjectiveConfig
    recycle: RecycleConfig
    reward: RewardConfig
    schedule: ScheduleConfig
    task: TaskConfig
    model: ModelConfig
    trainer: TrainerConfig
    budget: BudgetConfig
    eval: EvalConfig
    tracking: TrackingConfig
    root: str
    name: Optional[str]
    arm: Optional[str]
    seed: int
    dry_run: bool
    force: bool
    reuse: bool
    retry: int
