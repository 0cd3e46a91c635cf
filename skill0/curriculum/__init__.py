"""The dynamic curriculum: how many skill files may stay, which of them help, which are withdrawn."""

from skill0.curriculum.budget import budget, linear_budgets, sufficient_stages
from skill0.curriculum.curriculum import Curriculum, CurriculumChange
from skill0.curriculum.helpfulness import Helpfulness, paired_helpfulness
from skill0.curriculum.selection import Selection, select

__all__ = [
    "Curriculum",
    "CurriculumChange",
    "Helpfulness",
    "Selection",
    "budget",
    "linear_budgets",
    "paired_helpfulness",
    "select",
    "sufficient_stages",
]
