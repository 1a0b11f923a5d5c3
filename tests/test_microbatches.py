"""Sorting and trimming a window changes its padding, not its rows."""

from __future__ import annotations

import torch

from spark_lab.training.microbatches import sort_by_length


def window(rows: int, seed: int = 0) -> dict:
    generator = torch.Generator().manual_seed(seed)
    prompts = torch.randint(1, 9, (rows,), generator=generator)
    lengths = torch.randint(0, 7, (rows,), generator=generator)
    columns = torch.arange(8)
    return {
        "prompt_ids": torch.randint(5, 50, (rows, 8), generator=generator),
        "prompt_mask": (columns >= 8 - prompts[:, None]).long(),
        "completion_ids": torch.randint(5, 50, (rows, 6), generator=generator),
        "completion_mask": (columns[:6] < lengths[:, None]).long(),
        "advantages": torch.arange(rows).float(),
        "num_items_in_batch": torch.tensor(17),
    }


def split(batch: dict, size: int) -> list[dict]:
    rows = len(batch["advantages"])
    return [
        {k: v[i : i + size] if v.dim() else v for k, v in batch.items()}
        for i in range(0, rows, size)
    ]


def real(batches: list[dict]) -> dict[float, tuple]:
    """Each row's unpadded tokens by its advantage, which names it."""
    return {
        float(batch["advantages"][i]): (
            batch["prompt_ids"][i][batch["prompt_mask"][i].bool()].tolist(),
            batch["completion_ids"][i][batch["completion_mask"][i].bool()].tolist(),
        )
        for batch in batches
        for i in range(len(batch["advantages"]))
    }


def test_rows_survive_and_padding_goes():
    batches = split(window(24), 4)
    result = sort_by_length(batches, per_update=6)
    assert real(result) == real(batches)
    assert [len(b["advantages"]) for b in result] == [4] * 6
    assert all(b["num_items_in_batch"] == 17 for b in result)
    width = [b["prompt_ids"].shape[1] + b["completion_ids"].shape[1] for b in result]
    assert width == sorted(width) and width[0] < 14
    for batch in result:
        assert batch["prompt_mask"][:, 0].any()
        assert batch["completion_mask"].shape[1] == 1 or batch["completion_mask"][:, -1].any()


def test_rows_stay_within_their_update():
    batches = split(window(24, seed=1), 4)
    result = sort_by_length(batches, per_update=3)
    for half in (slice(0, 3), slice(3, 6)):
        assert set(real(batches[half])) == set(real(result[half]))
