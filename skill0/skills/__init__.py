"""Skills: what an agent may read, and what training takes away again."""

from __future__ import annotations

from skill0.skills.agent_skills import write_agent_skills
from skill0.skills.bank import SkillBank
from skill0.skills.conventions import bank_from_convention
from skill0.skills.grouping import Grouping, Reason, group_by_relevance, skills_in_context
from skill0.skills.lint import LintFinding, lint
from skill0.skills.markdown import write_markdown
from skill0.skills.skill import EVERY_TASK_TYPE, Skill, SkillFile

__all__ = [
    "EVERY_TASK_TYPE",
    "Grouping",
    "LintFinding",
    "Reason",
    "Skill",
    "SkillBank",
    "SkillFile",
    "bank_from_convention",
    "group_by_relevance",
    "lint",
    "skills_in_context",
    "write_agent_skills",
    "write_markdown",
]
