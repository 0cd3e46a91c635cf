"""`skill0 evaluate --env search`: a model or scripted players on questions, per question set."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from skill0.agent import AgentLoop, AgentSettings, Sampling
from skill0.context import PageStyle
from skill0.envs import EnvPool
from skill0.envs.search import Question, SearchEnvFactory, SearchSettings, tasks_from
from skill0.envs.search.env import shared_retriever
from skill0.errors import ConfigError
from skill0.evaluation import EvaluationReport, evaluate
from skill0.evaluation.search_players import PLAYERS, search_player
from skill0.evaluation.search_report import SetFigures, search_figures, search_table
from skill0.retrieval.http_settings import HttpSettings

SCRIPTED = "scripted"
"""The policy's name for all scripted players; `scripted/gold` is one of them."""

GOLD = f"{SCRIPTED}/gold"

QUESTIONS = 400
"""Questions of the world of facts when no number is given."""


@dataclass(frozen=True)
class SearchEvaluation:
    """What to evaluate on, and how.

    `questions` are files, as `NAME=PATH` where their set is not told otherwise, none for held-out questions
    of the world of facts; `corpus` a file of passages, a folder with an index, or a search server's URL,
    needed with files of questions. `server` is how a server is asked, `compiled` whether an index of BM25 is
    searched by compiled code.
    """

    questions: tuple[str | Path, ...] = ()
    corpus: str | None = None
    skills: Path | None = None
    tasks: int | None = None
    published_types: bool = False
    server: HttpSettings = field(default_factory=HttpSettings)
    compiled: bool = False
    settings: SearchSettings = field(default_factory=SearchSettings)
    seed: int = 0
    temperature: float = 0.0
    workers: int = 0
    batch_size: int = 64


def evaluate_search(policy: str, wanted: SearchEvaluation, json_file: Path | None = None) -> None:
    """Print the table of figures, and write them and the reports as JSON if asked for."""
    console = Console()
    if not console.is_terminal:
        console.width = 110
    questions, source = _questions_and_source(wanted, console)
    by_id = {task.id: task.payload for task in tasks_from(questions)}
    env = SearchEnvFactory(source, wanted.settings)
    rows: list[tuple[str, SetFigures]] = []
    reports: dict[str, EvaluationReport] = {}
    with EnvPool(env, workers=wanted.workers) as pool:
        for name in _policies(policy):
            playable = [q for q in questions if q.supporting or q.queries] if name == GOLD else questions
            if not playable:
                console.print(f"{name}: no question tells its supporting passages")
                continue
            reports[name] = report = _play(name, playable, pool, wanted)
            for arm in report.arms:
                label = name.removeprefix(f"{SCRIPTED}/")
                label = label if len(report.arms) == 1 else f"{label}, {arm.name}"
                rows += [(label, figure) for figure in search_figures(arm, by_id)]
    if json_file is not None:
        content: dict[str, Any] = {
            "figures": [{"policy": name, **figures.to_json()} for name, figures in rows],
            "reports": {name: report.to_json() for name, report in reports.items()},
        }
        json_file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    console.print(search_table(rows, wanted.settings.passages))
    if wanted.workers == 0:  # workers have a memory each
        retriever = shared_retriever(env.source, env.cache_size)
        console.print(
            f"retrieval: {retriever.misses} queries searched, {retriever.hits} answered from memory, "
            f"{retriever.failed} not answered"
        )


def search_settings(passages: int, published: bool) -> SearchSettings:
    """How questions are played: our way, or as SKILL0's code has it."""
    form = "json" if published else "plain"
    return SearchSettings(passages=passages, information_form=form, published_scoring=published)


def _policies(policy: str) -> list[str]:
    if policy == SCRIPTED:
        return [f"{SCRIPTED}/{player}" for player in PLAYERS]
    return [policy]


def _play(
    name: str, questions: Sequence[Question], pool: EnvPool, wanted: SearchEvaluation
) -> EvaluationReport:
    from skill0.commands.evaluate import arms_of, load_player, reply_tokens

    tasks = tasks_from(questions)
    if name.startswith(f"{SCRIPTED}/"):
        player = search_player(name.partition("/")[2], questions, wanted.seed)
        settings = AgentSettings(template="search", skills_in="none", history_in="none")
        arms = arms_of(None, tasks)
    else:
        player, settings = load_player(name, wanted.batch_size, _model_settings())
        arms = arms_of(wanted.skills, tasks)
    if settings.prompt_template.reply_form != "search":
        raise ConfigError(
            f"{name} was trained with the template {settings.template!r}, which does not search"
        )
    loop = AgentLoop(player, pool, replace(settings, max_steps=wanted.settings.max_steps))
    return evaluate(
        loop, tasks, arms, sampling=Sampling(wanted.temperature, max_new_tokens=reply_tokens(name)),
        seed=wanted.seed, batch_size=wanted.batch_size, progress=True,
    )  # fmt: skip


def _model_settings() -> AgentSettings:
    """How a model is prompted that does not say how it was trained: the paper's page for Search-QA."""
    return AgentSettings(
        template="search", style=PageStyle("6x12", 560), history_length=4, invalid_action_penalty=0.01
    )


def _questions_and_source(wanted: SearchEvaluation, console: Console) -> tuple[list[Question], Any]:
    """The questions to play, and where their retriever comes from."""
    from skill0.envs.search.engines import adjusted, index_facts, open_corpus
    from skill0.envs.search.facts.world import FactsSettings, build_facts
    from skill0.envs.search.sets import load_files

    if wanted.questions:
        if wanted.corpus is None:
            raise ConfigError(
                "--questions needs --corpus: a file of passages, a folder with an index of them, or a search "
                "server's URL"
            )
        found = load_files(wanted.questions, published_types=wanted.published_types)
        if found.dropped:
            console.print(
                f"{found.dropped} questions have no task type by the published rule and are left out"
            )
        source = adjusted(open_corpus(wanted.corpus), wanted.server, wanted.compiled)
        return _drawn(list(found.questions), wanted.tasks, wanted.seed), source
    if wanted.corpus is not None:
        raise ConfigError("--corpus needs --questions: the world of facts has a corpus of its own")
    world = build_facts(FactsSettings(seed=wanted.seed))
    *_, heldout = world.split(0, 0, wanted.tasks or QUESTIONS)
    return heldout, adjusted(index_facts(world), wanted.server, wanted.compiled)


def _drawn(questions: list[Question], count: int | None, seed: int) -> list[Question]:
    """`count` questions in their order, drawn by the seed; all of them when there are no more."""
    if count is None or count >= len(questions):
        return questions
    chosen = sorted(random.Random(f"questions to play {seed}").sample(range(len(questions)), count))
    return [questions[number] for number in chosen]
