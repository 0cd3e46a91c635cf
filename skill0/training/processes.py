"""How many processes train, and how they share a model: found out, and checked before anything starts.

    "single"   one process
    "ddp"      every process holds the whole model
    "fsdp2"    PyTorch's fully sharded data parallelism, version 2
    "zero1", "zero2", "zero3"   DeepSpeed

A launcher's wish can be lost on the way without a word: `accelerate launch --cpu` starts one process whatever
number is asked for, and without a GPU accelerate knows no process group unless `use_cpu` is set, so that
several processes would each train alone, into one folder. Each of these is an error here.

Left out: FSDP 1, tensor and context parallelism; several machines are the launcher's affair and look no
different from here.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from types import MethodType
from typing import Any, TypeVar

import torch

from skill0.errors import ConfigError, Skill0Error, TrainingStopped, tell

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


def run_as_program(run: Callable[[], object]) -> int:
    """Runs this as the whole of a process and returns the exit code: errors that skill0 raises on purpose
    become a message, and the process leaves its group before it exits.

    After an error the group is left as it is, for others may be waiting in it; all stop together, though,
    when they are told to.
    """
    together, code = True, 0
    try:
        run()
    except Skill0Error as error:
        together, code = isinstance(error, TrainingStopped), tell(error)
    if together:
        leave_group()
    return code


def leave_group() -> None:
    """Ends this process's part in the group of processes, if it is in one; models sharded over it are done.

    A thread of gloo that still holds a tensor while Python shuts down aborts the process ("terminate called
    without an active exception"), and with it a run that had finished. The group waits for its threads once
    nothing refers to it any more.
    """
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
        gc.collect()


def any_of(accelerator: Any, mine: bool) -> bool:
    """Whether this holds on any process. All call it together."""
    if accelerator.num_processes == 1:
        return mine
    flag = torch.tensor([float(mine)], device=accelerator.device)
    return bool(accelerator.reduce(flag, reduction="sum").item() > 0)


@contextlib.contextmanager
def unsharded() -> Iterator[None]:
    """Models made in here belong to this process alone. Under ZeRO-3 transformers shares out every model that
    is made once the run's configuration exists, for which all processes must make it together."""
    from transformers.integrations import deepspeed

    known = deepspeed._hf_deepspeed_config_weak_ref
    deepspeed.unset_hf_deepspeed_config()
    try:
        yield
    finally:
        deepspeed._hf_deepspeed_config_weak_ref = known


def check_launch(args: Any) -> None:
    """Raises `ConfigError` when a launcher was asked for several processes, and each would train alone.

    `args` are a `TrainingArguments`: making them joined this process to the others, or did not.
    """
    if args.world_size > 1:
        return
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started > 1:
        raise ConfigError(
            f"{started} processes were launched, and each would train alone: there is no GPU, and "
            "use_cpu=False. Set use_cpu: true in the recipe's training section, or start one process"
        )
    from_accelerate = "ACCELERATE_MIXED_PRECISION" in os.environ and "LOCAL_RANK" not in os.environ
    # A cluster may give every program the address of a group, be it alone in there.
    alone = "WORLD_SIZE" in os.environ
    if from_accelerate and not alone and "MASTER_ADDR" in os.environ and "MASTER_PORT" in os.environ:
        raise ConfigError(
            "accelerate was asked for several processes and started one: it does so for --cpu and for "
            "distributed_type MULTI_CPU. Use --config_file examples/accelerate/ddp.yaml with use_cpu: true "
            "in the recipe's training section, or torchrun. If one process is what you want, and MASTER_ADDR "
            "and MASTER_PORT come from elsewhere, set WORLD_SIZE=1"
        )


def check_sharding(accelerator: Any) -> None:
    """Raises `ConfigError` when weights were to be sharded and are not, or could not be saved whole."""
    found = kind(accelerator)
    for variable, wanted in (("ACCELERATE_USE_FSDP", "fsdp"), ("ACCELERATE_USE_DEEPSPEED", "zero")):
        if _wished(variable) and not found.startswith(wanted):
            raise ConfigError(
                f"{variable} asks for sharded weights, but these processes train as {found!r}: accelerate "
                "dropped the wish. Launch with examples/accelerate/*.yaml, and use_cpu: true without a GPU"
            )
    if found == "fsdp1":
        raise ConfigError(
            "FSDP 1 is not supported; set fsdp_version: 2, as examples/accelerate/fsdp2.yaml does"
        )
    if found == "fsdp2" and "FULL" not in str(accelerator.state.fsdp_plugin.state_dict_type):
        raise ConfigError(
            "fsdp_state_dict_type: SHARDED_STATE_DICT saves no policy that can be loaded, and says nothing; "
            "set FULL_STATE_DICT, as examples/accelerate/fsdp2.yaml does"
        )
    if found == "zero3":
        settings = accelerator.state.deepspeed_plugin.deepspeed_config["zero_optimization"]
        if not settings.get("stage3_gather_16bit_weights_on_model_save"):
            raise ConfigError(
                "ZeRO-3 saves no policy that can be loaded unless zero3_save_16bit_model is true; set it, as "
                "examples/accelerate/zero3.yaml does"
            )


@contextlib.contextmanager
def sharding_on_cpu() -> Iterator[None]:
    """Lets an `Accelerator` that is made in this block shard by FSDP 2 on CPUs, over gloo.

    PyTorch can; accelerate 1.15 looks for a wish to shard only where it found GPUs or their like, and would
    train by DDP without a word. In the block its state says that of these processes; making the accelerator
    then replaces it by FSDP.

    Raises:
        ConfigError: there are GPUs, which PyTorch would shard over instead.
    """
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    shared = PartialState._shared_state
    if _wished("ACCELERATE_USE_FSDP") and shared.get("distributed_type") == DistributedType.MULTI_CPU:
        if torch.accelerator.is_available():
            raise ConfigError(
                "FSDP with use_cpu=True needs a process that sees no GPU; set CUDA_VISIBLE_DEVICES= (empty), "
                "or leave use_cpu out"
            )
        shared["distributed_type"] = DistributedType.MULTI_GPU
        try:
            yield
        finally:
            if shared.get("distributed_type") == DistributedType.MULTI_GPU:
                shared["distributed_type"] = DistributedType.MULTI_CPU
    else:
        yield


def run_gathered(accelerator: Any, model: Any, function: Callable[[], T]) -> T:
    """Calls `function` while an FSDP 2 model has all its weights in every process; others are left alone.

    Layers of FSDP 2 otherwise gather their weights at every forward pass. Processes that generate replies of
    different lengths make different numbers of passes, and would wait for each other for ever.
    """
    from torch.distributed.fsdp import FSDPModule, register_fsdp_forward_method

    if not isinstance(model, FSDPModule):
        return function()
    owner: Any = model
    reshards = bool(accelerator.state.fsdp_plugin.reshard_after_forward)
    parts = [module for module in owner.modules() if isinstance(module, FSDPModule)]

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

    # What is registered is called as `forward` is: the model, not one of its layers, is the outermost part.
    owner.run_gathered = MethodType(gathered, owner)
    register_fsdp_forward_method(owner, "run_gathered")
    try:
        return owner.run_gathered()
    finally:
        del owner.run_gathered


def gather_again(model: Any) -> None:
    """Makes an FSDP 2 model whole again inside of `run_gathered`: TRL has `generate` count as a forward pass,
    after which FSDP splits what no layer owns. Parts that are whole stay as they are."""
    from torch.distributed.fsdp import FSDPModule

    if isinstance(model, FSDPModule):
        owner: Any = model
        for module in owner.modules():
            if isinstance(module, FSDPModule):
                module.unshard()


def _wished(variable: str) -> bool:
    return os.environ.get(variable, "false").lower() in ("1", "true", "yes")
