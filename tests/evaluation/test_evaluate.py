"""Every task exactly once per arm, whatever the batch size, the workers and the processes."""

from __future__ import annotations

import dataclasses
import io
import json
import threading
from collections.abc import Mapping

import pytest
from rich.console import Console
from words import BANK, TASKS, Words, grouping, guessing, knowing, nothing, own_file

from skill0.agent import AgentLoop, Policy, Sampling
from skill0.envs import EnvPool, Task
from skill0.errors import ConfigError
from skill0.evaluation import EvaluationReport, Ranks, TaskOutcome, evaluate
from skill0.skills import SkillFile

ARMS = {"own file": own_file, "plain": nothing}


def report_of(
    policy: Policy, tasks=TASKS, arms: Mapping = ARMS, workers: int = 0, **settings
) -> EvaluationReport:
    with EnvPool(Words, workers=workers) as pool:
        settings = {"sampling": Sampling(), "seed": 1, **settings}
        return evaluate(AgentLoop(policy, pool), tasks, arms, **settings)


def test_success_per_arm_and_task_type() -> None:
    report = report_of(knowing({"cool-ice"}))
    assert report["own file"].success().value == 1.0
    plain = report["plain"]
    assert (plain.success().successes, plain.success().total) == (1, 8)
    assert (plain.success("cool").successes, plain.success("cool").total) == (1, 4)
    assert plain.success("heat").value == 0.0


def test_every_task_once_per_arm_in_task_order() -> None:
    report = report_of(knowing(), batch_size=3)
    for arm in report.arms:
        assert [outcome.task_id for outcome in arm.outcomes] == [task.id for task in TASKS]
    assert report.episodes == 16
    # With its file a task is won at the first try, without it takes both tries.
    assert report.env_steps == 8 * 1 + 8 * 2


def test_turns_tokens_and_invalid_replies() -> None:
    report = report_of(knowing())
    skilled, plain = report["own file"], report["plain"]
    assert (skilled.mean_turns, plain.mean_turns) == (1.0, 2.0)
    assert skilled.visual_tokens_per_turn > plain.visual_tokens_per_turn > 0
    assert skilled.invalid_share == plain.invalid_share == 0.0
    # At the first turn the plain arm's page is blank, 56 x 56 pixels: 4 visual tokens.
    one_turn = report_of(knowing({task.id for task in TASKS}), arms={"plain": nothing})
    assert one_turn["plain"].visual_tokens_per_turn == 4.0


def test_which_skills_really_reached_which_task_type() -> None:
    report = report_of(knowing())
    assert report["own file"].skills_by_task_type() == {"heat": [["heat"]], "cool": [["cool"]]}
    assert report["plain"].skills_by_task_type() == {"heat": [[]], "cool": [[]]}
    assert report.skill_digests == {"heat": ("digest of heat",), "cool": ("digest of cool",)}


def test_arms_that_show_the_same_files_share_their_episodes() -> None:
    def heat_only(task: Task) -> tuple[SkillFile, ...]:
        return own_file(task) if task.task_type == "heat" else ()

    report = report_of(knowing(), arms={"heat only": heat_only, "plain": nothing})
    assert report.episodes == 4 + 4 + 4
    assert report["heat only"].outcomes[4:] == report["plain"].outcomes[4:]


def test_a_wrong_file_of_the_same_name_is_another_arm() -> None:
    wrong = dataclasses.replace(BANK["cool"], name="heat", sha256="another digest")

    def swapped(task: Task) -> tuple[SkillFile, ...]:
        return (wrong,)

    report = report_of(knowing(), tasks=TASKS[:4], arms={"right": own_file, "wrong": swapped})
    assert report["right"].success().value == 1.0
    assert report["wrong"].success().value == 0.0
    assert report.skill_digests == {"heat": ("another digest", "digest of heat")}


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_result_does_not_depend_on_the_batch_size(batch_size: int) -> None:
    expected = report_of(guessing(), batch_size=8)
    assert report_of(guessing(), batch_size=batch_size) == expected
    assert 0 < expected["plain"].success().successes < 8


@pytest.mark.integration
@pytest.mark.parametrize("workers", [1, 4])
def test_the_result_does_not_depend_on_the_number_of_workers(workers: int) -> None:
    assert report_of(guessing(), workers=workers) == report_of(guessing())


class Meeting:
    """Two threads in place of two processes: each waits for the other's value."""

    def __init__(self) -> None:
        self.barrier = threading.Barrier(2, timeout=30)
        self.values: list = [None, None]

    def exchange(self, rank: int, value):
        self.values[rank] = value
        self.barrier.wait()
        both = list(self.values)
        self.barrier.wait()
        return both


@pytest.mark.parametrize("num_tasks", [8, 7, 1])
def test_the_result_does_not_depend_on_the_number_of_processes(num_tasks: int) -> None:
    meeting, reports = Meeting(), {}

    def process(rank: int) -> None:
        ranks = Ranks(
            rank,
            2,
            gather=lambda part: meeting.exchange(rank, part),
            live_across_ranks=lambda live: max(meeting.exchange(rank, live)),
        )
        reports[rank] = report_of(
            guessing(), TASKS[:num_tasks], {"plain": nothing}, batch_size=3, ranks=ranks
        )

    threads = [threading.Thread(target=process, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = report_of(guessing(), TASKS[:num_tasks], {"plain": nothing})
    assert reports == {0: expected, 1: expected}


def test_another_seed_draws_other_numbers_and_arms_share_theirs() -> None:
    report = report_of(guessing())
    assert report["own file"].outcomes_by_task() == report["plain"].outcomes_by_task()
    outcomes = [report_of(guessing(), seed=seed)["plain"].outcomes_by_task() for seed in range(5)]
    assert any(found != outcomes[0] for found in outcomes)


def test_infrastructure_failures_are_counted_and_left_out() -> None:
    cursed = Task("cursed-ash", "words", "heat", "say it.", "ash")
    arm = report_of(knowing(), tasks=[*TASKS, cursed], arms={"own file": own_file})["own file"]
    assert arm.infrastructure == 1
    assert (arm.success().successes, arm.success().total) == (8, 8)
    assert "cursed" in arm.outcomes[-1].failure
    assert arm.outcomes_by_task()["cursed-ash"] is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": []}, "no tasks"),
        ({"tasks": [*TASKS, TASKS[0]]}, "'heat-ash' occurs twice"),
        ({"arms": {}}, "at least one arm"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_what_cannot_be_evaluated(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        report_of(knowing(), **settings)


def test_ranks_that_make_no_sense() -> None:
    with pytest.raises(ConfigError, match="rank=2"):
        Ranks(2, 2, gather=lambda part: [part])
    with pytest.raises(ConfigError, match="needs gather"):
        Ranks(0, 2)


def test_json_round_trip() -> None:
    report = report_of(guessing(), sampling=Sampling(temperature=0.4))
    data = json.loads(json.dumps(report.to_json()))
    assert data["schema"] == 1
    assert data["arms"]["plain"]["summary"]["success"]["tasks"] == 8
    assert data["sampling"]["temperature"] == 0.4
    restored = EvaluationReport.from_json(data)
    assert restored == report
    assert restored.to_json() == report.to_json()


def test_the_commands_are_kept_and_a_report_without_them_is_read() -> None:
    data = report_of(knowing(), tasks=TASKS[:1]).to_json()
    [outcome] = data["arms"]["plain"]["outcomes"]
    assert outcome.pop("actions") == ["nothing", "nothing"]
    assert EvaluationReport.from_json(data)["plain"].outcomes[0].actions == ()


@pytest.mark.parametrize("damage", [{"schema": 2}, {"arms": {"a": {"outcomes": [{}]}}}, {"arms": []}])
def test_a_report_that_cannot_be_read(damage: dict) -> None:
    data = report_of(knowing(), tasks=TASKS[:1]).to_json()
    with pytest.raises(ConfigError):
        EvaluationReport.from_json({**data, **damage})


def test_the_tasks_digest_tells_the_set_of_tasks() -> None:
    reports = [report_of(knowing(), tasks=tasks) for tasks in (TASKS, TASKS[::-1], TASKS[:-1])]
    digests = [report.tasks_digest for report in reports]
    assert digests[0] == digests[1] != digests[2]


def test_the_table() -> None:
    console = Console(file=io.StringIO(), width=100)
    console.print(report_of(knowing({"cool-ice"})).table())
    assert isinstance(console.file, io.StringIO)
    lines = [line.split() for line in console.file.getvalue().splitlines()]
    cells = [[cell for cell in line if cell not in "│┃|"] for line in lines]
    assert ["heat", "4", "100.0", "[51.0,", "100.0]", "0.0", "[0.0,", "49.0]"] in cells
    assert ["all", "8", "100.0", "[67.6,", "100.0]", "12.5", "[2.2,", "47.1]"] in cells
    assert ["turns", "per", "episode", "1.0", "1.9"] in cells  # 7 tasks take two turns, one takes one


def test_unknown_arm() -> None:
    with pytest.raises(KeyError, match="own file"):
        report_of(knowing())["with"]


def test_progress() -> None:
    calls: list[tuple[int, int]] = []
    report_of(knowing(), batch_size=3, progress=lambda ended, total: calls.append((ended, total)))
    assert calls[-1] == (16, 16)
    assert [ended for ended, _ in calls] == sorted(ended for ended, _ in calls)
    report_of(knowing(), tasks=TASKS[:1], progress=True)


def test_an_outcome_keeps_what_happened() -> None:
    (outcome,) = report_of(knowing(), tasks=TASKS[:1], arms={"own file": own_file})["own file"].outcomes
    assert dataclasses.asdict(outcome) | {"text_tokens": 0, "visual_tokens": 0} == dataclasses.asdict(
        TaskOutcome("heat-ash", "heat", ("heat",), "success", 1, 0, 0, 0, 1.0, actions=("ash",))
    )
    assert grouping().files_for("heat") == ("general", "heat")
