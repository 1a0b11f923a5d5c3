"""Run by torchrun: a script, as `torchrun sharded.py SCRIPT WORDS...`, whose model FSDP shards on CPUs.

Accelerate shards on GPUs only; the one thing that is different here is that it takes gloo's ranks for
such. What is sharded, gathered and saved is torch's, accelerate's and transformers' own code.
"""

from __future__ import annotations

import runpy
import sys
from typing import Any

from accelerate import PartialState
from accelerate.utils import DistributedType

begin = PartialState.__init__


def taken_for_gpus(self: PartialState, *args: Any, **kwargs: Any) -> None:
    begin(self, *args, **kwargs)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU


PartialState.__init__ = taken_for_gpus
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
