"""The cost estimate as lines, each with the formula that it follows from."""

from __future__ import annotations

import itertools
import statistics

from spark_lab import prompts
from spark_lab.costs import memory
from spark_lab.costs.images import image_tokens
from spark_lab.costs.memory import Part, Setting
from spark_lab.costs.work import (
    BANDWIDTH,
    PEAK,
    SAMPLING_SHARE,
    TRAINING_SHARE,
    Work,
    model_cost,
    sampling_hours,
    training_hours,
    work,
)
from spark_lab.models.precision import choose
from spark_lab.models.sizes import ModelSize, size_of
from spark_lab.schema import Config
from spark_lab.tasks import build_task
from spark_lab.tracking import words

# A model below it needs no GPU.
_SMALL = 50e6
# (GPUs, sharded), and what an H100 holds.
_PLANS = ((1, False), (8, False), (8, True), (16, True))
_ROOM = 80e9
# English and mathematics have about 4 characters to a token; a chat template adds some 30 tokens.
_CHARACTERS, _WRAPPING = 4, 30
_SEEN = 256


def cost_text(config: Config) -> str:
    """What the run takes at most; a line that says so where the model's sizes are not known."""
    size = size_of(config.model.path)
    if size is None:
        return (
            f"  cost     unknown: {config.model.path} is no folder with a config.json of known keys,\n"
            "           and not among the hub's models whose sizes are listed here"
        )
    lengths = prompt_tokens(config)
    done = work(config, model_cost(size), lengths)
    lines = [_model(config, size), *_counts(config, done, lengths)]
    if size.parameters >= _SMALL:
        lines += [*_memory(config, size, max(lengths)), *_time(config, size, done, lengths)]
    return "\n".join(lines)


def prompt_tokens(config: Config) -> tuple[float, float]:
    """About how many tokens the prompts of questions and of judge windows have: characters / 4 of the
    templates, of the questions' mean, and of what is shown (answers, or completions at their limit)."""
    questions = build_task(config.task).train[:_SEEN]
    templates = prompts.load(config.model.templates)
    asked = statistics.fmean(len(question.text) for question in questions) / _CHARACTERS
    asked += _WRAPPING + image_tokens(config, questions)
    return asked + len(templates.solve) / _CHARACTERS, asked + _judging(config)


def _judging(config: Config) -> float:
    """Tokens of template and solutions, averaged over the objectives."""
    shown, limit = [], config.trainer.max_completion_length
    for name, slot in vars(config.objective).items():
        if slot is None:
            continue
        found = prompts.load(slot.templates)
        texts = getattr(found, name)
        flat = texts if isinstance(texts, tuple) else tuple(itertools.chain(*texts.values()))
        share = {"answer": 0.0, "both": 0.5, "working": 1.0}[slot.material]
        solutions = (2 if name == "pairwise" else 1) * share * limit
        shown.append(statistics.fmean(map(len, flat)) / _CHARACTERS + solutions)
    return statistics.fmean(shown) if shown else 0.0


def setting_of(config: Config, longest: float) -> Setting:
    """On a GPU with bfloat16. `longest`: tokens of the longest kind of prompt."""
    model, trainer = config.model, config.trainer
    precision = choose(model.dtype, bf16_gpu=True, all_trained=model.lora is None)
    rows = trainer.prompts_per_window * trainer.group_size
    weight_bytes = 4 if precision.weights == "float32" else 2
    return Setting(
        weight_bytes=weight_bytes,
        compute_bytes=2 if precision.autocast else weight_bytes,
        rank=model.lora and model.lora.rank,
        four_bit=model.lora is not None and model.lora.four_bit,
        reference=trainer.beta > 0,
        recompute=trainer.activation_checkpointing,
        micro_rows=trainer.micro_batch_size or rows,
        update_rows=rows // trainer.updates_per_window,
        window_rows=rows,
        row_tokens=round(longest) + trainer.max_completion_length,
    )


def _model(config: Config, size: ModelSize) -> str:
    lora = config.model.lora
    eyes = f" ({words.count(size.vision)} see)" if size.vision else ""
    trained = "all trained" if lora is None else f"{words.count(size.adapters(lora.rank))} trained"
    return f"  weights  {words.count(size.parameters)}{eyes}, {trained}"


def _counts(config: Config, done: Work, lengths: tuple[float, float]) -> list[str]:
    limit = config.trainer.max_completion_length
    lines = [
        f"  cost     at most: completions of {limit} tokens, prompts of about {lengths[0]:.0f}"
        f" (questions) and {lengths[1]:.0f} (judge items)"
    ]
    if not done.windows:
        return [*lines, "           a budget in seconds says no more"]
    return [
        *lines,
        f"    {words.count(done.windows)} windows, {words.count(done.rollouts)} rollouts,"
        f" {words.count(done.tokens)} sampled tokens",
        f"    {done.training_flops:.2e} FLOPs of training and scoring, {done.sampling_flops:.2e} of"
        " sampling: in a pass",
        "    2 N + 4 L a d x (earlier positions) a token, N without looked-up embeddings; passes: sampling"
        " 1,",
        "    old and reference log-probabilities 1 each, training 3, with recomputed activations 4",
    ]


def _memory(config: Config, size: ModelSize, longest: float) -> list[str]:
    setting = setting_of(config, longest)
    plans = [memory.of_gpu(size, setting, gpus=n, sharded=sharded) for n, sharded in _PLANS]
    heads = [f"{n} sharded" if sharded else words.number(n, "GPU") for n, sharded in _PLANS]
    rows = {part.name: part.formula for plan in plans for part in plan}
    # What only some have to hold belongs before what takes turns.
    order = sorted(rows, key=lambda name: name in ("activations", "or: cache"))
    lines = [f"  memory of a GPU in GB{'':29}" + "".join(f"{head:>12}" for head in heads)]
    for name in order:
        numbers = [_gigabytes(plan, name) for plan in plans]
        lines.append(f"    {name:<24}{rows[name]:<24}" + "".join(f"{n:>12}" for n in numbers))
    totals = [memory.total(plan) for plan in plans]
    fits = ["yes" if held < _ROOM else "no" for held in totals]
    lines.append(f"    {'in all':<48}" + "".join(f"{held / 1e9:>12.1f}" for held in totals))
    lines.append(f"    {'fits into 80 GB':<48}" + "".join(f"{said:>12}" for said in fits))
    lora = ", M of them in the layers' matrices" if setting.four_bit else ""
    return [
        *lines,
        f"    N weights{lora}, T trained; n GPUs where sharded, else 1; A = 6h + 2(a + k)d + 4f;",
        f"    t = {setting.micro_rows} rows (or an update's share) x s, r = {setting.window_rows} rows / GPUs,"
        f" s = {setting.row_tokens} tokens;",
        "    layers L, hidden h, units f, heads a (k with a cache) of d, words V. Not counted: buffers of",
        "    libraries, and what is lost between allocations",
    ]


def _gigabytes(plan: list[Part], name: str) -> str:
    return next((f"{part.bytes / 1e9:.1f}" for part in plan if part.name == name), "-")


def _time(config: Config, size: ModelSize, done: Work, lengths: tuple[float, float]) -> list[str]:
    if not done.windows:
        return []
    setting = setting_of(config, max(lengths))
    counts = sorted({n for n, _ in _PLANS})
    sampling = [
        sampling_hours(
            config,
            size,
            done,
            statistics.fmean(lengths),
            gpus=n,
            compute_bytes=setting.compute_bytes,
        )
        for n in counts
    ]
    trained = training_hours(done)
    hours = ", ".join(
        f"{_hours(trained + sampled)} on {n}" for n, sampled in zip(counts, sampling, strict=True)
    )
    return [
        f"  time     in GPU-hours of H100: {hours} GPUs; training and scoring {_hours(trained)} of them:",
        f"    FLOPs at {TRAINING_SHARE:.0%} of {PEAK / 1e12:.0f} TFLOP/s; sampling: for every token the"
        " weights and the cache of all rows are",
        f"    read, at {SAMPLING_SHARE:.0%} of {BANDWIDTH / 1e12:.2f} TB/s (more where sharded weights are"
        " gathered for every token)",
    ]


def _hours(number: float) -> str:
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"
