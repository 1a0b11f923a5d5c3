"""How the shipped models are warm-started: what each begins as, what it reads, for how long.

Both read `transcripts.py`, a fresh sample of 128 at every step. Held-out questions of a task are not
kept apart: their transcripts hold as many wrong sums as all others, and nothing here is an
evaluation.

tiny: the first quarter is half drills of comparing two numbers and half solving, the rest is all
skills. Comparing is a plateau that ends abruptly once enough undiluted examples were seen; accuracy
of it on held-out transcripts (a constant guess has 0.57; one seed):

    steps                                              200    300    500
    AdamW or Muon, no drill phase, initialised at 0.02  0.58   0.57
    Muon, drill phase of 150 steps, initialised at 0.1  0.97   0.99   1.00

800 steps take about 5 minutes of one core.

tiny_vlm: the decoder begins as the shipped tiny model, in front of it a random vision tower. For a
third of the steps the tower alone learns to name glyphs (each image token is to be alike the decoder's
token of its glyph), then both learn all skills on pictures. Without the first third, the decoder has
to find out that it should look while there is nothing to see; sums read rightly in sampled solutions
(one seed; the first with a tower of width 32):

    190 steps of solving and of copying the sum, no naming     0.43
    80 steps of naming glyphs, then 160 of all skills          0.99

240 steps take about 3 minutes of one core. (The shipped decoder knows the sums that seed 0 misremembers;
with another seed some have to be learned anew.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_lab.models.decoder import build_decoder, build_tokenizer
from spark_lab.models.lessons import complete, name_glyphs
from spark_lab.models.load import BUILTIN
from spark_lab.models.seer import build_processor, build_seer
from spark_lab.models.transcripts import DRILL, Transcript

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from spark_lab.models.vision import Processing


@dataclass(frozen=True, slots=True)
class Stage:
    """Lasts until this `end` of the training, as a share of its steps. `learn` adds the gradient of
    its loss on transcripts of these kinds, and returns the loss."""

    end: float
    shares: Mapping[str, float]
    learn: Callable[[PreTrainedModel, Processing, Sequence[Transcript]], float]


@dataclass(frozen=True, slots=True)
class Recipe:
    build: Callable[[], tuple[PreTrainedModel, Processing]]
    drawn: bool
    steps: int
    learning_rate: float
    stages: tuple[Stage, ...]

    def stage_at(self, progress: float) -> Stage:
        return next(stage for stage in self.stages if progress <= stage.end)


def _build_tiny() -> tuple[PreTrainedModel, Processing]:
    tokenizer = build_tokenizer()
    return build_decoder(tokenizer), tokenizer


def _build_tiny_vlm() -> tuple[PreTrainedModel, Processing]:
    from transformers import AutoModelForCausalLM

    processor = build_processor()
    decoder = AutoModelForCausalLM.from_pretrained(BUILTIN["builtin:tiny"], use_safetensors=True)
    return build_seer(processor, decoder), processor


_SKILLS = {
    "solve": 0.20,
    "pointwise": 0.22,
    "pairwise": 0.18,
    "told_wrong": 0.10,
    "verify_first": 0.15,
}
RECIPES = {
    "tiny": Recipe(
        build=_build_tiny,
        drawn=False,
        steps=800,
        learning_rate=3e-3,
        stages=(
            Stage(0.25, {"solve": 0.5, DRILL: 0.5}, complete),
            Stage(1.0, {**_SKILLS, DRILL: 0.15}, complete),
        ),
    ),
    "tiny_vlm": Recipe(
        build=_build_tiny_vlm,
        drawn=True,
        steps=240,
        learning_rate=3e-3,
        stages=(
            Stage(1 / 3, {"solve": 1.0}, name_glyphs),
            Stage(1.0, _SKILLS, complete),
        ),
    ),
}
