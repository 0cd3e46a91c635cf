"""skill0: train agents with skills in context until they act without them.

Names are imported when first used, so that `import skill0` loads neither torch nor an environment.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from skill0._version import __version__

if TYPE_CHECKING:
    from skill0.agent import AgentLoop, AgentSettings
    from skill0.context import ContextRenderer, Page, PageStyle, Segment
    from skill0.curriculum import Curriculum
    from skill0.envs import EnvPool, TextEnv, check_env
    from skill0.evaluation import EvaluationReport, evaluate
    from skill0.policy import TransformersPolicy, load_policy
    from skill0.skills import Skill, SkillBank, SkillFile, group_by_relevance
    from skill0.training import Skill0Config, Skill0Trainer

_HOMES = {
    "AgentLoop": "agent",
    "AgentSettings": "agent",
    "ContextRenderer": "context",
    "Curriculum": "curriculum",
    "EnvPool": "envs",
    "EvaluationReport": "evaluation",
    "Page": "context",
    "PageStyle": "context",
    "Segment": "context",
    "Skill": "skills",
    "Skill0Config": "training",
    "Skill0Trainer": "training",
    "SkillBank": "skills",
    "SkillFile": "skills",
    "TextEnv": "envs",
    "TransformersPolicy": "policy",
    "check_env": "envs",
    "evaluate": "evaluation",
    "group_by_relevance": "skills",
    "load_policy": "policy",
}

__all__ = [
    "AgentLoop",
    "AgentSettings",
    "ContextRenderer",
    "Curriculum",
    "EnvPool",
    "EvaluationReport",
    "Page",
    "PageStyle",
    "Segment",
    "Skill",
    "Skill0Config",
    "Skill0Trainer",
    "SkillBank",
    "SkillFile",
    "TextEnv",
    "TransformersPolicy",
    "__version__",
    "check_env",
    "evaluate",
    "group_by_relevance",
    "load_policy",
]


def __getattr__(name: str):
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'skill0' has no attribute {name!r}")
    # `evaluation.evaluate` and `envs.check_env` are functions of the package, never its modules.
    return getattr(import_module(f"skill0.{home}"), name)


def __dir__() -> list[str]:
    return __all__
