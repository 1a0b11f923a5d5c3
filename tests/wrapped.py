"""Run by torchrun in test_ranks_scoring.py: packed rows through models wrapped for two processes.

Each process has its own rows; gradients are averaged. Compared with TRL's scoring of bare models.
"""

from __future__ import annotations

import gc
from functools import partial

import torch
import torch.distributed as dist
from tiny_models import EXPERTS, MODELS, RAGGED, batch_of, build, gradient, objective, plain
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy
from torch.nn.parallel import DistributedDataParallel

from spark_lab.training import shared_prompts


def ddp(model: nn.Module) -> nn.Module:
    return DistributedDataParallel(model)


def fsdp1(model: nn.Module) -> nn.Module:
    layer = {type(model.model.layers[0])}
    policy = partial(transformer_auto_wrap_policy, transformer_layer_cls=layer)
    return FullyShardedDataParallel(
        model, device_id=torch.device("cpu"), auto_wrap_policy=policy, use_orig_params=True
    )


def fsdp2(model: nn.Module) -> nn.Module:
    mesh = init_device_mesh("cpu", (2,))
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def gathered(wrapped: nn.Module) -> torch.Tensor:
    if isinstance(wrapped, FullyShardedDataParallel):
        with FullyShardedDataParallel.summon_full_params(wrapped, with_grads=True):
            return torch.cat([weight.grad.flatten() for weight in wrapped.parameters()])
    grads = [weight.grad for weight in wrapped.parameters()]
    whole = [grad.full_tensor() if hasattr(grad, "full_tensor") else grad for grad in grads]
    return torch.cat([grad.flatten() for grad in whole])


def compare(name: str, wrap) -> None:
    rank = dist.get_rank()
    batch = batch_of(*RAGGED[["any order", "groups"][rank]], seed=rank)
    config, aux_loss = MODELS.get(name) or EXPERTS[name], name in EXPERTS
    bare = build(config)
    expected = plain(bare, *batch, aux_loss=aux_loss)
    average = gradient(bare, expected)
    dist.all_reduce(average)
    model = build(config)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    wrapped = wrap(model)
    found = shared_prompts.score(["packed"], wrapped, *batch, aux_loss=aux_loss)
    torch.testing.assert_close(found.log_probs, expected.log_probs, rtol=1e-5, atol=1e-5)
    objective(found).backward()
    assert (gathered(wrapped) - average / 2).norm() <= 1e-5 * average.norm() / 2
    print(f"ok {wrap.__name__} {name} rank {rank}", flush=True)


def main() -> None:
    dist.init_process_group("gloo")
    for wrap in (ddp, fsdp1, fsdp2):
        for name in ("gemma3", "mixtral"):
            compare(name, wrap)


main()
# As in ranks.py.
gc.collect()
dist.destroy_process_group()
