"""Demonstrations for the warm-up: winning episodes of a scripted expert, in the real engine and real prompts.

Every game brings its own convention (what is kept where), and the skill files made from it are the only place
where the policy can read it. A game is played under several *arms*: with all of its skill files, with some,
and with none; the expert knows what the files in context state and searches blindly for the rest. Only
episodes that were won are kept, and the share is reported.

Now and then the expert is made to take a detour (a step it would not have chosen). What is imitated at that
turn is still the expert's choice, and the turns after it show how to go on from there.

Left out on purpose: official games (see official_demonstrations.py), and storing demonstrations on disk:
collecting again gives the same ones.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from skill0.agent.loop import AgentLoop
from skill0.agent.policy import EpisodeState, PolicyInput, PolicyOutput, Sampling
from skill0.agent.settings import AgentSettings
from skill0.agent.trajectory import INFRASTRUCTURE, RolloutGroup, Trajectory
from skill0.context import ContextRenderer, Page
from skill0.errors import ConfigError, EnvError
from skill0.skills.skill import SkillFile
from skill0.training.lessons import READING_REQUEST
from skill0.training.searching_expert import Choice, facts_of
from skill0.training.taught_worlds import HOUSEHOLDS, Expert, TaughtGame, TaughtWorld

if TYPE_CHECKING:
    from skill0.agent.loop import Pool

ARMS = ("all", "some", "none")

VERB_PHRASES = ("go to", "look at", "pick up", "turn on")
"""Verbs of several words: one token each in a tiny policy's vocabulary."""

_EPISODES_AT_ONCE = 64  # each live episode holds an engine


@dataclass(frozen=True)
class DemonstrationSettings:
    """What is demonstrated.

    Args:
        games (`int`, *optional*, defaults to `300`):
            Households to play, each with a convention of its own.
        arms (`tuple[str, ...]`, *optional*, defaults to `("all", "some", "none")`):
            Under which skill files every game is played: "all" of its task's files, "some" of them (at
            least one is missing, by the seed), "none".
        detours (`float`, *optional*, defaults to `0.1`):
            Probability of a step the expert would not have chosen, while nothing is held.
        max_steps (`int`, *optional*, defaults to `30`):
            Turns after which an episode is given up.

    Raises:
        ConfigError: a value out of range.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  (pydantic reads it when a recipe is loaded)

    games: int = 300
    arms: tuple[str, ...] = ARMS
    detours: float = 0.1
    max_steps: int = 30

    def __post_init__(self) -> None:
        if self.games < 1 or self.max_steps < 1:
            raise ConfigError(f"games={self.games} and max_steps={self.max_steps} must be at least 1")
        if not self.arms or set(self.arms) - set(ARMS) or len(set(self.arms)) != len(self.arms):
            raise ConfigError(f"arms={self.arms!r} must be some of {', '.join(ARMS)}, each at most once")
        if not 0 <= self.detours < 1:
            raise ConfigError(f"detours={self.detours} is a probability below 1")


@dataclass(frozen=True)
class Demonstration:
    """One won episode, and what to imitate at each of its turns.

    `prompts` and `choices` have an entry per turn; `choices` are the expert's, which at a detour is not what
    was played. `facts` are those that the skill files in context stated.
    """

    trajectory: Trajectory
    prompts: tuple[PolicyInput, ...]
    choices: tuple[Choice, ...]
    facts: Mapping[str, str]


@dataclass(frozen=True)
class Demonstrations:
    """What was collected, with which prompts (`agent`) and in which world (None: official games), and how
    many episodes of each arm were played and won. `names` are words that other games of the kind use."""

    episodes: tuple[Demonstration, ...]
    played: Mapping[str, int]
    won: Mapping[str, int]
    agent: AgentSettings
    world: TaughtWorld | None = None
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.episodes)

    @property
    def turns(self) -> int:
        return sum(len(episode.choices) for episode in self.episodes)

    def lexicon(self) -> tuple[str, ...]:
        """The vocabulary that a tiny policy needs for what it reads and writes here, and for everything that
        pages of such a world may state."""
        from skill0.policy.tokenizer import lexicon_from_texts

        texts = {READING_REQUEST, *self.names}
        if self.world is not None:
            texts.update(f"{key}: {value}, " for key, value in self.world.possible_facts())
        for episode in self.episodes:
            texts.update(f"{key}: {value}, " for key, value in episode.facts.items())
            texts.update(choice.reply for choice in episode.choices)
            texts.update(text for prompt in episode.prompts for text in (prompt.system, prompt.text))
        return lexicon_from_texts(texts, VERB_PHRASES, self.whole_names())

    def whole_names(self) -> tuple[str, ...]:
        """Names of the world that are one token each, wherever they stand."""
        return () if self.world is None else self.world.names()


def collect_demonstrations(
    games: Sequence[TaughtGame],
    settings: DemonstrationSettings,
    agent: AgentSettings,
    pool: Pool,
    *,
    world: TaughtWorld = HOUSEHOLDS,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Demonstrations:
    """Play every game under every arm of the settings and keep what was won.

    The prompts are those of `agent`, except for `max_steps`, which is the settings' own. The same arguments
    give the same demonstrations, whatever the pool's number of workers. `progress` is called with the number
    of episodes that ended.

    Raises:
        ConfigError: a game has no convention.
        EnvError: an environment failed: demonstrations are not collected around failures.
    """
    recorder = Recorder(settings.detours, world.expert())
    arms = {arm: [_group(game, arm, world, seed) for game in games] for arm in settings.arms}
    long_enough = replace(agent, max_steps=settings.max_steps)
    found = record(recorder, arms, long_enough, pool, seed=seed, progress=progress)
    return replace(found, agent=agent, world=world)


def record(
    recorder: Recorder,
    arms: Mapping[str, Sequence[RolloutGroup]],
    agent: AgentSettings,
    pool: Pool,
    *,
    seed: int,
    at_once: int = _EPISODES_AT_ONCE,
    progress: Callable[[int], None] | None = None,
) -> Demonstrations:
    """Play groups of one episode each, by arm, and keep what was won. `at_once` episodes live side by side.

    Raises:
        EnvError: an environment failed.
    """
    loop = AgentLoop(recorder, pool, agent, ContextRenderer())
    played: Counter[str] = Counter()
    won: Counter[str] = Counter()
    episodes: list[Demonstration] = []
    for arm, groups in arms.items():
        for start in range(0, len(groups), at_once):
            chunk = groups[start : start + at_once]
            for group, trajectory in zip(
                chunk, loop.run(chunk, Sampling(temperature=0.0), seed, progress=progress), strict=True
            ):
                _raise_failure(trajectory)
                played[arm] += 1
                won[arm] += trajectory.succeeded
                if trajectory.succeeded:
                    episodes.append(recorder.demonstration(trajectory, group.skills))
            recorder.forget()
    return Demonstrations(tuple(episodes), dict(played), dict(won), agent)


def _group(game: TaughtGame, arm: str, world: TaughtWorld, seed: int) -> RolloutGroup:
    """One episode of a game under an arm. "some" leaves out at least one file and keeps at least one."""
    files = world.skills(game)
    if arm == "none":
        files = ()
    elif arm == "some" and len(files) > 1:
        draw = random.Random(f"some files {seed} {game.id}")
        kept = set(draw.sample(range(len(files)), draw.randint(1, len(files) - 1)))
        files = tuple(file for number, file in enumerate(files) if number in kept)
    return RolloutGroup(game.as_task(), 1, files)


def _raise_failure(trajectory: Trajectory) -> None:
    failure = trajectory.failure
    if trajectory.outcome == INFRASTRUCTURE and failure is not None:
        raise EnvError(f"game {trajectory.task.id!r}: {failure.kind}: {failure.message}\n{failure.detail}")


@dataclass
class Recorder:
    """The expert as the loop's policy, writing down every prompt and what it would reply."""

    detours: float
    expert: Expert
    _turns: dict[tuple[str, tuple[str, ...], int], tuple[PolicyInput, Choice]] = field(default_factory=dict)
    _pages: dict[Page, Page] = field(default_factory=dict)

    def generate(self, inputs: Sequence[PolicyInput], sampling: Sampling) -> list[PolicyOutput]:
        return [PolicyOutput(self._reply(item), (), (), None) for item in inputs]

    def _reply(self, item: PolicyInput) -> str:
        state = item.state
        if state is None:
            return ""
        choice = self.expert.choose(state, item.seed)
        page = None if item.page is None else self._pages.setdefault(item.page, item.page)
        arm = tuple(file.name for file in state.skills)
        # Without its state, whose history grows with every turn, a prompt is light to keep.
        self._turns[state.task.id, arm, state.step] = (replace(item, page=page, state=None), choice)
        draw = random.Random(f"detour {item.seed}")
        detours = self.possible_detours(state)
        if detours and draw.random() < self.detours:
            return replace(choice, action=draw.choice(detours)).reply
        return choice.reply

    def possible_detours(self, state: EpisodeState) -> list[str]:
        """Actions that a detour may be."""
        return self.expert.detours(state)

    def demonstration(self, trajectory: Trajectory, skills: tuple[SkillFile, ...]) -> Demonstration:
        key = (trajectory.task.id, trajectory.arm)
        turns = [self._turns[(*key, step)] for step in range(len(trajectory.turns))]
        return Demonstration(
            trajectory,
            tuple(prompt for prompt, _ in turns),
            tuple(choice for _, choice in turns),
            facts_of(skills),
        )

    def forget(self) -> None:
        self._turns.clear()
