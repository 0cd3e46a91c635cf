"""Training: the trainer and its parts, and the imitation warm-up before it.

Names are imported when they are first used, so that importing this package costs neither torch nor TRL.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skill0.training.config import Skill0Config
    from skill0.training.trainer import Skill0Trainer
    from skill0.training.turn_batching import collate_turns

_HOME = {
    "Skill0Config": "skill0.training.config",
    "Skill0Trainer": "skill0.training.trainer",
    "collate_turns": "skill0.training.turn_batching",
}

__all__ = ["Skill0Config", "Skill0Trainer", "collate_turns"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
