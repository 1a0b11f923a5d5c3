from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from spark_lab.errors import UserError
from spark_lab.models.load import check_model_path, context_length, load_model, resolve_path
from spark_lab.schema import ModelConfig

TINY = Path(resolve_path("builtin:tiny"))


def config(path: str | Path, **changed: object) -> ModelConfig:
    plain = {"revision": None, "dtype": "float32", "attention": "auto", "templates": "terse"}
    plain |= {"system_prompt": None, "chat_template": None, "chat_template_kwargs": {}}
    plain |= {"max_pixels": None, "freeze_vision": False}
    return ModelConfig(path=str(path), **plain | changed)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TINY, tmp_path / "copy"))


def test_the_shipped_model_is_small_and_what_its_provenance_says() -> None:
    assert sum(file.stat().st_size for file in TINY.iterdir()) < 2_000_000
    weights = (TINY / "model.safetensors").read_bytes()
    provenance = json.loads((TINY / "provenance.json").read_text())
    assert provenance["sha256"]["model.safetensors"] == sha256(weights).hexdigest()


def test_the_shipped_model_loads_ready_for_generation() -> None:
    model, tokenizer = load_model(config("builtin:tiny"))
    assert sum(parameter.numel() for parameter in model.parameters()) < 1_000_000
    assert tokenizer.padding_side == "left"
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    text = "Judge 7+1+5 : 7+1=8; 8+5=13 \\boxed{13} ? Yes or No \\boxed{}"
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert context_length(model) == 512


def test_a_saved_copy_loads_like_the_original(copy: Path) -> None:
    text = "12+9=21 \\boxed{21}"
    _, tokenizer = load_model(config("builtin:tiny"))
    model, loaded = load_model(config(copy))
    assert loaded(text).input_ids == tokenizer(text).input_ids
    model.save_pretrained(copy.parent / "again")
    loaded.save_pretrained(copy.parent / "again")
    _, again = load_model(config(copy.parent / "again"))
    assert again(text).input_ids == tokenizer(text).input_ids


def test_a_chat_template_of_ones_own(copy: Path) -> None:
    template = copy / "own.jinja"
    template.write_text("{{ messages[0]['content'] }}!")
    _, tokenizer = load_model(config(copy, chat_template=str(template)))
    turns = [{"role": "user", "content": "1"}]
    assert tokenizer.apply_chat_template(turns, tokenize=False) == "1!"


def test_a_model_without_a_chat_template_is_refused(copy: Path) -> None:
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match="chat template"):
        load_model(config(copy))


def test_a_good_folder_and_a_hub_id_pass(copy: Path) -> None:
    assert check_model_path("builtin:tiny") == []
    assert check_model_path(str(copy)) == []
    assert check_model_path("Qwen/Qwen2.5-0.5B-Instruct") == []


@pytest.mark.parametrize("path", ["", "builtin:tini", "/nowhere", "./nowhere", "no/such/folder"])
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    (problem,) = check_model_path(path)
    assert problem.where == "model.path"


def spoil_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def list_for_config(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


def remove(name: str):
    return lambda folder: (folder / name).unlink()


def cut_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def pointer_for_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")


def empty_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")


def header_of_another_shape(folder: Path) -> None:
    header = b'{"a": 1}'
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)


def pickled_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def spoil_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")


def remove_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()


def missing_shard(folder: Path) -> None:
    index = {"metadata": {}, "weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


SPOILERS = {
    "config.json": [spoil_json, list_for_config, remove("config.json")],
    "safetensors": [
        cut_weights,
        pointer_for_weights,
        empty_weights,
        header_of_another_shape,
        pickled_weights,
        remove("model.safetensors"),
        missing_shard,
    ],
    "tokenizer": [spoil_tokenizer, remove_tokenizer],
}


@pytest.mark.parametrize(
    ("word", "spoil"), [(word, spoil) for word, spoils in SPOILERS.items() for spoil in spoils]
)
def test_a_spoiled_folder_is_refused_before_it_is_loaded(copy: Path, word: str, spoil) -> None:
    spoil(copy)
    (problem,) = check_model_path(str(copy))
    assert word in problem.where + problem.got + problem.expected
    with pytest.raises(UserError):
        load_model(config(copy))


def test_an_adapter_without_its_base_says_so(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"\x02" + b"\0" * 7 + b"{}")
    assert "adapter" in str(check_model_path(str(tmp_path))[0])


def test_checking_a_path_imports_nothing_heavy() -> None:
    code = (
        "import sys; from spark_lab.models.load import check_model_path;"
        "assert check_model_path('builtin:tiny') == [];"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_model_of_the_hub_is_known_by_its_commit(tmp_path: Path) -> None:
    """As the hub's library keeps it on this machine, with a branch that moves on."""
    cache, commits = tmp_path / "hub/models--someone--tiny", ("a" * 40, "b" * 40)
    (cache / "refs").mkdir(parents=True)
    for commit in commits:
        shutil.copytree(TINY, cache / "snapshots" / commit)
    words = ["model.path=someone/tiny", "objective=none", "budget=steps", "budget.limit=1"]
    words += ["trainer.prompts_per_window=2", "trainer.group_size=2", "eval.samples=1"]
    words += ["task.chain_sums.eval_size=4", "eval.test_time=off", "tracking=off"]
    code = "import sys; from spark_lab.cli import main; from spark_lab.runner import weights\n"
    code += "from spark_lab.config import compose\n"
    code += "sys.argv[0] = 'spark-lab'; main()\n"
    code += "model = compose(sys.argv[1:]).model\n"
    for commit in commits:
        (cache / "refs/main").write_text(commit)
        code += f"open({str(cache / 'refs/main')!r}, 'w').write({commit!r})\n"
        code += f"assert weights(model) == {{'model_commit': {commit!r}}}\n"
    code += f"model.revision = {commits[0]!r}\n"
    code += f"assert weights(model) == {{'model_commit': {commits[0]!r}}}\n"
    command = [sys.executable, "-c", code, *words, f"root={tmp_path / 'runs'}"]
    done = subprocess.run(
        command,
        env=os.environ | {"HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    [facts] = [json.loads(file.read_text()) for file in tmp_path.glob("runs/*/*/*/env.json")]
    assert facts["model_commit"] == commits[1] and "model_sha256" not in facts
