from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from spark_lab.errors import UserError
from spark_lab.models.load import check_model_path
from spark_lab.models.pretrain import main, pretrain
from spark_lab.models.recipes import RECIPES


def digest(folder: Path) -> str:
    return sha256((folder / "model.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize("model", RECIPES)
def test_the_same_seed_gives_the_same_weights(model: str, tmp_path: Path) -> None:
    """Three steps see every stage of a recipe."""
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        pretrain(model, tmp_path / name, seed, steps=3, probes=2)
    assert digest(tmp_path / "first") == digest(tmp_path / "again") != digest(tmp_path / "other")


@pytest.mark.parametrize("model", RECIPES)
def test_the_command_writes_a_whole_model_and_where_it_comes_from(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    main([model, "--out", str(tmp_path / model), "--seed", "3", "--steps", "1"])
    assert "step 1/1" in capsys.readouterr().out
    assert check_model_path(str(tmp_path / model)) == []
    provenance = json.loads((tmp_path / model / "provenance.json").read_text())
    assert (provenance["seed"], provenance["steps"]) == (3, 1)
    assert provenance["sha256"]["model.safetensors"] == digest(tmp_path / model)


def test_a_place_that_can_not_be_written_to_is_refused_before_the_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--out"):
        main(["--out", str(tmp_path / "file/tiny")])


@pytest.mark.slow
def test_the_recipe_teaches_comparing_within_a_few_hundred_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the verdicts are No, so whoever can't compare is right half of the time."""
    monkeypatch.setattr("spark_lab.models.pretrain.BATCH", 32)
    accuracy = pretrain("tiny", tmp_path, seed=5, steps=600)
    assert accuracy["solve"] > 0.3
    assert accuracy["pointwise"] > 0.57
