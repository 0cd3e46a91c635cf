"""Search-QA: open questions, a retriever, a few turns to search and one to answer.

Names are imported when first used; only making the world of facts needs the extra `search`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skill0.envs.search.cache import CachedRetriever
    from skill0.envs.search.env import SearchEnv, SearchEnvFactory, SearchSettings
    from skill0.envs.search.questions import TASK_TYPES, Question, tasks_from

_HOMES = {
    "TASK_TYPES": "questions",
    "CachedRetriever": "cache",
    "Question": "questions",
    "SearchEnv": "env",
    "SearchEnvFactory": "env",
    "SearchSettings": "env",
    "tasks_from": "questions",
}

__all__ = [
    "TASK_TYPES",
    "CachedRetriever",
    "Question",
    "SearchEnv",
    "SearchEnvFactory",
    "SearchSettings",
    "tasks_from",
]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'skill0.envs.search' has no attribute {name!r}")
    return getattr(import_module(f"skill0.envs.search.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
