"""How large a model is, without loading it: from a folder's headers, or from what is public."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spark_lab.models.folder import read_header
from spark_lab.models.load import resolve_path


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Of a decoder. `parameters` are all of the model's, tied ones once, the `vision` ones too."""

    parameters: int
    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    tied: bool
    vision: int = 0

    @property
    def embedding(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def linear_widths(self) -> tuple[tuple[int, int], ...]:
        """(in, out) of the matrices of a layer with gated units: q, k, v, o, gate, up, down."""
        query, key = self.heads * self.head_dim, self.kv_heads * self.head_dim
        h, f = self.hidden, self.intermediate
        return ((h, query), (h, key), (h, key), (query, h), (h, f), (h, f), (f, h))

    @property
    def linear(self) -> int:
        """Weights of the text layers' matrices: those that adapters go to and 4 bits can hold."""
        return self.layers * sum(ins * outs for ins, outs in self.linear_widths)

    def adapters(self, rank: int) -> int:
        """Weights of low-rank adapters on all of these."""
        return self.layers * sum(rank * (ins + outs) for ins, outs in self.linear_widths)


# By hub id: the numbers of their config.json, and their weights, counted.
PUBLIC = {
    "Qwen/Qwen2.5-0.5B-Instruct": ModelSize(
        494_032_768, 151_936, 896, 4864, 24, 14, 2, 64, tied=True
    ),
    "Qwen/Qwen2.5-1.5B-Instruct": ModelSize(
        1_543_714_304, 151_936, 1536, 8960, 28, 12, 2, 128, tied=True
    ),
    "Qwen/Qwen2.5-3B-Instruct": ModelSize(
        3_085_938_688, 151_936, 2048, 11008, 36, 16, 2, 128, tied=True
    ),
    "Qwen/Qwen2.5-7B-Instruct": ModelSize(
        7_615_616_512, 152_064, 3584, 18944, 28, 28, 4, 128, tied=False
    ),
    "Qwen/Qwen2.5-VL-7B-Instruct": ModelSize(
        8_292_166_656, 152_064, 3584, 18944, 28, 28, 4, 128, tied=False, vision=676_550_144
    ),
    "Qwen/Qwen2.5-VL-32B-Instruct": ModelSize(
        33_452_718_336, 152_064, 5120, 27648, 64, 40, 8, 128, tied=False, vision=688_841_984
    ),
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": ModelSize(
        1_711_376_384, 49_152, 2048, 8192, 24, 32, 32, 64, tied=True
    ),
    "meta-llama/Llama-3.2-1B-Instruct": ModelSize(
        1_235_814_400, 128_256, 2048, 8192, 16, 32, 8, 64, tied=True
    ),
    "google/gemma-3-1b-it": ModelSize(999_885_952, 262_144, 1152, 6912, 26, 4, 1, 256, tied=True),
    "Qwen/Qwen3-1.7B": ModelSize(1_720_574_976, 151_936, 2048, 6144, 28, 16, 8, 128, tied=True),
}
# Vision towers and projectors, as transformers' models name them.
_VISION = ("visual.", "vision_tower.", "vision_model.", "multi_modal_projector.", "connector.")


def size_of(path: str) -> ModelSize | None:
    """Of a shipped model, a folder or a hub id; None where that can't be told without a download, or
    for an architecture whose configuration names its sizes in another way."""
    folder = Path(resolve_path(path))
    return _of_folder(folder) if folder.is_dir() else PUBLIC.get(path)


def _of_folder(folder: Path) -> ModelSize | None:
    stored = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    text = stored.get("text_config", stored)
    counts = _counts(folder)
    try:
        heads = text["num_attention_heads"]
        return ModelSize(
            parameters=sum(counts.values()),
            vocabulary=text["vocab_size"],
            hidden=text["hidden_size"],
            intermediate=text["intermediate_size"],
            layers=text["num_hidden_layers"],
            heads=heads,
            kv_heads=text.get("num_key_value_heads") or heads,
            head_dim=text.get("head_dim") or text["hidden_size"] // heads,
            tied=not any(name.endswith("lm_head.weight") for name in counts),
            vision=sum(count for name, count in counts.items() if _sees(name)),
        )
    except KeyError:
        return None


def _counts(folder: Path) -> dict[str, int]:
    """The number of weights of each tensor, from the files' headers."""
    entries: dict[str, Any] = {}
    for file in sorted(folder.glob("*.safetensors")):
        entries |= read_header(file)
    return {name: math.prod(entry["shape"]) for name, entry in entries.items()}


def _sees(name: str) -> bool:
    return name.startswith(_VISION) or name.removeprefix("model.").startswith(_VISION)
