"""`TextEnv` over a retriever: search a few times, then answer. A task's payload is a `Question`.

As SKILL0's code and Search-R1 have it: an action is a search or an answer in its tag; a search is answered
with passages, anything else with nothing; an answer, or the last turn, ends the episode; the reward is 1
for an exact match. Deviations:

- Published, the score is that of the last answer tag in the whole dialogue, retrieved passages included: a
  passage with a tag in it answers in the model's place. Here only an answer action answers.
- Published, an answer that is nothing once normalised equals a gold answer that is: see `scoring.py`.
  `published_scoring` brings both back.
- An empty query is not sent; it is answered with nothing.
- A retrieval that fails is nobody's answer: it raises, and the pool makes an infrastructure outcome of it.

Left out: partial rewards for format or for searching (both 0 in the published scripts).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from skill0.envs.base import Observation, StepResult, Task, TextEnv
from skill0.envs.search.cache import CachedRetriever
from skill0.envs.search.information import FORMS, information
from skill0.envs.search.projection import ANSWER, SEARCH, read_action
from skill0.envs.search.questions import Question
from skill0.envs.search.scoring import contains_answer, published_answer, score
from skill0.errors import ConfigError, EnvError, RetrievalError
from skill0.retrieval import Hit, Passage, Retriever
from skill0.retrieval.base import search_each

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SearchSettings:
    """How questions are played.

    Args:
        max_steps (`int`, *optional*, defaults to `4`):
            Turns after which an episode is truncated; an answer counts as one.
        passages (`int`, *optional*, defaults to `3`):
            Passages that a search is answered with.
        information_form (`str`, *optional*, defaults to `"plain"`):
            "plain" shows passages as Search-R1 does, "json" as SKILL0's code does.
        published_scoring (`bool`, *optional*, defaults to `False`):
            Score the last answer tag of the whole dialogue, passages included, and compare answers, as
            SKILL0's code does.

    Raises:
        ConfigError: a value out of range.
    """

    max_steps: int = 4
    passages: int = 3
    information_form: str = "plain"
    published_scoring: bool = False

    def __post_init__(self) -> None:
        for name in ("max_steps", "passages"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.information_form not in FORMS:
            raise ConfigError(f"information_form={self.information_form!r} must be one of {FORMS}")


@dataclass
class _Episode:
    """A question while it is played; `dialogue` is everything said, as the published code scores it. `titles`
    are those of all passages shown."""

    question: Question
    steps: int = 0
    dialogue: list[str] = field(default_factory=list)
    titles: set[str] = field(default_factory=set)
    answer_shown: bool = False

    def show(self, passages: Sequence[Passage]) -> None:
        self.titles.update(passage.title for passage in passages)
        gold = self.question.answers
        self.answer_shown = self.answer_shown or any(contains_answer(p.contents, gold) for p in passages)

    def retrieved(self) -> dict[str, float]:
        """What was found so far, see `SearchEnv`."""
        wanted = self.question.supporting
        recall = {"recall": sum(title in self.titles for title in wanted) / len(wanted)} if wanted else {}
        return {"answer_shown": float(self.answer_shown), **recall}


class SearchEnv:
    """Plays one question at a time.

    Each step tells in its `info`, beside `won`: `answer_shown`, 1 once a gold answer stood in a passage as
    whole words; `recall`, the share of the question's supporting passages shown so far, where the set tells
    them; and, with an answer, `exact_match`, `f1` and `substring_match`.

    Args:
        retriever: What searches; may be shared with other environments.
        settings: How questions are played.
    """

    def __init__(self, retriever: Retriever, settings: SearchSettings | None = None) -> None:
        self.retriever = retriever
        self.settings = settings or SearchSettings()
        self._episode: _Episode | None = None
        self._prepared: tuple[str, list[Hit] | RetrievalError] | None = None

    @classmethod
    def prepare_steps(cls, steps: Sequence[tuple[TextEnv, str]]) -> None:
        """Search for all episodes of a step at once, one batch for each retriever and number of passages.

        A query that the retriever cannot answer costs the episodes that asked it, and no other.
        """
        groups: dict[tuple[int, int], list[tuple[SearchEnv, str]]] = {}
        for env, action in steps:
            kind, query = read_action(action)
            if isinstance(env, SearchEnv) and kind == SEARCH and query:
                groups.setdefault((id(env.retriever), env.settings.passages), []).append((env, query))
        for (_, passages), members in groups.items():
            queries = list(dict.fromkeys(query for _, query in members))
            answers = search_each(members[0][0].retriever, queries, passages)
            _tell_of_failures(answers)
            found = dict(zip(queries, answers, strict=True))
            for env, query in members:
                env._prepared = (query, found[query])

    def reset(self, task: Task) -> Observation:
        """Ask the task's question.

        Raises:
            EnvError: the task holds no `Question`.
        """
        if not isinstance(task.payload, Question):
            kind = type(task.payload).__name__
            raise EnvError(f"task {task.id!r} holds {kind}, not a Question: use tasks_from(questions)")
        self._episode, self._prepared = _Episode(task.payload), None
        return Observation("", task.payload.question)

    def step(self, action: str) -> StepResult:
        """Search or answer.

        Raises:
            EnvError: no episode is running.
            RetrievalError: the passages could not be had; the episode is lost.
        """
        episode = self._episode
        if episode is None:
            raise EnvError("no episode is running: call reset before the first step and after the last")
        kind, text = read_action(action)
        episode.steps += 1
        shown = ""
        if kind == SEARCH and text:
            passages = [hit.passage for hit in self._search(text)]
            shown = information(passages, self.settings.information_form)
            episode.show(passages)
        episode.dialogue += [action, shown]
        info = {"won": False, **episode.retrieved()}
        answered = "<answer>" in action and "</answer>" in action if self._published else kind == ANSWER
        truncated = not answered and episode.steps >= self.settings.max_steps
        observation = Observation(shown, episode.question.question)
        if not (answered or truncated):
            return StepResult(observation, 0.0, False, False, info)
        self._episode = None
        answer = (
            published_answer("".join(episode.dialogue)) if self._published else text if answered else None
        )
        if answer is None:
            return StepResult(observation, 0.0, answered, truncated, info)
        scores = score(answer, episode.question.answers, published=self._published)
        won = scores.exact_match == 1.0
        info |= {"won": won, **vars(scores)}
        return StepResult(observation, float(won), answered, truncated, info)

    def close(self) -> None:
        self._episode = self._prepared = None

    @property
    def _published(self) -> bool:
        return self.settings.published_scoring

    def _search(self, query: str) -> list[Hit]:
        prepared, self._prepared = self._prepared, None
        if prepared is not None and prepared[0] == query:
            if isinstance(prepared[1], RetrievalError):
                raise prepared[1]
            return prepared[1]
        return self.retriever.search([query], self.settings.passages)[0]


@dataclass(frozen=True)
class SearchEnvFactory:
    """Makes environments; picklable if `source` is. Those of one process share one retriever and its memory.

    Args:
        source: Makes the retriever; hashable, equal for equal retrievers (a module-level function, or an
            instance of a frozen dataclass such as those of `skill0.envs.search.engines`).
        settings: How questions are played.
        cache_size: Answers that each process keeps.
    """

    source: Callable[[], Retriever]
    settings: SearchSettings = field(default_factory=SearchSettings)
    cache_size: int = 10_000

    def __call__(self) -> SearchEnv:
        return SearchEnv(shared_retriever(self.source, self.cache_size), self.settings)

    @property
    def longest_call_s(self) -> float:
        """As of `skill0.envs.PatientFactory`: what the source says of one call of its retriever; else 0."""
        return float(getattr(self.source, "longest_call_s", 0.0))


@lru_cache(maxsize=4)
def shared_retriever(source: Callable[[], Retriever], cache_size: int) -> CachedRetriever:
    """This process's one retriever for a source. The last four are kept."""
    return CachedRetriever(source(), cache_size)


def _tell_of_failures(answers: Sequence[list[Hit] | RetrievalError]) -> None:
    failed = [answer for answer in answers if isinstance(answer, RetrievalError)]
    if failed:
        logger.warning(
            "%d of %d queries of a step could not be answered and cost their episodes; the first: %s",
            len(failed), len(answers), failed[0],
        )  # fmt: skip
