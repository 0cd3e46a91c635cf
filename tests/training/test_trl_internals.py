"""The private parts of TRL and transformers that skill0 leans on are still what it takes them for."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import pytest
from transformers import Trainer
from trl import GRPOTrainer

from skill0.agent import Sampling
from skill0.errors import ConfigError
from skill0.training import trl_internals
from skill0.training.trainer import Skill0Trainer


def test_the_installed_versions_are_tested_ones() -> None:
    trl_internals.check_versions()


def test_another_version_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trl_internals, "version", lambda package: "2.0.0")
    with pytest.raises(ConfigError, match=r"trl 2\.0\.0 is installed.*pip install 'trl==1\.16\.\*'"):
        trl_internals.check_versions()


@pytest.mark.parametrize("name", sorted(trl_internals.OVERRIDDEN))
def test_overridden_methods_have_the_parameters_expected(name: str) -> None:
    expected = trl_internals.OVERRIDDEN[name]
    assert tuple(inspect.signature(getattr(GRPOTrainer, name)).parameters) == expected
    assert getattr(Skill0Trainer, name) is not getattr(GRPOTrainer, name), "listed, but not overridden"
    ours = tuple(inspect.signature(getattr(Skill0Trainer, name)).parameters)
    assert ours == expected


def test_every_override_is_listed() -> None:
    inherited = {
        name for name in vars(Skill0Trainer) if hasattr(GRPOTrainer, name) and not name.startswith("__")
    }
    assert inherited == {*trl_internals.OVERRIDDEN}


@pytest.mark.parametrize("name", sorted(trl_internals.CALLED))
def test_called_methods_have_the_parameters_used(name: str) -> None:
    expected = trl_internals.CALLED[name]
    assert tuple(inspect.signature(getattr(GRPOTrainer, name)).parameters)[: len(expected)] == expected


@pytest.mark.parametrize("name", sorted(trl_internals.ATTRIBUTES))
def test_private_attributes_exist(name: str) -> None:
    source = inspect.getsource(GRPOTrainer) + inspect.getsource(Trainer)
    assert f"self.{name} =" in source or f"self.{name}:" in source


def test_the_metrics_are_averaged_lists_by_mode() -> None:
    source = inspect.getsource(GRPOTrainer.__init__)
    assert '{"train": defaultdict(list), "eval": defaultdict(list)}' in source


class ScriptedVllm:
    """TRL's `VLLMGeneration` as far as it is used: remembers what it is asked, replies with ids 7, 8."""

    def __init__(self) -> None:
        self.temperature, self.top_p, self.top_k, self.max_completion_length = 1.0, 1.0, 0, 512
        self.synchronised = 0
        self.calls: list[tuple] = []

    def sync_weights(self) -> None:
        self.synchronised += 1

    def generate(self, prompts, images, num_generations, profiler=None):
        self.calls.append((prompts, images, num_generations, self.temperature, self.max_completion_length))
        return prompts, [[7, 8] for _ in prompts], [[[-0.5], [None]] for _ in prompts], None


def test_vllm_is_given_weights_once_a_step_and_the_sampling_asked_for() -> None:
    backend = ScriptedVllm()
    trainer = SimpleNamespace(
        vllm_generation=backend, state=SimpleNamespace(global_step=0), _last_loaded_step=-1
    )
    for step in (0, 0, 1):
        trainer.state.global_step = step
        ids, logprobs = trl_internals.vllm_generate(trainer, [[1, 2]], None, Sampling(0.4, max_new_tokens=9))
    assert backend.synchronised == 2
    assert backend.calls[0] == ([[1, 2]], None, 1, 0.4, 9)
    assert backend.temperature == 1.0
    assert ids == [[7, 8]]
    assert logprobs[0][0] == -0.5
    assert logprobs[0][1] != logprobs[0][1]  # not reported: NaN


def test_the_stand_in_has_the_signature_of_trls_class() -> None:
    from trl.generation.vllm_generation import VLLMGeneration

    real = inspect.signature(VLLMGeneration.generate).parameters
    assert tuple(real) == tuple(inspect.signature(ScriptedVllm.generate).parameters)
    source = inspect.getsource(VLLMGeneration)
    for name in ("temperature", "top_p", "top_k", "max_completion_length"):
        assert f"self.{name} = " in source
        assert name in inspect.getsource(VLLMGeneration.generate)
