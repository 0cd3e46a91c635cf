"""vLLM on two processes: episodes of 1 turn on one and of 12 on the other, and each gets its own replies.

TRL gathers the prompts of all processes and hands back slices of equal length; a process whose episodes have
ended must therefore go on asking. The backend is a stand-in that gathers and slices as TRL does
(tests/training/vllm_stand_in.py), since vLLM needs a GPU to be sent weights.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from colours_runs import launch, plan_of

pytestmark = pytest.mark.integration

# At a temperature of 1 this policy gives vision tokens, which vLLM is told to leave out, more than 1 %.
RUN: dict[str, Any] = {
    "use_vllm": True, "sampling_probe": "sync", "sampling_tolerance": 1e-3, "check_sampling": True,
    "per_device_train_batch_size": 4, "max_steps": 2, "num_tasks": 4, "skills": None, "uneven": True,
    "max_turns": 12, "turn_micro_batch_size": 5, "save_strategy": "no", "temperature": 0.7,
}  # fmt: skip
MODES: dict[str, dict[str, Any]] = {
    "server": {"vllm_mode": "server"},
    "colocate": {"vllm_mode": "colocate"},
    "tensor_parallel": {"vllm_mode": "colocate", "vllm_tensor_parallel_size": 2},
}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """What each process tells, for every mode; all modes in one pair of processes."""
    folder = tmp_path_factory.mktemp("vllm")
    done = launch("ddp", *plan_of(folder, {name: {**RUN, **mode} for name, mode in MODES.items()}))
    assert done.returncode == 0, done.stderr[-6000:]
    return {
        name: [json.loads(path.read_text()) for path in sorted((folder / name).glob("result-*.json"))]
        for name in MODES
    }


@pytest.mark.parametrize("mode", MODES)
def test_uneven_episodes_end_and_every_process_gets_its_own_replies(
    mode: str, played: dict[str, list[dict[str, Any]]]
) -> None:
    for found in played[mode]:
        assert found["error"] is None
        assert [row["rollout/turns"] for row in found["history"]] == [4 * 1 + 4 * 12] * 2
        # Another process's slice would have other prompts, which is an error, and other probabilities.
        assert all(row["sampling/logp_difference_max"] < 1e-4 for row in found["history"])
        assert found["synchronised"] == 2
    first, second = (found["calls"] for found in played[mode])
    assert first == second == 2 * (1 + 12)  # a probe and twelve turns a round


def test_who_answers(played: dict[str, list[dict[str, Any]]]) -> None:
    def answers(mode: str) -> list[int]:
        return [found["answers"] for found in played[mode]]

    # Of a round: probes of two processes and 12 x (4 + 4) prompts, fillers for ended episodes included.
    everyones = 2 * (2 + 12 * 8)
    assert answers("server") == [everyones, 0]
    assert answers("colocate") == [everyones // 2, everyones // 2]
    assert answers("tensor_parallel") == [everyones, everyones]
