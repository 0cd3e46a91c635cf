"""`skill0 doctor`: what this machine has, what would fail here, and the fix."""

from __future__ import annotations

import os
import platform
import shutil
import sysconfig
from pathlib import Path

import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from skill0.commands.check import Check
from skill0.commands.check import version_of as _version
from skill0.commands.doctor_data import data_checks, recipe_checks
from skill0.commands.doctor_gpu import gpu_checks, vllm_checks

_NEEDED = ("torch", "transformers", "trl", "accelerate", "datasets", "pillow", "numpy")
_EXTRAS = {
    "alfworld": "alfworld",
    "textworld": "alfworld",
    "deepspeed": "deepspeed",
    "peft": "peft",
    "starlette": "serve",
    "tenacity": "search",
    "urllib3": "search",
    "uvicorn": "serve",
    "vllm": "vllm",
}
_TESTED = {"trl": "1.16.", "transformers": "5.23.", "accelerate": "1.15."}
"""As in skill0/training/trl_internals.py, which cannot be imported where TRL is missing."""


def package_checks() -> list[Check]:
    checks = [_package(name, f"pip install {name}", fatal=True) for name in _NEEDED]
    checks += [
        _package(name, f"pip install 'skill0[{extra}]'", fatal=False) for name, extra in _EXTRAS.items()
    ]
    checks += [_tested(name, prefix) for name, prefix in _TESTED.items() if _version(name)]
    if _version("torchvision") and _torch_is_cpu():
        fix = "pip uninstall torchvision: its CUDA wheel breaks the Qwen2.5-VL classes beside a CPU torch"
        checks.append(Check("torchvision", _version("torchvision") or "", fix, fatal=True))
    return checks


def machine_checks() -> list[Check]:
    checks = [Check("python", platform.python_version()), Check("processor cores", str(os.cpu_count()))]
    checks.append(Check("memory", f"{psutil.virtual_memory().available / 2**30:.1f} GiB free"))
    for tool in ("cmake", "g++", "gcc"):
        found = shutil.which(tool)
        checks.append(
            Check(tool, found or "missing", "" if found else "apt-get install build-essential cmake")
        )
    header = Path(sysconfig.get_path("include"), "Python.h")
    fix = "" if header.is_file() else "apt-get install python3-dev: without it no engine can be compiled"
    checks.append(Check("Python.h", str(header) if header.is_file() else "missing", fix))
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    fix = "" if free > 5 else "checkpoints may not fit: free some space"
    checks.append(Check("free disk here", f"{free:.1f} GiB", fix))
    checks.append(_devices())
    return checks


def process_checks() -> list[Check]:
    """What each way of training would meet here; their files are in examples/accelerate."""
    try:
        import torch
    except ImportError:
        return []
    gpus, cores = torch.cuda.device_count(), os.cpu_count() or 1
    distributed = torch.distributed
    gloo = distributed.is_available() and distributed.is_gloo_available()
    nccl = distributed.is_available() and distributed.is_nccl_available()
    backend, devices = ("nccl", f"{gpus} GPU") if gpus else ("gloo", f"{cores} CPU cores")
    lacking = "" if (nccl if gpus else gloo) else f"this torch has no {backend}: install another build"
    hint = "" if gpus else "on a CPU set use_cpu: true"
    if gpus == 1:
        hint = "one GPU: --num_processes 1"
    checks = [Check("single", f"{devices}", "" if gpus else "without a GPU set use_cpu: true")]
    for way in ("ddp", "fsdp2"):
        checks.append(Check(way, f"{backend}, {devices}", lacking or hint))
    for way in ("zero2", "zero3"):
        fix = lacking or hint
        if not _version("deepspeed"):
            fix = "pip install 'skill0[deepspeed]'"
        elif not gpus and not shutil.which("g++"):
            fix = "DeepSpeed compiles a helper on CPUs: apt-get install build-essential"
        elif not gpus and os.environ.get("DS_ACCELERATOR") != "cpu":
            fix = f"{hint} and DS_ACCELERATOR=cpu; the first run compiles for minutes"
        checks.append(Check(way, f"{backend}, {devices}", fix))
    rounding = "native" if gpus and torch.cuda.is_bf16_supported() else "emulated"
    checks.append(Check("bf16", rounding, "" if rounding == "native" else "slow here, for tests only"))
    if _version("vllm") and not gpus:
        checks.append(Check("vllm backend", "no GPU", "colocated generation needs one; leave use_vllm out"))
    return checks


def print_report(recipe: Path | None = None) -> bool:
    """Print every check, and those of a recipe's data; returns False when something would stop training."""
    checks = machine_checks() + gpu_checks() + package_checks() + vllm_checks() + process_checks()
    checks += data_checks() + (recipe_checks(recipe) if recipe else [])
    table = Table("what", "found", "to do", title="skill0 doctor")
    for check in checks:
        style = "red" if check.fatal and check.fix else None
        # An extra such as [vllm] is no markup.
        table.add_row(check.name, escape(check.found), escape(check.fix or "-"), style=style)
    Console().print(table)
    return not any(check.fatal and check.fix for check in checks)


def _tested(name: str, prefix: str) -> Check:
    """Whether the trainer will start with this version; it leans on private parts of each."""
    found = _version(name) or ""
    fix = "" if found.startswith(prefix) else f"pip install '{name}=={prefix}*': the trainer refuses others"
    return Check(f"{name} of the trainer", found, fix, fatal=True)


def _package(name: str, fix: str, *, fatal: bool) -> Check:
    version = _version(name)
    return Check(name, version or "missing", "" if version else fix, fatal)


def _torch_is_cpu() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return torch.version.cuda is None


def _devices() -> Check:
    try:
        import torch
    except ImportError:
        return Check("devices", "unknown", "pip install torch", fatal=True)
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    backends = [name for name in ("gloo", "nccl", "mpi") if torch.distributed.is_backend_available(name)]
    return Check("devices", f"{', '.join(names) or 'CPU only'}; distributed: {', '.join(backends)}")
