"""What was imitated in earlier rounds is imitated again, and is not lost with a process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skill0.agent import Turn
from skill0.context import Page, PageStyle
from skill0.errors import CheckpointError
from skill0.training.replay import drawn, read_replay, to_json, with_earlier, write_replay
from skill0.training.turn_buffer import TrainingTurn


def imitated(token: int, imitation: float, *, page: bool = True) -> TrainingTurn:
    """A turn whose reply is one token."""
    shown = Page(np.full((2, 8), 7, dtype=np.uint16), PageStyle("7x14", 56, 14)) if page else None
    turn = Turn(
        prompt_ids=(1, 2), completion_ids=(token,), logprobs=None, page=shown, action_mask=(True,),
        observation="a shelf", reply="<action>look</action>", action="look", compression=None, valid=True,
        reward=0.0, text_tokens=2, visual_tokens=0,
    )  # fmt: skip
    return TrainingTurn(turn, advantage=0.0, weight=0.0, imitation=imitation, imitated=(True,))


def test_the_loss_is_the_mean_over_rounds() -> None:
    # Three rounds, with weights 0.6, none, 0.3 + 0.9: a third of each, whatever a round holds.
    earlier = ((imitated(1, 0.6),), ())
    newest = (imitated(2, 0.3), imitated(3, 0.9))
    found = with_earlier(newest, earlier)
    assert [(item.turn.completion_ids, round(item.imitation, 6)) for item in found] == [
        ((1,), 0.2), ((2,), 0.1), ((3,), 0.3),
    ]  # fmt: skip


def test_rounds_are_drawn_by_the_seed_alone() -> None:
    memory = [(imitated(token, 0.1),) for token in range(10)]
    found = drawn(memory, 3, seed=5)
    assert found == drawn(memory, 3, seed=5) != drawn(memory, 3, seed=6)
    assert len({played[0].turn.completion_ids for played in found}) == 3
    assert sorted(drawn(memory, 20, seed=5), key=memory.index) == memory


class TestSaving:
    MINE = ((imitated(1, 0.1), imitated(2, 0.2)), ())
    OTHERS = ((imitated(3, 0.3),), (imitated(4, 0.4, page=False),))

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        write_replay(tmp_path, [to_json(self.MINE), to_json(self.OTHERS)])
        return tmp_path

    def test_each_process_gets_its_own_back(self, folder: Path) -> None:
        assert read_replay(folder, 0, 2) == self.MINE
        assert read_replay(folder, 1, 2) == self.OTHERS

    def test_another_number_of_processes_shares_all(self, folder: Path) -> None:
        assert read_replay(folder, 0, 1) == ((*self.MINE[0], *self.OTHERS[0]), self.OTHERS[1])
        dealt = [read_replay(folder, process, 3) for process in range(3)]
        assert sorted(item.imitation for rounds in dealt for item in rounds[0]) == [0.1, 0.2, 0.3]

    def test_what_cannot_be_read(self, folder: Path) -> None:
        (folder / "replay.json").write_text("[[[{}]]]")
        with pytest.raises(CheckpointError, match="is damaged"):
            read_replay(folder, 0, 1)
        with pytest.raises(CheckpointError, match=r"has no replay\.json, but internalization_replay is set"):
            read_replay(folder / "elsewhere", 0, 1)
