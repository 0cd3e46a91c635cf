"""How many processes train, and how they share a model: found out, and checked before anything starts.

    "single"   one process
    "ddp"      every process holds the whole model
    "fsdp2"    PyTorch's fully sharded data parallelism, version 2
    "zero1", "zero2", "zero3"   DeepSpeed

A launcher's wish can be lost on the way without a word: `accelerate launch --cpu` starts one process whatever
number is asked for, and without a GPU accelerate knows no process group unless `use_cpu` is set, so that several
processes would each train alone, into one folder. Each of these is an error here.

Left out: FSDP 1, tensor and context parallelism; several machines are the launcher's affair and look no different
from here.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from types import MethodType
from typing import Any, TypeVar

from skill0.errors import ConfigError

T = TypeVar("T")


def kind(accelerator: Any) -> str:
    """How the processes of an `Accelerator` share the model: one of the words above."""
    from accelerate.utils import DistributedType

    found = accelerator.distributed_type
    if found == DistributedType.DEEPSPEED:
        return f"zero{accelerator.state.deepspeed_plugin.zero_stage}"
    if found == DistributedType.FSDP:
        return f"fsdp{accelerator.state.fsdp_plugin.fsdp_version}"
    return "single" if accelerator.num_processes == 1 else "ddp"


@contextlib.contextmanager
def sharding_on_cpu() -> Iterator[None]:
    """Lets an `Accelerator` that is made in this block shard by FSDP 2 on CPUs, over gloo.

    PyTorch can; accelerate 1.15 looks for a wish to shard only where it found GPUs or their like, and would train by
    DDP without a word. In the block its state says so of these processes; making the accelerator then replaces
    that by FSDP.
    """
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    shared = PartialState._shared_state
    if _wished("ACCELERATE_USE_FSDP") and shared.get("distributed_type") == DistributedType.MULTI_CPU:
        shared["distributed_type"] = DistributedType.MULTI_GPU
        try:
            yield
        finally:
            if shared.get("distributed_type") == DistributedType.MULTI_GPU:
                shared["distributed_type"] = DistributedType.MULTI_CPU
    else:
        yield


def run_gathered(accelerator: Any, model: Any, function: Callable[[], T]) -> T:
    """Calls `function` while an FSDP 2 model has all its weights in every process; any other model is left as it is.

    Layers of FSDP 2 otherwise gather their weights at every forward pass. Processes that generate replies of
    different lengths make different numbers of passes, and would wait for each other for ever.
    """
    from torch.distributed.fsdp import FSDPModule, register_fsdp_forward_method

    if not isinstance(model, FSDPModule):
        return function()
    reshards = bool(accelerator.state.fsdp_plugin.reshard_after_forward)
    parts = [module for module in model.modules() if isinstance(module, FSDPModule)]

    def gathered(_: Any) -> T:
        for part in parts:
            part.set_reshard_after_forward(False, recurse=False)
            part.unshard()
        try:
            return function()
        finally:
            for part in parts:
                # The outermost part keeps its weights until the backward pass, which begins with them.
                part.set_reshard_after_forward(reshards and part is not model, recurse=False)
                part.reshard()

    # What is registered is called as `forward` is: the model, not one of its layers, becomes the outermost part.
    owner: Any = model
    owner.run_gathered = MethodType(gathered, model)
    register_fsdp_forward_method(model, "run_gathered")
    try:
        return owner.run_gathered()
    finally:
        del owner.run_gathered


def _wished(variable: str) -> bool:
    return os.environ.get(variable, "false").lower() in ("1", "true", "yes")
