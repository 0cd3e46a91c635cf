"""One tiny policy for all tests of the policy, and a folder it was saved to."""

from __future__ import annotations

import pytest
import torch
from kitchen import LEXICON

from skill0.policy import TinyPolicySettings, build_tiny_policy, save_policy


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny():
    """(model, processor); do not change the weights."""
    return build_tiny_policy(TinyPolicySettings(), LEXICON, seed=0)


@pytest.fixture(scope="session")
def saved(tiny, tmp_path_factory):
    return save_policy(*tiny, tmp_path_factory.mktemp("tiny") / "policy")
