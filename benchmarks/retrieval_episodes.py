"""Search episodes through a pool of workers whose server fails, beside the same episodes in process.

Each episode searches three times and answers with the first title that it was shown last: its actions, its
reward and what it was told of its searches follow from the passages, so that a wrong answer of the server
would be a wrong outcome. The scenario is printed by benchmarks/retrieval_http.py; server and faults are those
of benchmarks/retrieval_faults.py.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from retrieval_faults import ServerProcess, WordOverlap, make_passages

from skill0.agent import AgentLoop, AgentSettings, PolicyInput, Sampling, ScriptedPolicy
from skill0.envs import EnvPool, Task
from skill0.envs.search import Question, SearchEnvFactory, tasks_from
from skill0.envs.search.engines import SearchServers
from skill0.envs.search.projection import ANSWER, SEARCH, tagged
from skill0.evaluation import TaskOutcome, evaluate
from skill0.retrieval import Passage
from skill0.retrieval.http_settings import HttpSettings

SEARCHES = 3


@dataclass(frozen=True)
class InProcess:
    """The retriever of the faulty server, in the environment's own process."""

    passages: int

    def __call__(self) -> WordOverlap:
        return WordOverlap(make_passages(self.passages))


@dataclass
class Played:
    """What became of the episodes of a scenario. `lost` are infrastructure failures, by kind."""

    episodes: int
    same: int = 0
    won: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    restarts: int = 0
    seconds: float = 0.0

    @property
    def wrong(self) -> int:
        return self.episodes - self.same - self.lost.total()

    def figures(self) -> dict[str, float]:
        return {
            "episodes": self.episodes,
            "as in process": self.same,
            "of these won": self.won,
            "scored wrong": self.wrong,
            "lost": self.lost.total(),
            "restarts": self.restarts,
            "seconds": round(self.seconds, 1),
        }


class Player:
    """Counts its replies, so that a server can be killed in the middle."""

    def __init__(self) -> None:
        self.replies = 0

    def __call__(self, item: PolicyInput) -> str:
        if item.state is None:  # padding
            return ""
        self.replies += 1
        question: Question = item.state.task.payload
        if item.state.step < SEARCHES:
            return f"<think>searching</think>{tagged(SEARCH, question.queries[item.state.step])}"
        title = item.state.observation.text.partition("Doc 1(Title: ")[2].partition(") ")[0]
        return f"<think>reading</think>{tagged(ANSWER, title or 'nothing')}"


def make_questions(passages: Sequence[Passage], count: int, seed: int = 2) -> list[Question]:
    """Which passage has this word? Each query is a word of it, that others may have, too: not all are won."""
    draw = random.Random(seed)
    questions = []
    for number in range(count):
        passage = draw.choice(passages)
        words = passage.text.split()
        queries = tuple(draw.sample(words, SEARCHES))
        asked = f"Which passage has {queries[-1]}?"
        one = Question(
            str(number), asked, (passage.title,), "words", "direct_retrieval", (passage.title,), (), queries
        )
        questions.append(one)
    return questions


def play(env: SearchEnvFactory, tasks: Sequence[Task], player: Player, workers: int) -> list[TaskOutcome]:
    """All episodes, sixteen side by side. Those that the pool lost are outcomes of "infrastructure"."""
    settings = AgentSettings(template="search", skills_in="none", history_in="none", max_steps=SEARCHES + 1)
    with EnvPool(env, workers=workers) as pool:
        loop = AgentLoop(ScriptedPolicy(player), pool, settings)
        report = evaluate(loop, tasks, {"plain": lambda task: ()}, sampling=Sampling(), seed=0, batch_size=16)
        failures = pool.failures
    outcomes = list(report.arms[0].outcomes)
    assert failures.total() == sum(outcome.won is None for outcome in outcomes)
    return outcomes


def run_episodes(
    episodes: int, passages: int, share: float, restarts: int, settings: HttpSettings, workers: int = 2
) -> Played:
    """Play while a `share` of answers is spoiled and the server is killed `restarts` times, each time when a
    further part of the turns is done."""
    tasks = tasks_from(make_questions(make_passages(passages), episodes))
    expected = play(SearchEnvFactory(InProcess(passages)), tasks, Player(), workers=0)
    played, player, over = Played(episodes), Player(), threading.Event()

    def restart(server: ServerProcess) -> None:
        for number in range(restarts):
            mark = (number + 1) * episodes * (SEARCHES + 1) // (restarts + 1)
            while player.replies < mark and not over.is_set():
                time.sleep(0.01)
            server.kill()
            time.sleep(0.5)
            server.start(wait=False)
            played.restarts += 1

    begin = time.perf_counter()
    with ServerProcess(passages, share) as server:
        killer = threading.Thread(target=restart, args=[server])
        killer.start()
        try:
            env = SearchEnvFactory(SearchServers((server.url,), settings))
            found = play(env, tasks, player, workers)
        finally:
            over.set()
            killer.join()
    played.seconds = time.perf_counter() - begin
    played.lost.update(one.failure.partition(":")[0] for one in found if one.won is None)
    same = [one for one, other in zip(found, expected, strict=True) if one == other]
    played.same, played.won = len(same), sum(one.won is True for one in same)
    return played
