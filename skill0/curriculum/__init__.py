"""The dynamic curriculum: how many skill files may stay, which of them help, which are withdrawn."""

from skill0.curriculum.budget import budget, linear_budgets, sufficient_stages
from skill0.curriculum.change import CurriculumChange
from skill0.curriculum.comparison import HelpfulnessComparison, compare_helpfulness
from skill0.curriculum.curriculum import Curriculum
from skill0.curriculum.helpfulness import ArmCounts, Helpfulness, paired_helpfulness
from skill0.curriculum.paired import PairedEpisode, PairedGroup, helpfulness_from_groups, paired_groups
from skill0.curriculum.posterior import probability_helpful
from skill0.curriculum.selection import Selection, select

__all__ = [
    "ArmCounts",
    "Curriculum",
    "CurriculumChange",
    "Helpfulness",
    "HelpfulnessComparison",
    "PairedEpisode",
    "PairedGroup",
    "Selection",
    "budget",
    "compare_helpfulness",
    "helpfulness_from_groups",
    "linear_budgets",
    "paired_groups",
    "paired_helpfulness",
    "probability_helpful",
    "select",
    "sufficient_stages",
]
