"""The arms of the study: recipes in `curricula/ablations`, each with a first line on what it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from skill0.errors import ConfigError

ABLATIONS = Path(__file__).parents[2] / "curricula" / "ablations"

PLAIN, PUBLISHED, DEFAULT = "plain_grpo", "skill0", "default"
PAIRED_ONLY, FULL_BANK, RANDOM_RANK = "paired_only", "full_bank", "random_rank"
FIRST = (PLAIN, PUBLISHED, PAIRED_ONLY, "internalization_only", DEFAULT)
"""The arms that tables and figures begin with; the others follow by name."""


@dataclass(frozen=True)
class Arm:
    """One arm: the name of its file, the file, and its first line."""

    name: str
    path: Path
    title: str


def all_arms(folder: Path = ABLATIONS) -> dict[str, Arm]:
    """Name -> arm, in the order of the tables.

    Raises:
        ConfigError: a recipe does not begin with a comment.
    """
    return {
        path.stem: _arm(path) for path in sorted(folder.glob("*.yaml"), key=lambda path: place(path.stem))
    }


def place(name: str) -> tuple[int, str]:
    """What arms are sorted by."""
    return (FIRST.index(name) if name in FIRST else len(FIRST), name)


def chosen_arms(names: list[str], known: dict[str, Arm]) -> list[Arm]:
    """The arms of these names, or every one for "all".

    Raises:
        ConfigError: an unknown name.
    """
    unknown = sorted(set(names) - set(known) - {"all"})
    if unknown:
        raise ConfigError(f"there are no arms {unknown}; known are: {', '.join(known)}")
    return [arm for name, arm in known.items() if name in names or "all" in names]


def _arm(path: Path) -> Arm:
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    if not first.startswith("# "):
        raise ConfigError(f"{path}:1: an ablation begins with a comment that says what it is")
    return Arm(path.stem, path, first.removeprefix("# "))
