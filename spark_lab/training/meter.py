"""What a run has cost so far, in six units, and the share of its budget that this is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from spark_lab.models.towers import seeing
from spark_lab.schema import BudgetConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class ModelCost:
    """The sizes that FLOPs follow from. `parameters` counts weights used in matrix products once
    per token: everything but the input embedding, whose use is a look-up (a tied one is also the
    output projection, and counts), and but a vision tower, whose work is not a token's."""

    parameters: int
    layers: int
    attention_width: int

    @classmethod
    def of(cls, model: PreTrainedModel) -> ModelCost:
        text = model.config.get_text_config()
        embedding = model.get_input_embeddings().weight
        tied = model.get_output_embeddings().weight is embedding
        parameters = model.num_parameters()  # those of packed 4-bit weights, too
        weights = model.named_parameters()
        parameters -= sum(weight.numel() for name, weight in weights if seeing(name))
        heads = text.num_attention_heads
        head_width = getattr(text, "head_dim", None) or text.hidden_size // heads
        return cls(
            parameters if tied else parameters - embedding.numel(),
            text.num_hidden_layers,
            heads * head_width,
        )

    def forward_flops(self, start: int, end: int) -> float:
        """FLOPs of a forward pass over positions start..end of a causal sequence.

        2 for each parameter and token (Kaplan et al. 2020, arXiv 2001.08361, section 2.1), and
        4 x layers x attention width for each earlier position that a token attends to (PaLM,
        arXiv 2204.02311, appendix B, counted causally).
        """
        attended = (end * (end + 1) - start * (start + 1)) / 2
        linear = 2 * self.parameters * (end - start)
        return linear + 4 * self.layers * self.attention_width * attended


@dataclass(slots=True)
class ComputeMeter:
    """Cumulative compute. Evaluation is not counted: it is the instrument, not the method.

    rollouts: sampled completions. generated_tokens: their tokens. trained_tokens: completion tokens
    that entered a loss (once for each pass over a window). updates: optimizer steps. flops: model
    FLOPs of sampling and training. seconds: wall time of windows and updates.
    """

    rollouts: int = 0
    generated_tokens: int = 0
    trained_tokens: int = 0
    updates: int = 0
    flops: float = 0.0
    seconds: float = 0.0

    def add_window(
        self,
        cost: ModelCost,
        lengths: list[tuple[int, int]],
        *,
        iterations: int,
        scoring_passes: int,
        recompute: bool,
    ) -> None:
        """Count a window of (prompt, completion) token lengths.

        Each row is generated (one forward over its P + C positions), scored by `scoring_passes`
        more forwards (old and reference log-probabilities), and trained on `iterations` times at
        three forwards' cost, or four with activation checkpointing (`recompute`). Prompts count
        for every row even where rows share their computation, so that budgets in FLOPs stay the
        same whichever way a machine takes.
        """
        generated = sum(completion for _, completion in lengths)
        passes = 1 + scoring_passes + iterations * (4 if recompute else 3)
        self.rollouts += len(lengths)
        self.generated_tokens += generated
        self.trained_tokens += generated * iterations
        self.flops += passes * sum(cost.forward_flops(0, sum(length)) for length in lengths)

    def add_given(
        self,
        cost: ModelCost,
        lengths: Sequence[tuple[int, int]],
        *,
        iterations: int,
        scoring_passes: int,
        recompute: bool,
    ) -> None:
        """Count rows whose completions are given: trained on as those of a window, never sampled."""
        self.trained_tokens += iterations * sum(completion for _, completion in lengths)
        passes = scoring_passes + iterations * (4 if recompute else 3)
        self.flops += passes * sum(cost.forward_flops(0, sum(length)) for length in lengths)

    def add_samples(self, cost: ModelCost, lengths: Sequence[tuple[int, int]]) -> None:
        """Count completions that are only read, such as judgements: one forward each, no training."""
        self.rollouts += len(lengths)
        self.generated_tokens += sum(completion for _, completion in lengths)
        self.flops += sum(cost.forward_flops(0, sum(length)) for length in lengths)

    def row(self) -> dict[str, float]:
        return {f"compute/{name}": value for name, value in asdict(self).items()}

    def state_dict(self) -> dict[str, Any]:
        return asdict(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


@dataclass(frozen=True, slots=True)
class Budget:
    """When a run ends. The learning rate follows the same fraction."""

    unit: str
    limit: float

    @classmethod
    def of(cls, config: BudgetConfig) -> Budget:
        return cls(config.unit, config.limit)

    def fraction(self, meter: ComputeMeter) -> float:
        """Spent share of the budget, 0 to 1 (the last step may overshoot; the share does not)."""
        spent = meter.updates if self.unit == "steps" else getattr(meter, self.unit)
        return min(spent / self.limit, 1.0)
