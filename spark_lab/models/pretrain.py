r"""The warm start of the shipped model: `spark-lab pretrain` rebuilds models/tiny from this recipe.

What is learned: `transcripts.py`, a fresh sample at every step (128 transcripts, of which the loss
sees the completions alone). Held-out questions of a task are not kept apart: their transcripts hold
as many wrong sums as all others, and nothing here is an evaluation.

How: Muon for the matrices inside the layers and AdamW for embeddings and norms, one cycle of the
learning rate. The first quarter is half drills of comparing two numbers and half solving, the rest
is the mix `SHARES`. Comparing is a plateau that ends abruptly once enough undiluted examples were
seen; accuracy of it on held-out transcripts (a constant guess has 0.57; one seed):

    steps                                              200    300    500
    AdamW or Muon, no drill phase, initialised at 0.02  0.58   0.57
    Muon, drill phase of 150 steps, initialised at 0.1  0.97   0.99   1.00

800 steps take about 5 minutes of one core. The same seed, steps and package versions give the same
weights, bit for bit, on the same kind of CPU (one thread).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from spark_lab.errors import Problem, UserError
from spark_lab.models.arithmetic import Arithmetic
from spark_lab.models.chat import messages
from spark_lab.models.decoder import build_decoder, build_tokenizer
from spark_lab.models.transcripts import DRILL, Transcript, TranscriptWriter

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

STEPS = 800
BATCH = 128
LEARNING_RATE = 3e-3
DRILL_PHASE = 0.25
DRILL_SHARES = {"solve": 0.5, DRILL: 0.5}
SHARES = {
    "solve": 0.20,
    "pointwise": 0.22,
    "pairwise": 0.18,
    "told_wrong": 0.10,
    "verify_first": 0.15,
    DRILL: 0.15,
}
# Sorted by length, a batch is cut into parts of little padding whose gradients add up.
PARTS = 4
PROBES = 256
IGNORED = -100


def main(words: list[str]) -> None:
    """`spark-lab pretrain [--out FOLDER] [--seed N] [--steps N]`."""
    parser = argparse.ArgumentParser("spark-lab pretrain", description="Rebuild the tiny model.")
    parser.add_argument("--out", type=Path, default=Path("tiny"), help="folder for the model")
    parser.add_argument("--seed", type=int, default=0, help="of weights and transcripts")
    parser.add_argument("--steps", type=_positive, default=STEPS, help="of 128 transcripts each")
    given = parser.parse_args(words)
    try:
        given.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        got = f"{given.out} ({error.strerror})"
        raise UserError(Problem("--out", got, "a folder to write to", "--out FOLDER")) from error
    pretrain(given.out, given.seed, given.steps)


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is not >= 1")
    return number


def pretrain(
    out: Path,
    seed: int = 0,
    steps: int = STEPS,
    *,
    log_every: int = 50,
    probes: int = PROBES,
) -> dict[str, float]:
    """Trains a new tiny model and saves it, its tokenizer and provenance.json into `out`.

    Prints the loss every `log_every` steps. Returns what `probe` finds in the end.
    """
    import torch
    from transformers import set_seed

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    set_seed(seed)
    began = time.perf_counter()
    tokenizer = build_tokenizer()
    model = build_decoder(tokenizer)
    arithmetic = Arithmetic(seed)
    writer = TranscriptWriter(random.Random(seed), arithmetic)
    optimizers = _optimizers(model)
    cycles = [
        torch.optim.lr_scheduler.OneCycleLR(
            optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1, cycle_momentum=False
        )
        for optimizer in optimizers
    ]
    for step in range(1, steps + 1):
        shares = DRILL_SHARES if step <= DRILL_PHASE * steps else SHARES
        loss = _accumulate(model, tokenizer, [writer.draw(shares) for _ in range(BATCH)])
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, cycle in zip(optimizers, cycles, strict=True):
            optimizer.step()
            cycle.step()
            optimizer.zero_grad()
        if step % log_every == 0 or step == steps:
            seconds = time.perf_counter() - began
            print(f"step {step}/{steps}  loss {loss:.3f}  {seconds:.0f} s", flush=True)
    fresh = TranscriptWriter(random.Random(seed + 1), arithmetic)
    accuracy = probe(model, tokenizer, fresh, probes)
    print("  ".join(f"{kind} {value:.2f}" for kind, value in accuracy.items()), flush=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    _write_provenance(out, seed, steps, accuracy)
    torch.set_num_threads(threads)
    return accuracy


def _optimizers(model: PreTrainedModel) -> list[torch.optim.Optimizer]:
    import torch

    inner, outer = [], []
    for name, parameter in model.named_parameters():
        (inner if parameter.ndim == 2 and "embed" not in name else outer).append(parameter)
    return [
        torch.optim.Muon(
            inner, lr=LEARNING_RATE, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(outer, lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _accumulate(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, transcripts: list[Transcript]
) -> float:
    """Adds the gradient of the mean loss per learned token; returns that loss."""
    from torch.nn.functional import cross_entropy

    rows = sorted((_tokens(tokenizer, transcript) for transcript in transcripts), key=_length)
    learned = sum(label != IGNORED for _, labels in rows for label in labels)
    total = 0.0
    for ids, labels in _parts(rows):
        hidden = model.model(input_ids=ids).last_hidden_state[:, :-1]
        targets = labels[:, 1:]
        counted = targets != IGNORED
        logits = model.lm_head(hidden[counted])
        loss = cross_entropy(logits, targets[counted], reduction="sum") / learned
        loss.backward()
        total += loss.item()
    return total


def _tokens(
    tokenizer: PreTrainedTokenizerFast, transcript: Transcript
) -> tuple[list[int], list[int]]:
    """Token ids of the conversation and the label of each: itself, or IGNORED."""
    prompt = tokenizer.apply_chat_template(
        messages(transcript.prompt, None), add_generation_prompt=True, return_dict=False
    )
    completion = [*tokenizer(transcript.completion).input_ids, tokenizer.eos_token_id]
    labels = completion
    if transcript.kind == DRILL:
        verdicts = tokenizer.convert_tokens_to_ids(["Yes", "No"])
        labels = [token if token in verdicts else IGNORED for token in completion]
    return prompt + completion, [IGNORED] * len(prompt) + labels


def _length(row: tuple[list[int], list[int]]) -> int:
    return len(row[0])


def _parts(
    rows: list[tuple[list[int], list[int]]],
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Ids and labels, each of shape (rows / PARTS, longest row of the part), padded on the right."""
    import torch

    size = -(-len(rows) // PARTS)
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        width = max(map(_length, part))
        yield (
            torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in part]),
            torch.tensor([labels + [IGNORED] * (width - len(labels)) for _, labels in part]),
        )


def probe(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    writer: TranscriptWriter,
    number: int,
) -> dict[str, float]:
    """Share of right boxes among `number` transcripts of each kind, sampled at temperature 1.

    The judged and repaired solutions are the writer's, not the model's own; half are right.
    """
    import torch

    from spark_lab import answers

    accuracy = {}
    for kind in SHARES:
        if kind == DRILL:
            continue
        drawn = [writer.draw({kind: 1.0}) for _ in range(number)]
        batch = tokenizer.apply_chat_template(
            [messages(transcript.prompt, None) for transcript in drawn],
            add_generation_prompt=True,
            padding=True,
            return_tensors="pt",
            return_dict=True,
        )
        with torch.inference_mode():
            output = model.eval().generate(**batch, do_sample=True, top_k=0, max_new_tokens=40)
        texts = tokenizer.batch_decode(
            output[:, batch["input_ids"].shape[1] :], skip_special_tokens=True
        )
        right = [
            answers.extract_boxed(text) == transcript.truth
            for text, transcript in zip(texts, drawn, strict=True)
        ]
        accuracy[kind] = sum(right) / number
    return accuracy


def _write_provenance(out: Path, seed: int, steps: int, accuracy: Mapping[str, float]) -> None:
    import torch
    import transformers

    weights = hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()
    provenance = {
        "recipe": "spark_lab/models/pretrain.py",
        "command": f"spark-lab pretrain --seed {seed} --steps {steps}",
        "seed": seed,
        "steps": steps,
        "transcripts_per_step": BATCH,
        "learning_rate": LEARNING_RATE,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "sha256": {"model.safetensors": weights},
        "accuracy": dict(accuracy),
    }
    (out / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n")
