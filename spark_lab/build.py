"""The composition root: turns a configuration into objects. The only file that knows both."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import PeftModel
from transformers import PreTrainedModel, PrinterCallback, set_seed

from spark_lab import prompts
from spark_lab.errors import Problem, UserError
from spark_lab.evaluation import Evaluator
from spark_lab.evaluation.generation import Generator
from spark_lab.models.adapters import peft_config
from spark_lab.models.chat import Chat
from spark_lab.models.encoding import Encoder
from spark_lab.models.load import context_length, load_model, precision_of
from spark_lab.models.vision import Processing, tokenizer_of
from spark_lab.objectives import Objective, Solve, build_objectives
from spark_lab.records import Prompt
from spark_lab.recycling.buffer import RecycleBuffer
from spark_lab.recycling.recycler import Recycler
from spark_lab.rewards import Labels, SelfJudge
from spark_lab.rewards.labels import check_enough
from spark_lab.schema import Config, TrainerConfig
from spark_lab.tasks import Task, build_task, pictured
from spark_lab.training.arguments import clock_rows, grpo_config
from spark_lab.training.learning_rate import LearningRate
from spark_lab.training.loop import SparkLoop
from spark_lab.training.meter import Budget, ComputeMeter, ModelCost
from spark_lab.training.mix import Mix
from spark_lab.training.schedule import Schedule
from spark_lab.training.slow_judge import SlowJudge
from spark_lab.training.stream import AnchoredStream, PromptStream
from spark_lab.training.trainer import SparkGRPOTrainer

# Added to the seed of the questions that are solved for judging only: an order of their own.
_OTHER_ORDER = 1_000_003


def quieten() -> None:
    """Progress bars and notes to TRL's own developers would bury a run's own lines."""
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    # TRL still passes the old name of activation_checkpointing.
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")


def build_trainer(config: Config, folder: Path, *, ranks: int = 1) -> SparkGRPOTrainer:
    """Model, loop and trainer of one run; checkpoints go to `folder`/checkpoints."""
    quieten()
    set_seed(config.seed)
    if config.trainer.threads is not None:
        torch.set_num_threads(config.trainer.threads)
    task = build_task(config.task)
    model, processing = load_model(config.model, pictured=pictured(config.task))
    encoder = _encoder(config, processing)
    objectives = build_objectives(config.objective, task.verifier)
    solve = Solve(config.model.templates, task.verifier)
    _check_lengths(config, task, solve, model, encoder)
    size = config.trainer.prompts_per_window
    schedule = Schedule(config.schedule, config.recycle, size, active=bool(objectives))
    meter = ComputeMeter()
    budget = Budget.of(config.budget)
    mix = Mix(
        {name: objective.config for name, objective in objectives.items()},
        lambda: budget.fraction(meter),
    )
    rate = config.trainer
    trainer = SparkGRPOTrainer(
        model,
        grpo_config(
            config.trainer,
            output=folder / "checkpoints",
            seed=config.seed,
            windows_per_update=schedule.windows_per_update,
            ranks=ranks,
            on_cpu=not torch.cuda.is_available(),
            bf16=precision_of(config.model, trained=True).autocast,
            revision=config.model.revision,
            chat_template_kwargs=dict(encoder.chat.arguments),
            sees_images=encoder.sees_images,
        ),
        loop=_build_loop(
            config, task, solve, objectives, schedule, mix, _room(config, model, encoder)
        ),
        meter=meter,
        cost=ModelCost.of(model),
        learning_rate=LearningRate(
            rate.lr_schedule, rate.warmup_fraction, rate.lr_min_ratio, budget, meter
        ),
        clock=clock_rows(len(task.train), size, schedule.windows_per_update),
        encoder=encoder,
        sort_micro_batches=config.schedule.kind == "mixed" and bool(objectives),
        shared_prompts=config.trainer.shared_prompts,
        slow_judge=_slow_judge(config),
        processing_class=processing,
        peft_config=peft_config(config.model.lora, model, freeze_vision=config.model.freeze_vision),
    )
    trainer.remove_callback(PrinterCallback)
    _check_sharded(trainer, task)
    return trainer


def _check_lengths(
    config: Config, task: Task, solve: Solve, model: PreTrainedModel, encoder: Encoder
) -> None:
    """Beyond the model's context a question would be answered at positions that it has never learnt."""
    context = context_length(model)
    room = context - config.trainer.max_completion_length
    # No tokenizer makes more tokens of a text than it has bytes, so that hardly any are counted.
    frame = len(encoder.text_ids([Prompt("")])[0])
    prompts = [solve.prompt(question) for question in task.train]
    long = [prompt for prompt in prompts if frame + len(prompt.text.encode()) > room]
    tokens = [len(ids) for ids in encoder.text_ids(long)]
    beyond = [(count, prompt) for count, prompt in zip(tokens, long, strict=True) if count > room]
    if beyond:
        most, prompt = max(beyond, key=lambda one: one[0])
        got = f"{len(beyond)} of {len(prompts)} training questions of up to {most} tokens, such as"
        expected = f"at most {room}: a context of {context} less trainer.max_completion_length"
        fix = "leave them out, or a smaller trainer.max_completion_length"
        raise UserError(Problem("task", f"{got} {prompt.text[:60]!r}", expected, fix))


def _check_sharded(trainer: SparkGRPOTrainer, task: Task) -> None:
    """Ranks gather a sharded vision tower together: one whose batch has no image would be waited for."""
    pictured = sum(bool(question.images) for question in task.train)
    if 0 < pictured < len(task.train) and (trainer._dist.is_fsdp or trainer._dist.is_zero3):
        got = f"sharded weights, and images in {pictured} of {len(task.train)} questions"
        fix = "a launch with DDP, or leave out the questions without images"
        raise UserError(Problem("task", got, "images in all questions or in none", fix))


@contextmanager
def server_is_up(config: TrainerConfig) -> Iterator[None]:
    """UserError where vLLM's server does not answer; TRL waits for it for minutes."""
    try:
        yield
    except ConnectionError as error:
        fix = "start it as conf/trainer says, or trainer.vllm=colocate"
        where, got = "trainer.vllm_server", f"no answer from {config.vllm_server}"
        raise UserError(Problem(where, got, "vLLM's server", fix)) from error


def _build_loop(
    config: Config,
    task: Task,
    solve: Solve,
    objectives: Mapping[str, Objective],
    schedule: Schedule,
    mix: Mix,
    fits: Callable[[Prompt], bool],
) -> SparkLoop:
    labels = Labels(config.reward, len(task.train), seed=config.seed)
    judge = config.reward.self_judge
    check_enough(labels, config, recycles=bool(objectives))
    return SparkLoop(
        task.train,
        solve,
        objectives,
        labels=labels,
        self_judge=judge and SelfJudge(judge, seed=config.seed, fits=fits),
        schedule=schedule,
        mix=mix,
        stream=_stream(config, labels, len(task.train)),
        extra_stream=_labelled(config, labels, config.seed + _OTHER_ORDER),
        recycler=Recycler(config.recycle, objectives, seed=config.seed, fits=fits),
        buffer=RecycleBuffer(objectives, config.recycle),
        group_size=config.trainer.group_size,
    )


def _room(config: Config, model: PreTrainedModel, encoder: Encoder) -> Callable[[Prompt], bool]:
    """Whether a prompt leaves room for a completion."""
    room = config.recycle.max_prompt_tokens
    if room is None:
        room = context_length(model) - config.trainer.max_completion_length
    return lambda prompt: encoder.length(prompt) <= room


def _encoder(config: Config, processing: Processing) -> Encoder:
    chat = Chat.of(config.model, processing)
    return Encoder(processing, chat, max_pixels=config.model.max_pixels)


def _stream(config: Config, labels: Labels, questions: int) -> PromptStream | AnchoredStream:
    """All questions where the policy may judge itself, else those with a label alone."""
    judge = config.reward.self_judge
    if judge is None:
        return _labelled(config, labels, config.seed)
    stream = PromptStream(range(questions), config.trainer.prompts_per_window, config.seed)
    if judge.anchor == 0:
        return stream
    return AnchoredStream(stream, labels.known, judge.anchor, config.seed)


def _labelled(config: Config, labels: Labels, seed: int) -> PromptStream:
    known = labels.known
    return PromptStream(known, min(config.trainer.prompts_per_window, len(known) or 1), seed)


def _slow_judge(config: Config) -> SlowJudge | None:
    judge = config.reward.self_judge
    return SlowJudge(judge) if judge is not None and judge.judge != "current" else None


def build_evaluator(config: Config, judge_set: Path | None) -> Evaluator:
    """`judge_set` is the file of the fixed judge set; None: the model only judges its own answers."""
    task = build_task(config.task)
    return Evaluator(task, prompts.load(config.model.templates), config.eval, judge_set)


def load_generator(config: Config, adapters: Path | None) -> Generator:
    """Of a model that is only asked."""
    return build_generator(config, *load_asked(config, adapters))


def load_asked(
    config: Config, adapters: Path | None
) -> tuple[PreTrainedModel | PeftModel, Processing]:
    """A model that is only asked, with a checkpoint's adapters, on the GPU where there is one."""
    quieten()
    if config.trainer.threads is not None:
        torch.set_num_threads(config.trainer.threads)
    model, processing = load_model(config.model, trained=False, pictured=pictured(config.task))
    if adapters is not None:
        model = PeftModel.from_pretrained(model, adapters)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.to(device), processing


def build_generator(
    config: Config, model: Any, processing: Processing, *, autocast: bool = False
) -> Generator:
    length = config.eval.max_completion_length or config.trainer.max_completion_length
    return Generator(
        model,
        tokenizer_of(processing),
        _encoder(config, processing),
        max_new_tokens=length,
        batch_size=config.eval.batch_size,
        autocast=autocast,
    )
