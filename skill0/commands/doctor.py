"""`skill0 doctor`: what this machine has, what would fail here, and the fix."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

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


@dataclass(frozen=True)
class Check:
    """One line of the report. `fix` is empty when nothing is wrong; `fatal`: training cannot start."""

    name: str
    found: str
    fix: str = ""
    fatal: bool = False


def package_checks() -> list[Check]:
    checks = [_package(name, f"pip install {name}", fatal=True) for name in _NEEDED]
    checks += [
        _package(name, f"pip install 'skill0[{extra}]'", fatal=False) for name, extra in _EXTRAS.items()
    ]
    if _version("torchvision") and _torch_is_cpu():
        fix = "pip uninstall torchvision: its CUDA wheel breaks the Qwen2.5-VL classes beside a CPU torch"
        checks.append(Check("torchvision", _version("torchvision") or "", fix, fatal=True))
    return checks


def machine_checks() -> list[Check]:
    checks = [Check("python", platform.python_version()), Check("processor cores", str(os.cpu_count()))]
    for tool in ("cmake", "g++"):
        found = shutil.which(tool)
        checks.append(
            Check(tool, found or "missing", "" if found else "apt-get install build-essential cmake")
        )
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    fix = "" if free > 5 else "checkpoints may not fit: free some space"
    checks.append(Check("free disk here", f"{free:.1f} GiB", fix))
    checks.append(_devices())
    data = os.environ.get("ALFWORLD_DATA")
    fix = "" if not data or Path(data).is_dir() else f"{data} is no folder: correct or unset the variable"
    checks.append(Check("ALFWORLD_DATA", data or "unset (generated households need none)", fix))
    return checks


def print_report() -> bool:
    """Print every check; returns False when something would stop training."""
    checks = machine_checks() + package_checks()
    table = Table("what", "found", "to do", title="skill0 doctor")
    for check in checks:
        style = "red" if check.fatal and check.fix else None
        table.add_row(check.name, check.found, check.fix or "-", style=style)
    Console().print(table)
    return not any(check.fatal and check.fix for check in checks)


def _package(name: str, fix: str, *, fatal: bool) -> Check:
    version = _version(name)
    return Check(name, version or "missing", "" if version else fix, fatal)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


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
