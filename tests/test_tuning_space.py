"""Search spaces in Hydra's grammar, and what they ask of a trial."""

from __future__ import annotations

import optuna
import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from spark_lab.errors import UserError
from spark_lab.tuning import space

WHEN = "schedule.fraction if schedule=mixed"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("a=x,y", CategoricalDistribution(("x", "y"))),
        ("a=choice(4,8)", CategoricalDistribution(("4", "8"))),
        ("a=[p,q],none", CategoricalDistribution(("[p,q]", "none"))),
        ("a=interval(1,64)", FloatDistribution(1.0, 64.0)),
        ("a=int(interval(1,64))", IntDistribution(1, 64)),
        ("a=tag(log,interval(1e-5,1e-3))", FloatDistribution(1e-5, 1e-3, log=True)),
        ("a=tag(log,int(interval(1,64)))", IntDistribution(1, 64, log=True)),
        ("a=range(1,10,3)", IntDistribution(1, 7, step=3)),
        ("a=range(0,1,0.25)", FloatDistribution(0.0, 0.75, step=0.25)),
        ("a=range(9,0,-4)", IntDistribution(1, 9, step=4)),
    ],
)
def test_grammar(typed: str, expected: optuna.distributions.BaseDistribution) -> None:
    [dimension] = space.read([typed], []).dimensions
    assert dimension.distribution() == expected
    assert dimension.typed == typed.partition("=")[2]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("a=interval(3,1)", "a=interval(1,3)"),
        ("a=interval(2,2)", "single value"),
        ("a=tag(log,interval(0,1))", "logarithm of 0"),
        ("a=tag(lgo,interval(1,2))", "did you mean tag log?"),
        ("a=range(1,2)", "one value"),
        ("a=range(5,1)", "0 values"),
        ("a=glob(*)", "pattern"),
        ("a=1,1", "a value twice"),
        ("a=choice(1)", "one value"),
    ],
)
def test_wrong_spaces_are_refused(typed: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        space.read([typed], [])
    [problem] = caught.value.problems
    assert said in str(problem) and problem.where.startswith("a=")


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("fraction when schedule=mixed", "KEY if OTHER=VALUE"),
        ("schedule.fractoin if schedule=mixed", "did you mean schedule.fraction?"),
        ("schedule.fraction if schedul=mixed", "did you mean schedule?"),
        ("schedule.fraction if schedule=mixt", "did you mean mixed?"),
        ("schedule if schedule.fraction=0.5", "is an interval"),
    ],
)
def test_wrong_conditions_are_refused(condition: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        space.read(["schedule=joint,mixed", "schedule.fraction=interval(0.1,0.9)"], [condition])
    assert said in str(caught.value)


def test_a_circle_of_conditions_is_refused() -> None:
    with pytest.raises(UserError, match="a circle"):
        space.read(["a=1,2", "b=1,2"], ["a if b=1", "b if a=1"])


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(UserError) as caught:
        space.read(["a=interval(3,1)", "b=1,2"], ["c if b=1"])
    assert len(caught.value.problems) == 2


def test_a_conditional_key_is_asked_for_where_its_condition_holds() -> None:
    """Whatever the order they are typed in; the condition's condition counts, too."""
    swept = ["schedule.fraction=interval(0.1,0.9)", "schedule=joint,mixed", "deep=1,2"]
    found = space.read(swept, [WHEN, "deep if schedule=mixed"])
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for _ in range(20):
        params = found.ask(study.ask())
        seen.add(params["schedule"])
        conditional = {"schedule.fraction", "deep"} if params["schedule"] == "mixed" else set()
        assert params.keys() == {"schedule"} | conditional
        assert [text.partition("=")[0] for text in found.overrides(params)] == [
            key for key in ("schedule", "schedule.fraction", "deep") if key in params
        ]
    assert seen == {"joint", "mixed"}


def test_probes_show_every_end_and_keep_to_the_conditions() -> None:
    found = space.read(
        ["schedule=joint,alternate,mixed", "schedule.fraction=interval(0.1,0.9)", "n=range(2,9,3)"],
        [WHEN],
    )
    probes = list(found.probes())
    for dimension in found.dimensions:
        assert {p[dimension.key] for p in probes if dimension.key in p} >= set(dimension.ends())
    assert all(("schedule.fraction" in p) == (p["schedule"] == "mixed") for p in probes)
    assert len(probes) <= sum(len(d.ends()) for d in found.dimensions)


def test_steps_are_typed_without_rounding_errors() -> None:
    [dimension] = space.read(["a=range(0,1,0.1)"], []).dimensions
    assert dimension.grid() == (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    assert dimension.override(0.30000000000000004) == "a=0.3"
    [exact] = space.read(["a=interval(0,1)"], []).dimensions
    assert exact.override(1 / 3) == f"a={1 / 3!r}"
