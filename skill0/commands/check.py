"""One line of the doctor's report, and what several kinds of checks look up."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """What was looked at and found. `fix` is empty when nothing is wrong; `fatal`: training cannot start."""

    name: str
    found: str
    fix: str = ""
    fatal: bool = False


def version_of(package: str) -> str | None:
    """The installed version of a package, without importing it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
