"""What a launcher was asked for and did not do is an error; how large a checkpoint will be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate.utils import DistributedType

from skill0.errors import ConfigError, TrainingStopped
from skill0.training import processes
from skill0.training.checkpoints import checkpoint_bytes
from skill0.training.processes import run_as_program

LAUNCHERS = ("WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "ACCELERATE_MIXED_PRECISION",
             "ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED")  # fmt: skip


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LAUNCHERS:
        monkeypatch.delenv(name, raising=False)


def launched(monkeypatch: pytest.MonkeyPatch, world_size: int, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    processes.check_launch(SimpleNamespace(world_size=world_size))


def test_a_process_by_itself_and_processes_that_found_each_other_are_fine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    launched(monkeypatch, 1)
    launched(monkeypatch, 2, WORLD_SIZE="2", LOCAL_RANK="0", MASTER_ADDR="here", MASTER_PORT="1")


def test_processes_that_would_each_train_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"2 processes were launched.*use_cpu: true"):
        launched(monkeypatch, 1, WORLD_SIZE="2", LOCAL_RANK="0")


def test_one_process_where_several_were_asked_of_accelerate(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"asked for several processes and started one.*ddp\.yaml"):
        launched(monkeypatch, 1, ACCELERATE_MIXED_PRECISION="no", MASTER_ADDR="here", MASTER_PORT="1")


def test_one_process_in_a_pod_that_has_the_address_of_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    launched(monkeypatch, 1, MASTER_ADDR="here", MASTER_PORT="1")  # by itself
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")  # started by accelerate
    with pytest.raises(ConfigError, match=r"If one process is what you want.* set WORLD_SIZE=1"):
        launched(monkeypatch, 1)
    launched(monkeypatch, 1, WORLD_SIZE="1")


def accelerator(kind: Any = DistributedType.MULTI_CPU, **state: Any) -> Any:
    return SimpleNamespace(distributed_type=kind, num_processes=2, state=SimpleNamespace(**state))


@pytest.mark.parametrize("variable", ["ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"])
def test_a_dropped_wish_to_shard(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    processes.check_sharding(accelerator())
    monkeypatch.setenv(variable, "true")
    with pytest.raises(ConfigError, match=rf"{variable} asks for sharded weights.*'ddp'"):
        processes.check_sharding(accelerator())


def test_ways_of_sharding_that_could_not_save_a_policy() -> None:
    def fsdp(version: int, form: str) -> Any:
        plugin = SimpleNamespace(fsdp_version=version, state_dict_type=f"StateDictType.{form}")
        return accelerator(DistributedType.FSDP, fsdp_plugin=plugin)

    processes.check_sharding(fsdp(2, "FULL_STATE_DICT"))
    with pytest.raises(ConfigError, match="FSDP 1 is not supported"):
        processes.check_sharding(fsdp(1, "FULL_STATE_DICT"))
    with pytest.raises(ConfigError, match="set FULL_STATE_DICT"):
        processes.check_sharding(fsdp(2, "SHARDED_STATE_DICT"))
    config: dict[str, Any] = {"zero_optimization": {}}
    plugin = SimpleNamespace(zero_stage=3, deepspeed_config=config)
    with pytest.raises(ConfigError, match="zero3_save_16bit_model"):
        processes.check_sharding(accelerator(DistributedType.DEEPSPEED, deepspeed_plugin=plugin))


def test_bytes_of_a_checkpoint() -> None:
    # 3 x 4 weights and 3 biases in float32, the biases frozen: 60 bytes, and two moments of 12 weights, 96.
    model = torch.nn.Linear(4, 3)
    model.bias.requires_grad_(False)
    assert checkpoint_bytes(model) == 60 + 96
    # FSDP writes the weights twice; DeepSpeed also a float32 copy of what it trains, 48 bytes.
    assert checkpoint_bytes(model, "fsdp2") == 120 + 96
    assert checkpoint_bytes(model, "zero2") == 120 + 96 + 48
    # An adapter is saved without what is frozen.
    model.peft_config = {}  # type: ignore[assignment]
    assert checkpoint_bytes(model, "fsdp2") == 96 + 96


def stopped() -> None:
    raise TrainingStopped("told to stop")


def unusable() -> None:
    raise ConfigError("no such setting")


def test_a_program_ends_with_the_exit_code_of_what_ended_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_as_program(lambda: None) == 0
    assert capsys.readouterr().err == ""
    assert run_as_program(stopped) == 143
    assert run_as_program(unusable) == 2
    assert capsys.readouterr().err.splitlines() == [
        "skill0: TrainingStopped: told to stop",
        "skill0: ConfigError: no such setting",
    ]


def test_errors_that_nobody_meant_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_as_program(lambda: 1 / 0)
