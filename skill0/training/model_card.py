"""The README.md beside a warmed-up policy: made from its `warmup_report.json`, so that the two agree.

Left out: the curve of the losses, which the report keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skill0.agent import AgentSettings
from skill0.training.corrections import CORRECTED

REPORT_FILE, CARD_FILE = "warmup_report.json", "README.md"

_FRONT = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
tags: [skill0, alfworld, qwen2_5_vl]
---
"""

_LIMITS = """\
- It knows {words} tokens and nothing else: no language beyond the prompts of {world}. Other words reach it as
  bytes, which it has never learnt.
- It reads pages as they were in warm-up (see above, and `agent.json`). With other prompts it fails, so
  `skill0 train` refuses them.
- It is trained from nothing by imitation of a scripted expert; no pretrained weights are in it.
- It is made to show and test skill internalization on a CPU, for nothing else.
"""


def model_card(report: Mapping[str, Any], agent: AgentSettings) -> str:
    """The card of the policy that a warm-up report tells of."""
    environment = report["settings"]["environment"]
    games = environment["games"]
    world = "generated ALFWorld households" if games is None else "ALFWorld's official games"
    if environment.get("almanac"):
        world = "questions to the almanac"
    parts = [
        _FRONT,
        f"# A tiny Qwen2.5-VL, warmed up on {world}\n",
        f"{report['parameters'] / 1e6:.2f} M parameters, {report['tokens']} tokens, float32. It has learnt "
        f"to act in {world}{_reading_clause(games)}, by imitation, and nothing by reinforcement: the start "
        "of a SKILL0 curriculum.\n",
        _how_to_load(),
        "## What it learnt from\n",
        _learnt_from(report, world),
        "## How it was prompted\n",
        _prompts(agent),
        "## How it was made\n",
        _made(report),
        "## How well it reads\n",
        _check(report.get("check"), "questions" if environment.get("almanac") else "households"),
        "## Limits\n",
        _LIMITS.format(words=report["tokens"], world=world),
        "## Licence\n",
        "Apache-2.0, as skill0 itself.\n",
    ]
    return "\n".join(parts)


def _reading_clause(games: str | None) -> str:
    return " and to look up on its page where things are kept" if games is None else ""


def _how_to_load() -> str:
    return (
        "```python\n"
        "from skill0 import AgentSettings, load_policy\n\n"
        "model, processor = load_policy(FOLDER)      # or shipped/NAME, for weights that come with skill0\n"
        "settings = AgentSettings.load(FOLDER)\n"
        "```\n"
    )


def _learnt_from(report: Mapping[str, Any], world: str) -> str:
    shown = report["demonstrations"]
    arms = [arm for arm in shown["played"] if arm != CORRECTED]
    shares = ", ".join(f"{arm} {shown['won'][arm]} of {shown['played'][arm]}" for arm in arms)
    played = shown["played"].get(CORRECTED, 0)
    corrected = (
        f", and {played} episodes that it played itself (won: {shown['won'][CORRECTED]}), with the expert's "
        "choice at every turn"
        if played
        else ""
    )
    pages = ", and pages of facts to complete" if report["settings"]["environment"]["games"] is None else ""
    return (
        f"{shown['episodes'] - played} won episodes of scripted experts in {world} (won, by the skill files "
        f"in context: {shares}){corrected}{pages}; {shown['turns']} turns in all. "
        f"{report['learning']['steps']} optimizer steps; all settings, losses and shares of right answers "
        f"are in `{REPORT_FILE}`.\n"
    )


def _prompts(agent: AgentSettings) -> str:
    style = agent.style
    return (
        f"Template `{agent.template}`; skills in: {agent.skills_in}, as {agent.skill_form} text; history in: "
        f"{agent.history_in}; page: cell {style.cell}, {style.width} pixels wide, leading {style.leading}; "
        f"at most {agent.max_steps} turns.\n"
    )


def _made(report: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    seconds = ", ".join(f"{what} {number:.0f} s" for what, number in report["seconds"].items())
    return (
        f"```bash\n{report['command']}\n```\n\n"
        f"Seed {report['seed']}; threads: {report['threads']}; {seconds}. The same command, versions and "
        f"number of threads give the same weights, bit for bit, on one kind of processor.\n\n"
        f"Digest of the warm-up (settings without the seed): `{report['warmup_sha256']}`.\n\n"
        f"Versions: {packages}.\n"
    )


def _check(check: Mapping[str, Any] | None, kind: str) -> str:
    if check is None:
        return "Not measured when these weights were made (`--check N`).\n"
    rows = [
        f"| {name} | {100 * rate['rate']:.1f} % | [{100 * rate['low']:.1f}, {100 * rate['high']:.1f}] |"
        for name, rate in check["success"].items()
    ]
    return (
        f"{check['games']} held-out {kind} (split `{check['split']}`, seed {check['seed']}), each with a "
        "convention of its own that nobody has seen; greedy replies. The wrong page tells another place for "
        "every thing; the blind expert searches without knowing, and makes no mistake otherwise.\n\n"
        "| what it was shown | success | 95 % interval |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    )
