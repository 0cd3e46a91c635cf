"""`TextEnv` over the almanac: Search-QA with one page a search, in the book of the task's own arrangement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from skill0.envs.base import Observation, StepResult, Task
from skill0.envs.search.almanac.book import AlmanacSettings, open_book
from skill0.envs.search.almanac.questions import AlmanacQuestion
from skill0.envs.search.almanac.status import AlmanacStatus
from skill0.envs.search.env import SearchEnv, SearchSettings
from skill0.errors import EnvError
from skill0.retrieval import Retriever


class AlmanacEnv:
    """Plays one question at a time.

    Args:
        max_steps: Turns after which an episode is truncated; an answer counts as one.
    """

    def __init__(self, max_steps: int = 4) -> None:
        self._settings = SearchSettings(max_steps=max_steps, passages=1)
        self._env: SearchEnv | None = None
        self._status: AlmanacStatus | None = None

    def reset(self, task: Task) -> Observation:
        """Ask the task's question.

        Raises:
            EnvError: the task holds no `AlmanacQuestion`.
        """
        if not isinstance(task.payload, AlmanacQuestion):
            kind = type(task.payload).__name__
            raise EnvError(
                f"task {task.id!r} holds {kind}, not an AlmanacQuestion: use AlmanacGame.as_task()"
            )
        payload = task.payload
        self._env = SearchEnv(index_of(payload.arrangement, payload.settings), self._settings)
        self._status = AlmanacStatus(payload.question.question)
        return self._with_status(self._env.reset(replace(task, payload=payload.question)))

    def step(self, action: str) -> StepResult:
        """Search or answer.

        Raises:
            EnvError: no episode is running.
        """
        if self._env is None or self._status is None:
            raise EnvError("no episode is running: call reset before the first step")
        result = self._env.step(action)
        self._status.update(result.observation.text)
        return replace(result, observation=self._with_status(result.observation))

    def close(self) -> None:
        self._env = self._status = None

    def _with_status(self, observation: Observation) -> Observation:
        return replace(observation, status=str(self._status))


@dataclass(frozen=True)
class AlmanacEnvFactory:
    """Makes environments; picklable."""

    max_steps: int = 4

    def __call__(self) -> AlmanacEnv:
        return AlmanacEnv(self.max_steps)


@lru_cache(maxsize=256)
def index_of(arrangement: tuple[tuple[str, str], ...], settings: AlmanacSettings) -> Retriever:
    """The index over the book's pages under an arrangement."""
    from skill0.retrieval import BM25Index

    return BM25Index.of(open_book(settings).passages(dict(arrangement)))
