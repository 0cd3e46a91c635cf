"""What a trainer is given, made ready: environment, tasks, skills; each wrong input is an error here, before
a model is loaded (trained_model.py) or a process started."""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from trl.trainer.utils import RepeatSampler

from skill0.curriculum import Curriculum
from skill0.curriculum.selection import uses_helpfulness
from skill0.envs.pool import call_timeout
from skill0.errors import ConfigError
from skill0.skills import SkillBank
from skill0.training.rollout import derived_seed

if TYPE_CHECKING:
    from pathlib import Path

    from skill0.agent import AgentSettings
    from skill0.context import PromptTemplate
    from skill0.envs import Task, TextEnv
    from skill0.training.config import Skill0Config

GAMES_VARIABLE = "ALFWORLD_DATA"

FACTS_QUESTIONS = 2000
"""Training questions when `env="search"` is given without tasks."""


def resolve_env(env: str | Callable[[], TextEnv] | None, args: Skill0Config) -> Callable[[], TextEnv]:
    """A function that makes one environment. Raises `ConfigError` for a name that is not known, or where
    `env_timeout` would end calls that are well."""
    if callable(env):
        call_timeout(env, args.env_timeout, args.env_workers)  # only checked here, before a model is loaded
        return env
    if env == "alfworld":
        from skill0.envs.alfworld import AlfWorldEnvFactory

        return AlfWorldEnvFactory(max_steps=args.max_turns)
    if env == "search":
        from skill0.envs.search import SearchEnvFactory, SearchSettings
        from skill0.envs.search.engines import index_facts
        from skill0.envs.search.facts.world import build_facts
        from skill0.training.search_world import TURNS, check_template

        check_template(args.template)
        turns = min(args.max_turns, TURNS)
        return SearchEnvFactory(index_facts(build_facts()), SearchSettings(turns))
    raise ConfigError(
        f'env={env!r} must be "alfworld", "search" or a function that makes an environment (see check_env)'
    )


def resolve_tasks(tasks: Sequence[Task] | None, env: object) -> list[Task]:
    """The training tasks: those given, for "alfworld" the train split in $ALFWORLD_DATA, for "search"
    questions of the world of facts.

    Raises `ConfigError` when there are none, or when an id occurs twice.
    """
    if tasks is None and env == "alfworld":
        path = os.environ.get(GAMES_VARIABLE)
        if not path:
            raise ConfigError(
                f"no tasks: give `tasks`, or set ${GAMES_VARIABLE} to a folder of official games; "
                "skill0.envs.alfworld.generate_games makes games without any download"
            )
        from skill0.envs.alfworld import load_games, tasks_from

        tasks = tasks_from(load_games(path, "train"))
    if tasks is None and env == "search":
        from skill0.envs.search import tasks_from
        from skill0.envs.search.facts.world import build_facts

        tasks = tasks_from(build_facts().split(FACTS_QUESTIONS, 0, 0)[0])
    found = list(tasks or ())
    if not found:
        raise ConfigError("no tasks: `tasks` must hold at least one task to train on")
    check_ids(found, "tasks")
    return found


def check_ids(tasks: Sequence[Task], name: str) -> None:
    """Raises `ConfigError` when two tasks have one id: their episodes would draw the same numbers."""
    seen: set[str] = set()
    for task in tasks:
        if task.id in seen:
            raise ConfigError(f"{name} holds the task id {task.id!r} twice; ids must be distinct")
        seen.add(task.id)


def hold_out(tasks: Sequence[Task], count: int, seed: int) -> tuple[list[Task], list[Task]]:
    """Split tasks into (training, validation): `count` validation tasks, the task types in turn.

    Training tasks keep their order. Raises `ConfigError` when fewer than one task per type would be left to
    train on.
    """
    piles: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        piles[task.task_type].append(task)
    draw = random.Random(derived_seed(seed, "hold out"))
    for pile in piles.values():
        draw.shuffle(pile)
    if count > len(tasks) - len(piles):
        raise ConfigError(
            f"num_validation_tasks={count} leaves too few of {len(tasks)} tasks ({len(piles)} task types) to "
            "train on; lower it, or give `validation_tasks`"
        )
    held: set[str] = set()
    while len(held) < count:
        for pile in piles.values():
            # The last task of a type stays for training as long as another type has one to spare.
            if len(pile) > 1 and len(held) < count:
                held.add(pile.pop().id)
    return [task for task in tasks if task.id not in held], [task for task in tasks if task.id in held]


def split_tasks(
    tasks: list[Task],
    validation_tasks: Sequence[Task] | None,
    args: Skill0Config,
    bank: SkillBank | None,
    curriculum: Curriculum | None,
) -> tuple[list[Task], list[Task]]:
    """Training and validation tasks: as given, or validation tasks held out where helpfulness is measured
    on them."""
    if validation_tasks is not None:
        check_ids(validation_tasks, "validation_tasks")
        return tasks, list(validation_tasks)
    budgets = args.budgets if curriculum is None else curriculum.budgets
    filter = args.helpfulness_filter if curriculum is None else curriculum.filter
    rank = args.helpfulness_rank if curriculum is None else curriculum.rank
    never_shown = budgets is not None and not any(budgets)
    if bank is None or never_shown or not uses_helpfulness(filter, rank) or args.helpfulness_from == "paired":
        return tasks, []
    return hold_out(tasks, args.num_validation_tasks, args.seed)


def agent_settings(args: Skill0Config, template: PromptTemplate | None) -> AgentSettings:
    """The agent's settings, with a template of the user's own if one is given."""
    settings = args.agent_settings()
    return settings if template is None else replace(settings, template=template)


def resolve_skills(skills: str | Path | SkillBank | None) -> SkillBank | None:
    """The skill bank, read if a path is given. An empty bank is an error."""
    bank = skills if skills is None or isinstance(skills, SkillBank) else SkillBank.load(skills)
    if bank is not None and not len(bank):
        raise ConfigError("the skill bank is empty; give skills=None to train without skills")
    return bank


def check_curriculum_settings(
    args: Skill0Config, curriculum: Curriculum | None, bank: SkillBank | None
) -> None:
    """Raises `ConfigError` when settings or the curriculum given contradict each other or the bank."""
    if args.paired_fraction > 0 and bank is None:
        raise ConfigError(
            f"paired_fraction={args.paired_fraction} compares episodes with and without skills; give `skills`"
        )
    if curriculum is None:
        return
    if bank is None:
        raise ConfigError("a curriculum was given without skills; give `skills` too")
    if tuple(curriculum.file_names) != bank.names:
        raise ConfigError(
            f"the curriculum is over {curriculum.file_names}, the skill bank holds {bank.names}"
        )
    if args.budgets is not None or args.num_stages is not None:
        raise ConfigError(
            f"budgets={args.budgets} and num_stages={args.num_stages} describe a curriculum, but one was "
            "given; set them there"
        )
    if args.selection_confidence is not None:
        raise ConfigError(
            f"selection_confidence={args.selection_confidence} describes a curriculum, but one was given; "
            "set its `confidence`"
        )


def make_curriculum(args: Skill0Config, bank: SkillBank, total_steps: int) -> Curriculum:
    """The curriculum that the settings describe."""
    return Curriculum(
        bank.names,
        total_steps=total_steps,
        num_stages=args.num_stages,
        interval=args.curriculum_interval,
        budgets=args.budgets,
        filter=args.helpfulness_filter,
        rank=args.helpfulness_rank,
        always_keep=tuple(args.always_keep),
        seed=args.seed,
        confidence=args.selection_confidence,
    )


def check_rounds_and_evaluations(args: Skill0Config, num_tasks: int, num_eval_tasks: int) -> None:
    """Raises `ConfigError` when a round of rollouts asks for more different tasks than there are, or an
    evaluation for tasks where there are none.

    TRL's sampler leaves out what does not fill a round; with too few tasks it would leave out everything.
    """
    if args.eval_strategy != "no" and not num_eval_tasks:
        raise ConfigError(
            f"eval_strategy={args.eval_strategy!r} needs eval_tasks; give them, or set it to 'no'"
        )
    wanted = args.round_size // args.group_size
    if num_tasks < wanted:
        raise ConfigError(
            f"{num_tasks} training tasks are fewer than the {wanted} that one round needs: "
            f"{args.round_size} trajectories in groups of num_generations={args.num_generations}. "
            "Give more tasks, or lower per_device_train_batch_size or steps_per_generation"
        )
    if args.dynamic_sampling and num_tasks == wanted:
        raise ConfigError(
            f"dynamic_sampling={args.dynamic_sampling} replaces groups by groups of other tasks, but a round "
            f"needs all {num_tasks} training tasks; give more tasks"
        )


class TaskSampler(RepeatSampler):
    """TRL's sampler with an order that follows from seed and epoch.

    TRL's draws every epoch's order from one generator, which a resumed run starts from the beginning: in the
    second epoch it would see the tasks in the first epoch's order.
    """

    def __init__(self, *args: Any, epoch: Callable[[], int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.epoch = epoch

    def __iter__(self):
        if self.shuffle:
            self.generator.manual_seed(derived_seed(self.seed, "order", self.epoch()))
        yield from super().__iter__()
