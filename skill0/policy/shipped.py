"""Policies that come with the package: `shipped/household` is a folder beside this file, ready to load.

A name that begins with `shipped/` always means one of these, never a folder or a model of the Hub. Each is a
policy folder like any other: safetensors, tokenizer, `agent.json` with the prompts it was warmed up with,
`warmup_report.json`, and a model card with the command that made it.

Left out on purpose: downloads, and versions beside each other; the package's version is theirs.
"""

from __future__ import annotations

from pathlib import Path

from skill0.errors import PolicyError

PREFIX = "shipped/"

WEIGHTS = Path(__file__).parent / "weights"


def is_shipped(name: str | Path) -> bool:
    """Whether a policy's name means one that comes with the package."""
    return str(name).startswith(PREFIX)


def shipped_names() -> tuple[str, ...]:
    """The policies that come along, sorted: "shipped/household", ..."""
    return tuple(sorted(PREFIX + file.parent.name for file in WEIGHTS.glob("*/config.json")))


def policy_folder(name: str | Path) -> Path:
    """Where a policy's files are, or would be: the folder behind a shipped name, any other as it is.

    Raises:
        PolicyError: no policy of that shipped name comes along; the message says which do.
    """
    if not is_shipped(name):
        return Path(name)
    folder = WEIGHTS / str(name).removeprefix(PREFIX)
    if str(name) not in shipped_names():
        known = ", ".join(shipped_names()) or "none: this installation is incomplete"
        raise PolicyError(f"{str(name)!r} does not come with skill0; shipped policies are {known}")
    return folder
