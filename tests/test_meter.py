"""Compute, budget and learning rate: counted by hand on small numbers."""

from __future__ import annotations

import pytest
from transformers import GPT2Config, GPT2LMHeadModel, Qwen2Config, Qwen2ForCausalLM

from spark_lab.training.learning_rate import LearningRate, factor
from spark_lab.training.meter import Budget, ComputeMeter, ModelCost


def qwen(tied: bool) -> Qwen2ForCausalLM:
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=50,
            hidden_size=8,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            tie_word_embeddings=tied,
        )
    )


def test_an_untied_input_embedding_costs_nothing():
    tied, untied = qwen(True), qwen(False)
    assert ModelCost.of(tied).parameters == ModelCost.of(untied).parameters
    assert ModelCost.of(tied).layers == 2 and ModelCost.of(tied).attention_width == 8


def test_the_cost_of_other_architectures_is_read_too():
    model = GPT2LMHeadModel(GPT2Config(vocab_size=30, n_embd=12, n_layer=3, n_head=2))
    assert ModelCost.of(model) == ModelCost(model.num_parameters(), 3, 12)


def test_forward_flops_are_two_per_weight_plus_attention_over_earlier_positions():
    cost = ModelCost(parameters=100, layers=2, attention_width=8)
    assert cost.forward_flops(0, 3) == 2 * 100 * 3 + 4 * 2 * 8 * (1 + 2 + 3)
    whole = cost.forward_flops(0, 3) + cost.forward_flops(3, 10)
    assert whole == cost.forward_flops(0, 10)


@pytest.mark.parametrize(
    ("iterations", "scoring", "recompute", "passes"),
    [(1, 0, False, 4), (2, 1, False, 8), (1, 2, True, 7)],
)
def test_a_window_counts_sampling_scoring_and_training(iterations, scoring, recompute, passes):
    meter, cost = ComputeMeter(), ModelCost(10, 0, 0)
    meter.add_window(
        cost,
        [(3, 2), (4, 1)],
        iterations=iterations,
        scoring_passes=scoring,
        recompute=recompute,
    )
    assert meter.rollouts == 2
    assert meter.generated_tokens == 3
    assert meter.trained_tokens == 3 * iterations
    assert meter.flops == passes * 2 * 10 * 10


@pytest.mark.parametrize("unit", ["steps", "rollouts", "generated_tokens", "flops", "seconds"])
def test_every_unit_ends_a_run(unit):
    meter = ComputeMeter(rollouts=5, generated_tokens=5, updates=5, flops=5.0, seconds=5.0)
    assert Budget(unit, 10).fraction(meter) == 0.5
    assert Budget(unit, 4).fraction(meter) == 1.0


def test_the_learning_rate_follows_the_budget_and_never_climbs_back():
    meter = ComputeMeter()
    rate = LearningRate("cosine", 0.1, 0.1, Budget("rollouts", 1000), meter)
    values = []
    for spent in range(0, 1500, 10):
        meter.rollouts = spent
        values.append(rate())
    peak = values.index(max(values))
    assert values[0] == 0.0 and values[peak] == pytest.approx(1.0) and peak == 10
    assert values[peak:] == sorted(values[peak:], reverse=True)
    assert values[-1] == pytest.approx(0.1)


def test_shapes_of_the_learning_rate():
    assert factor("constant", 0.7, 0.0, 0.1) == 1.0
    assert factor("linear", 0.5, 0.0, 0.0) == 0.5
    assert factor("linear", 1.0, 0.2, 0.25) == 0.25
    assert factor("cosine", 0.5, 0.0, 0.0) == pytest.approx(0.5)
