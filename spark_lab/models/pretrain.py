"""`spark-lab pretrain` rebuilds a shipped model from its recipe (recipes.py): the warm start.

Muon for the matrices inside the layers and AdamW for all else, one cycle of the learning rate. The
same seed, steps and package versions give the same weights, bit for bit, on the same kind of CPU
(one thread).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from spark_lab.errors import Problem, UserError
from spark_lab.models.arithmetic import Arithmetic
from spark_lab.models.recipes import RECIPES, Recipe
from spark_lab.models.transcripts import DRILL, TranscriptWriter

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from spark_lab.models.vision import Processing

BATCH = 128
PROBES, LONGEST = 256, 40


def main(words: list[str]) -> None:
    """`spark-lab pretrain [tiny|tiny_vlm] [--out FOLDER] [--seed N] [--steps N]`."""
    parser = argparse.ArgumentParser("spark-lab pretrain", description="Rebuild a shipped model.")
    parser.add_argument("model", nargs="?", choices=RECIPES, default="tiny", help="which one")
    parser.add_argument("--out", type=Path, help="folder for the model (its name)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and transcripts")
    parser.add_argument("--steps", type=_positive, help="of 128 transcripts each (the recipe's)")
    given = parser.parse_args(words)
    out = given.out or Path(given.model)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        got = f"{out} ({error.strerror})"
        raise UserError(Problem("--out", got, "a folder to write to", "--out FOLDER")) from error
    pretrain(given.model, out, given.seed, given.steps)


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is not >= 1")
    return number


def pretrain(
    name: str,
    out: Path,
    seed: int = 0,
    steps: int | None = None,
    *,
    log_every: int = 50,
    probes: int = PROBES,
) -> dict[str, float]:
    """Trains a new model and saves it, its tokenizer or processor and provenance.json into `out`.

    Prints the loss every `log_every` steps. Returns what `probe` finds in the end.
    """
    import torch
    from transformers import set_seed

    recipe = RECIPES[name]
    steps = steps or recipe.steps
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    set_seed(seed)
    model, processing = recipe.build()
    arithmetic = Arithmetic(seed)
    _train(model, processing, recipe, arithmetic, seed, steps, log_every)
    fresh = TranscriptWriter(random.Random(seed + 1), arithmetic, drawn=recipe.drawn)
    accuracy = probe(model, processing, fresh, recipe.stages[-1].shares, probes)
    print("  ".join(f"{kind} {value:.2f}" for kind, value in accuracy.items()), flush=True)
    model.save_pretrained(out)
    processing.save_pretrained(out)
    _write_provenance(out, name, seed, steps, accuracy)
    torch.set_num_threads(threads)
    return accuracy


def _train(
    model: PreTrainedModel,
    processing: Processing,
    recipe: Recipe,
    arithmetic: Arithmetic,
    seed: int,
    steps: int,
    log_every: int,
) -> None:
    import torch

    began = time.perf_counter()
    writer = TranscriptWriter(random.Random(seed), arithmetic, drawn=recipe.drawn)
    optimizers = _optimizers(model, recipe.learning_rate)
    cycles = [
        torch.optim.lr_scheduler.OneCycleLR(
            optimizer, recipe.learning_rate, total_steps=steps, pct_start=0.1, cycle_momentum=False
        )
        for optimizer in optimizers
    ]
    for step in range(1, steps + 1):
        stage = recipe.stage_at(step / steps)
        loss = stage.learn(model, processing, [writer.draw(stage.shares) for _ in range(BATCH)])
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, cycle in zip(optimizers, cycles, strict=True):
            optimizer.step()
            cycle.step()
            optimizer.zero_grad()
        if step % log_every == 0 or step == steps:
            seconds = time.perf_counter() - began
            print(f"step {step}/{steps}  loss {loss:.3f}  {seconds:.0f} s", flush=True)


def _optimizers(model: PreTrainedModel, learning_rate: float) -> list[torch.optim.Optimizer]:
    import torch

    inner, outer = [], []
    for name, parameter in model.named_parameters():
        (inner if parameter.ndim == 2 and "embed" not in name else outer).append(parameter)
    return [
        torch.optim.Muon(
            inner, lr=learning_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(outer, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def probe(
    model: PreTrainedModel,
    processing: Processing,
    writer: TranscriptWriter,
    kinds: Mapping[str, float],
    number: int,
) -> dict[str, float]:
    """Share of right answers among `number` transcripts of each kind, sampled at temperature 1.

    The judged and repaired solutions are the writer's, not the model's own; half are right.
    """
    import torch

    from spark_lab import answers
    from spark_lab.models.decoding import Sampling, decode
    from spark_lab.models.encoding import Encoder
    from spark_lab.models.vision import tokenizer_of

    tokenizer, encoder = tokenizer_of(processing), Encoder(processing, None)
    accuracy = {}
    for kind in kinds:
        if kind == DRILL:
            continue
        drawn = [writer.draw({kind: 1.0}) for _ in range(number)]
        encoded = encoder([transcript.asked for transcript in drawn])
        with torch.inference_mode():
            completions = decode(
                model.eval(),
                [prompt.ids for prompt in encoded],
                images=[prompt.images for prompt in encoded],
                max_new_tokens=LONGEST,
                ends=[tokenizer.eos_token_id],
                pad=tokenizer.pad_token_id,
                sampling=Sampling(),
                luck=torch.rand(number, LONGEST, dtype=torch.float64),
            )
        texts = tokenizer.batch_decode(completions, skip_special_tokens=True)
        right = [
            answers.extract_boxed(text) == transcript.truth
            for text, transcript in zip(texts, drawn, strict=True)
        ]
        accuracy[kind] = sum(right) / number
    return accuracy


def _write_provenance(
    out: Path, name: str, seed: int, steps: int, accuracy: Mapping[str, float]
) -> None:
    import torch
    import transformers

    weights = hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()
    provenance = {
        "recipe": f"{name} in spark_lab/models/recipes.py",
        "command": f"spark-lab pretrain {name} --seed {seed} --steps {steps}",
        "seed": seed,
        "steps": steps,
        "transcripts_per_step": BATCH,
        "learning_rate": RECIPES[name].learning_rate,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "sha256": {"model.safetensors": weights},
        "accuracy": dict(accuracy),
    }
    (out / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n")
