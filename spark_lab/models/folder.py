"""Whether a folder holds a whole model, told from its files alone: fast, and without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spark_lab.errors import Problem

INDEX = "model.safetensors.index.json"
COPY_AGAIN = "copy or download the file again"
SAVE_MODEL = "save the model into the folder with save_pretrained (safetensors)"
SAVE_TOKENIZER = "save the tokenizer into the same folder with save_pretrained"
PROCESSORS = ("processor_config.json", "preprocessor_config.json")
OTHERS = ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json")
# Files that a tokenizer without tokenizer.json is made of.
OLDER_TOKENIZERS = ("tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")


def check_folder(folder: Path) -> list[Problem]:
    """Its config.json, its weights (safetensors, none cut off or missing) and its tokenizer."""
    adapter = folder / "adapter_config.json"
    if adapter.is_file() and not (folder / "config.json").is_file():
        fix = (
            "merge it into its base model (merge_and_unload, save_pretrained) and give that folder"
        )
        return [Problem("model.path", f"{folder}, an adapter alone", "a whole model", fix)]
    found = [_check_json(folder / "config.json", SAVE_MODEL), *_check_weights(folder)]
    # Transformers would go on without its end tokens.
    found += [_check_json(folder / name, COPY_AGAIN) for name in OTHERS if (folder / name).exists()]
    tokenizer = folder / "tokenizer.json"
    if tokenizer.is_file():
        found.append(_check_json(tokenizer, SAVE_TOKENIZER))
    elif not any((folder / name).is_file() for name in OLDER_TOKENIZERS):
        found.append(Problem(str(folder), "no tokenizer", "tokenizer.json", SAVE_TOKENIZER))
    found.append(_check_processor(folder))
    return [problem for problem in found if problem is not None]


def _check_processor(folder: Path) -> Problem | None:
    try:
        sees = sees_images(folder)
    except (OSError, ValueError, TypeError, RecursionError):
        return None  # config.json has its own problem
    if not sees or any((folder / name).is_file() for name in PROCESSORS):
        return None
    got = "a model that sees images, without its image processor"
    fix = "save the model's processor into the same folder with save_pretrained"
    return Problem(str(folder), got, " or ".join(PROCESSORS), fix)


def sees_images(folder: Path) -> bool:
    """Whether the model's config.json, which `check_folder` has passed, tells of a vision tower."""
    return "vision_config" in json.loads((folder / "config.json").read_bytes())


def text_alone(path: str, count: int) -> Problem:
    """A model of text alone is asked `count` questions with images."""
    got = f"{path}, a model of text alone, for {count} questions with images"
    fix = (
        "model=tiny_vlm, or another model that sees images; of a data set,"
        " task.data.images_field=null task.data.on_bad_row=skip leaves these questions out"
    )
    return Problem("model.path", got, "a model that sees images", fix)


def _check_json(file: Path, fix: str) -> Problem | None:
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        return Problem(str(file), str(error.strerror), "a readable file", fix)
    except (ValueError, RecursionError) as error:
        return Problem(str(file), f"no JSON ({error})", "a JSON object", COPY_AGAIN)
    if not isinstance(content, dict):
        return Problem(str(file), f"a JSON {type(content).__name__}", "a JSON object", COPY_AGAIN)
    return None


def _check_weights(folder: Path) -> list[Problem | None]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        others = [file.name for kind in ("*.bin", "*.pt", "*.pth") for file in folder.glob(kind)]
        got = (
            f"{', '.join(sorted(others))}, pickles, which are never loaded"
            if others
            else "no weights"
        )
        if any(folder.glob("*.gguf")):
            got = "GGUF weights, which can be asked but not trained"
        return [Problem(str(folder), got, "*.safetensors", SAVE_MODEL)]
    problems = [_check_safetensors(file) for file in files]
    index = folder / INDEX
    if index.is_file() and (broken := _check_json(index, COPY_AGAIN)) is not None:
        return [*problems, broken]
    if index.is_file():
        places = json.loads(index.read_bytes()).get("weight_map")
        if not isinstance(places, dict) or not all(isinstance(f, str) for f in places.values()):
            got = "a weight_map that is none"
            return [*problems, Problem(str(index), got, "the file of every weight", COPY_AGAIN)]
        missing = sorted(set(places.values()) - {file.name for file in files})
        if missing:
            got = "no " + ", ".join(missing)
            problems.append(Problem(str(folder), got, f"all files of {INDEX}", COPY_AGAIN))
    return problems


def read_header(file: Path) -> dict[str, Any]:
    """The entries (dtype, shape, data_offsets) of a safetensors file's tensors by name.

    The file is 8 bytes of length, then JSON of that length, then the data. Raises what a file of
    another kind makes JSON raise, and TypeError for one that is too short.
    """
    return _header(file)[0]


def _header(file: Path) -> tuple[dict[str, Any], int]:
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length)) if length <= file.stat().st_size - 8 else None
    return {name: entry for name, entry in header.items() if name != "__metadata__"}, 8 + length


def _check_safetensors(file: Path) -> Problem | None:
    try:
        size = file.stat().st_size
        entries, begin = _header(file)
        end = begin + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    except OSError as error:
        return Problem(str(file), str(error.strerror), "a readable file", COPY_AGAIN)
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError, IndexError):
        return Problem(str(file), f"{size} bytes that are none", "a safetensors file", COPY_AGAIN)
    if size != end:
        return Problem(str(file), f"{size} bytes", f"{end} bytes, as its header says", COPY_AGAIN)
    return None
