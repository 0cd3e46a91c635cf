"""Evaluation: every task exactly once per arm, with intervals; and how much each skill file still helps."""

from skill0.evaluation.intervals import Rate, wilson_interval
from skill0.evaluation.measuring import HelpfulnessReport, measure_helpfulness, sub_task
from skill0.evaluation.report import ArmReport, EvaluationReport, TaskOutcome
from skill0.evaluation.running import Ranks, evaluate

__all__ = [
    "ArmReport",
    "EvaluationReport",
    "HelpfulnessReport",
    "Ranks",
    "Rate",
    "TaskOutcome",
    "evaluate",
    "measure_helpfulness",
    "sub_task",
    "wilson_interval",
]
