"""The figures of efficiency: what is counted and compared, and the whole in small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from efficiency.memory import buffer_bytes  # noqa: E402
from efficiency.report import Figure, figures  # noqa: E402
from efficiency.seconds import Seconds, median_ratio, take_turns  # noqa: E402
from efficiency.sharing import EVERYTHING, NOTHING, PAGES, own  # noqa: E402
from efficiency.versus_trl import OURS, TRL, UNSHARED  # noqa: E402
from gpu_training import Corridor, Work, bank, model_flops, work_of  # noqa: E402

from skill0.agent import AgentSettings  # noqa: E402
from skill0.context import ContextRenderer, PageStyle, Segment  # noqa: E402
from skill0.envs import Task  # noqa: E402
from skill0.policy import PromptEncoder, TinyPolicySettings, build_tiny_policy  # noqa: E402


def test_ratios_are_medians_of_pairs() -> None:
    measured = [Seconds(2.0, 1.0), Seconds(9.0, 1.0), Seconds(3.0, 4.0)]
    base = [Seconds(1.0, 1.0), Seconds(1.0, 2.0), Seconds(1.0, 2.0)]
    # Wall: 2, 9, 3; CPU: 1, 0.5, 2.
    assert median_ratio(measured, base) == {"wall": 3.0, "cpu": 1.0}


def test_works_take_turns_after_one_that_does_not_count() -> None:
    done: list[str] = []
    found = take_turns({"a": lambda: done.append("a"), "b": lambda: done.append("b")}, 2)
    assert done == ["a", "b"] * 3
    assert {name: len(values) for name, values in found.items()} == {"a": 2, "b": 2}


def test_a_figure_is_reached_at_its_bound() -> None:
    assert Figure("share", 0.1, 0.1, "%").reached
    assert not Figure("share", 0.11, 0.1, "%").reached
    assert Figure("gain", 2.0).reached is None
    assert [Figure("", 0.123, None, "%").text, Figure("", 1.5, None, "x").text] == ["12.3 %", "1.5 x"]


def test_a_page_of_ones_own_shows_the_same_and_equals_nothing() -> None:
    page = ContextRenderer().page([Segment("note", "mug")], PageStyle("7x14", width=56))
    first, second = own(page), own(page)
    assert first != second
    assert len({page, first, second}) == 3
    assert (first.pixel_values()[0] == page.pixel_values()[0]).all()


def test_figures_from_measurements() -> None:
    two, one = [Seconds(2.0, 2.0)], [Seconds(1.0, 1.0)]
    ways = {NOTHING: two, PAGES: one, EVERYTHING: one}
    found = figures(
        {"rounds": two, "floors": one, "world_share": [0.05], "padding_share": 0.2},
        {"generation": ways},
        {
            "seconds": {OURS: one, UNSHARED: two, TRL: two},
            "gradient_largest": 3.0,
            "gradient_difference": {OURS: 1e-7, UNSHARED: 0.0},
        },
        [(10, 100_000), (40, 800_000)],
    )
    values = {figure.name: figure.value for figure in found}
    assert values["iteration over its floor, CPU seconds"] == 2.0
    assert values["Skill0Trainer over GRPOTrainer, CPU seconds"] == 0.5
    assert values["generation: gain with pages shared, CPU seconds"] == 2.0
    assert values["turn buffer, peak per turn"] == 20.0  # kB: 800 000 bytes over 40 turns
    assert values["turn buffer, per turn at 4 times the turns"] == 2.0
    reached = {figure.name: figure.reached for figure in found if figure.reach is not None}
    assert [name for name, value in reached.items() if not value] == [
        "iteration over its floor, CPU seconds",
        "padding tokens, of those computed in learning",
        "turn buffer, per turn at 4 times the turns",
    ]


class Weights(torch.nn.Module):
    """Parameters under the names that a Qwen2.5-VL has, of sizes that are easily added up."""

    def __init__(self) -> None:
        super().__init__()
        sizes = {
            "visual_block": (2, 5),
            "visual_merger": (3, 1),
            "language_q": (10, 10),
            "embed_tokens": (7, 2),
        }
        for name, size in sizes.items():
            self.register_parameter(name, torch.nn.Parameter(torch.zeros(size)))
        text = SimpleNamespace(vocab_size=7, hidden_size=2)
        self.config = SimpleNamespace(get_text_config=lambda: text)


def test_model_flops_by_hand() -> None:
    # 2 turns of 6 text and 4 visual tokens, replies of 3 tokens: 20 read (8 visual), 6 written.
    row = {"rollout/turns": 2.0, "context/text_tokens": 6.0, "context/visual_tokens": 4.0,
           "completions/mean_length": 3.0}  # fmt: skip
    work = work_of(row)
    assert work == Work(read=20.0, written=6.0, visual=8.0)
    # Tower: 10 weights x 32 patches + 3 x 8; text: 100 x 26 tokens; head: 14 x 6 tokens.
    tower, text, head = 10 * 32 + 3 * 8, 100 * 26, 14 * 6
    assert model_flops(Weights(), work, adapter=False) == 6 * (tower + text + head)
    assert model_flops(Weights(), work, adapter=True) == 2 * tower + 4 * (text + head)


def test_the_turn_buffer_grows_by_the_turn_and_by_less_than_100_kilobytes_each() -> None:
    """Episodes of four turns in the corridors of the GPU program; every page shows skills and history."""
    _, processor = build_tiny_policy(TinyPolicySettings(), ["corridor ", "door "], seed=0)
    tasks = tuple(Task(f"corridor-{n}", "corridor", "corridor", "Leave.", n) for n in range(4))
    world = SimpleNamespace(env=Corridor, bank=bank(), train=tasks)
    few, many = (
        buffer_bytes(world, AgentSettings(), PromptEncoder(processor), episodes=episodes, tokens=32)
        for episodes in (8, 32)
    )
    assert (few[0], many[0]) == (32, 128)
    assert many[1] / many[0] < 100_000
    # What is held once, whatever the number of turns, may make the first turns dearer, not the later ones.
    assert many[1] / many[0] <= 1.1 * few[1] / few[0]


@pytest.mark.integration
def test_the_gpu_program_in_small(tmp_path: Path) -> None:
    options = "--size tiny --device cpu --tuning full --episodes 4 --turns 1 --tokens 4 --rounds 1 --json"
    command = [sys.executable, "benchmarks/gpu_training.py", *options.split(), str(tmp_path / "x.json")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (found,) = json.loads((tmp_path / "x.json").read_text())
    assert found["device"] == "cpu"
    assert found["seconds of a step"] > 0
    assert found["dominates"] in found["seconds"]
    assert found["model-FLOPs utilisation in learning"] is None


@pytest.mark.integration
def test_the_figures_in_small(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, 'benchmarks'); from pathlib import Path\n"
        "from efficiency.report import measure_figures; import json\n"
        "found = measure_figures('shipped/household', Path('curricula/household_cpu.yaml'),"
        f" Path({str(tmp_path)!r}), rounds=1, repetitions=1, trajectories=4, groups=2)\n"
        f"Path({str(tmp_path / 'x.json')!r}).write_text(json.dumps(found))"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True)
    values = {one["name"]: one["value"] for one in json.loads((tmp_path / "x.json").read_text())["figures"]}
    assert 0 < values["environment and rendering, of an iteration"] < 1
    assert 0 <= values["padding tokens, of those computed in learning"] < 1
    assert values["largest entry of GRPOTrainer's gradient"] > 0
    assert values["Skill0Trainer: gradient less GRPOTrainer's, largest entry"] < 1e-6
