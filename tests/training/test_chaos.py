"""A fifth of all environment calls raise, hang, kill their process or return rubbish; training goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from chaos import FAULTS, Chaos
from colours import history, make_trainer, parameters
from colours_world import PatientColours

from skill0.agent import Trajectory
from skill0.training import episodes, rounds

pytestmark = pytest.mark.integration

ROUNDS = 3
TIMEOUT = 2.0  # seconds an environment call may take
SETTINGS: dict[str, Any] = {"skills": None, "max_steps": ROUNDS, "learning_rate": 1e-2}


def environment_processes() -> list[psutil.Process]:
    """Worker processes below this one, without the helpers that multiprocessing keeps for its own use."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


class Played:
    """What the rounds of a trainer played: trajectories, and the group of each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rounds: list[tuple[list[Trajectory], list[int]]] = []
        self.monkeypatch, self.play = monkeypatch, episodes._play

    def record(self) -> None:
        def play(*args: Any, **kwargs: Any) -> Any:
            self.rounds.append(self.play(*args, **kwargs))
            return self.rounds[-1]

        self.monkeypatch.setattr(episodes, "_play", play)

    def without_failures(self) -> Iterator[tuple[list[Trajectory], list[int]]]:
        for trajectories, groups in self.rounds:
            pairs = zip(trajectories, groups, strict=True)
            kept = [(trajectory, group) for trajectory, group in pairs if trajectory.failure is None]
            yield [trajectory for trajectory, _ in kept], [group for _, group in kept]

    def replay_without_failures(self) -> None:
        survivors = self.without_failures()
        self.monkeypatch.setattr(episodes, "_play", lambda *args, **kwargs: next(survivors))


def test_training_survives_chaos_and_learns_from_what_is_left(
    colours_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ledger").mkdir()
    chaos = Chaos(PatientColours, tmp_path / "ledger", seed=4, rate=0.2)
    trainer = make_trainer(
        colours_policy, tmp_path / "chaos", env=chaos, env_workers=3, env_timeout=TIMEOUT, **SETTINGS
    )
    played = Played(monkeypatch)
    played.record()
    began = time.monotonic()
    trainer.train()
    seconds = time.monotonic() - began
    faults = chaos.faults()
    calls = sum(faults.values())

    # It ended, and in bounded time: a hang costs its timeout and a new worker, nothing costs more.
    assert trainer.state.global_step == ROUNDS
    assert seconds < 60 + (TIMEOUT + 10) * (faults["hang"] + faults["die"])
    assert not psutil.wait_procs(environment_processes(), timeout=10)[1]

    # About a fifth of the calls failed, each kind among them, and every failure is counted by its kind. An
    # episode that was lost with its neighbour's worker counts too.
    assert set(faults) == {"fine", *FAULTS}
    assert 0.1 < 1 - faults["fine"] / calls < 0.3
    rows = history(trainer)
    for fault, kind in FAULTS.items():
        counted = sum(row.get(f"infrastructure/{kind}", 0.0) for row in rows)
        assert counted >= faults[fault] if fault in ("hang", "die") else counted == faults[fault]
    for row, (trajectories, _) in zip(rows, played.rounds, strict=True):
        failed = sum(trajectory.failure is not None for trajectory in trajectories)
        assert row["infrastructure/count"] == failed
        assert row["rollout/trajectories"] == 16 - failed
    assert 0 < sum(row["rollout/trajectories"] for row in rows) < 16 * ROUNDS

    # Loss, gradients and, after three optimizer steps, parameters are those of the same trajectories without
    # the failed ones.
    played.replay_without_failures()
    calm = make_trainer(colours_policy, tmp_path / "calm", **SETTINGS)
    before = parameters(calm)
    calm.train()
    for row, other in zip(rows, history(calm), strict=True):
        learnt = ("loss", "grad_norm", "entropy", "learning/tokens", "reward", "groups/signal")
        assert {key: row.get(key) for key in learnt} == {key: other.get(key) for key in learnt}
    assert any(row["grad_norm"] > 0 for row in rows)
    assert torch.equal(parameters(trainer), parameters(calm))
    assert not torch.equal(parameters(calm), before)


def test_what_survives_is_what_a_calm_world_would_have_seen(
    colours_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure beside an episode changes nothing about it: neither what it sees nor what it draws."""
    (tmp_path / "ledger").mkdir()
    found: list[dict[Any, Any]] = []
    for env in (Chaos(PatientColours, tmp_path / "ledger", seed=4, rate=0.2), PatientColours):
        trainer = make_trainer(
            colours_policy, tmp_path / "run", env=env, env_workers=3, env_timeout=TIMEOUT, **SETTINGS
        )
        trainer.model.train()
        played = Played(monkeypatch)
        played.record()
        try:
            rounds.make_round(trainer, [{"task": position // 4} for position in range(16)])
        finally:
            trainer.close()
            monkeypatch.undo()
        ((trajectories, _),) = played.without_failures()
        found.append(
            {
                (one.task.id, one.member): [(turn.observation, turn.completion_ids) for turn in one.turns]
                for one in trajectories
            }
        )
    survived, calm = found
    assert 0 < len(survived) < len(calm) == 16
    assert survived == {key: calm[key] for key in survived}
