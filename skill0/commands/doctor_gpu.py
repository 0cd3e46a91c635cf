"""What the doctor finds out about GPUs: driver, CUDA, memory, and the version of vLLM.

The driver is asked through `nvidia-smi`, torch by itself: where the one knows a GPU and the other does not,
one of them is too old or torch is a build for CPUs. Left out: accelerators of other makers, which torch
trains on and which nobody has tried here.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
from typing import Any

from skill0.commands.check import Check, version_of

_QUERY = ("--query-gpu=name,driver_version,memory.total", "--format=csv,noheader,nounits")
_LIMIT_S = 20


def gpu_checks() -> list[Check]:
    """A line for torch's CUDA, one for the driver, and one for the memory of each GPU that torch can use."""
    try:
        import torch
    except ImportError:
        return []
    cuda, usable = torch.version.cuda, torch.cuda.device_count()
    known = driver_gpus()
    checks = [Check("CUDA of torch", cuda or "none: a build for CPUs")]
    if known:
        names, drivers = {name for name, _, _ in known}, {driver for _, driver, _ in known}
        found = f"driver {', '.join(sorted(drivers))}: {len(known)} x {', '.join(sorted(names))}"
        checks.append(Check("GPU driver", found, _unused(len(known), usable, cuda)))
    for number in range(usable):
        properties: Any = torch.cuda.get_device_properties(number)
        free = torch.cuda.mem_get_info(number)[0]
        sizes = f"{free / 2**30:.1f} of {properties.total_memory / 2**30:.1f} GiB free"
        taken = free < 0.9 * properties.total_memory
        fix = "another program uses this GPU: end it, or leave the GPU out" if taken else ""
        checks.append(Check(f"GPU {number} memory", f"{properties.name}: {sizes}", fix))
    return checks


def driver_gpus() -> list[tuple[str, str, str]]:
    """Name, driver version and memory in MiB of each GPU that the driver knows; none without a driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        told = subprocess.run(
            [program, *_QUERY], capture_output=True, text=True, timeout=_LIMIT_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [tuple(part.strip() for part in line.split(",")) for line in told.splitlines()]
    return [row for row in rows if len(row) == 3]


def vllm_checks() -> list[Check]:
    """Whether vLLM, where it is installed, is one that this TRL generates with."""
    found = version_of("vllm")
    if found is None:
        return []
    wanted = vllm_range()
    fix = "" if wanted is None or wanted.contains(found, prereleases=True) else f"pip install 'vllm{wanted}'"
    return [Check("vllm of TRL", f"{found}, TRL takes {wanted or 'any'}", fix)]


def vllm_range() -> Any:
    """The versions of vLLM that the installed TRL works with, a `SpecifierSet`; None if it does not say."""
    from packaging.requirements import Requirement

    if version_of("trl") is None:
        return None
    asked = [Requirement(line) for line in importlib.metadata.requires("trl") or ()]
    return next((one.specifier for one in asked if one.name == "vllm"), None)


def _unused(known: int, usable: int, cuda: str | None) -> str:
    """Why torch cannot use all GPUs that the driver knows, and what to do."""
    if usable >= known:
        return ""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return f"torch sees {usable} of {known}: CUDA_VISIBLE_DEVICES={visible!r} hides the others"
    if cuda is None:
        return "this torch is a build for CPUs: install the one for CUDA (pytorch.org says how)"
    return f"torch sees {usable} of {known}: the driver may be too old for CUDA {cuda}; update it"
