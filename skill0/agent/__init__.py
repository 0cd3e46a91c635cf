"""The agent: from prompts to replies to trajectories, many episodes side by side."""

from skill0.agent.loop import AgentLoop, reply_seed
from skill0.agent.policy import EpisodeState, PastTurn, Policy, PolicyInput, PolicyOutput, Sampling
from skill0.agent.prompting import skill_segments, skills_text
from skill0.agent.reply import ParsedReply, parse_reply
from skill0.agent.scripted import RandomPolicy, ScriptedPolicy
from skill0.agent.settings import AgentSettings
from skill0.agent.trajectory import FAILURE, INFRASTRUCTURE, SUCCESS, RolloutGroup, Trajectory, Turn

__all__ = [
    "FAILURE",
    "INFRASTRUCTURE",
    "SUCCESS",
    "AgentLoop",
    "AgentSettings",
    "EpisodeState",
    "ParsedReply",
    "PastTurn",
    "Policy",
    "PolicyInput",
    "PolicyOutput",
    "RandomPolicy",
    "RolloutGroup",
    "Sampling",
    "ScriptedPolicy",
    "Trajectory",
    "Turn",
    "parse_reply",
    "reply_seed",
    "skill_segments",
    "skills_text",
]
