"""The public face of the package, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import skill0
from skill0 import errors


def test_every_name_of_the_face_exists_and_the_list_is_sorted():
    assert skill0.__all__ == sorted(skill0.__all__)
    for name in skill0.__all__:
        assert getattr(skill0, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(skill0, "Skill1Trainer")


def test_importing_the_package_or_its_command_line_loads_nothing_heavy():
    code = (
        "import sys, skill0, skill0.cli; heavy = ('torch', 'transformers', 'alfworld', 'textworld', 'trl'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_importing_the_package_takes_under_three_tenths_of_a_second():
    """The best of three: the machine may be busy."""
    code = "import time; start = time.perf_counter(); import skill0; print(time.perf_counter() - start)"
    runs = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(runs) < 0.3


def test_every_error_of_skill0_can_be_caught_as_one():
    raised = [value for value in vars(errors).values() if isinstance(value, type)]
    assert len(raised) >= 9
    assert all(issubclass(error, errors.Skill0Error) for error in raised)
