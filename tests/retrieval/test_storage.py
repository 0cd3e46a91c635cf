"""Where an index is put: beside builds that were killed, builds that were faster, and where none can be."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time

import pytest

from skill0.errors import RetrievalError
from skill0.retrieval import BM25Index, Passage, build_bm25
from skill0.retrieval.storage import PlaceTakenError

SEA = [Passage("a", "red fish"), Passage("b", "blue fish")]
DAY = 24 * 3600

KILLED = """
import os, signal, sys
from skill0.retrieval import Passage, build_bm25

def passages():
    yield Passage("a", "red fish")
    os.kill(os.getpid(), signal.SIGKILL)

build_bm25(passages(), sys.argv[1])
"""


def test_a_killed_build_is_in_nobodys_way_and_is_removed_after_a_day(tmp_path):
    folder = tmp_path / "index"
    assert subprocess.run([sys.executable, "-c", KILLED, str(folder)]).returncode == -9
    [leftover] = tmp_path.iterdir()
    build_bm25(SEA, folder)
    assert {path.name for path in tmp_path.iterdir()} == {"index", leftover.name}, "it may still be alive"
    then = time.time() - DAY - 60
    for path in (leftover, *leftover.rglob("*")):
        os.utime(path, (then, then))
    build_bm25(SEA[:1], folder)
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    assert len(BM25Index(folder)) == 1


def test_of_two_builds_of_a_new_index_the_first_to_end_stays(tmp_path):
    def slow():
        yield SEA[0]
        build_bm25(SEA, tmp_path / "index")

    with pytest.raises(PlaceTakenError, match="written by another process"):
        build_bm25(slow(), tmp_path / "index")
    assert len(BM25Index(tmp_path / "index")) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_an_index_may_be_read_by_whom_a_new_folder_may(tmp_path):
    (tmp_path / "folder").mkdir()
    build_bm25(SEA, tmp_path / "index")
    rights = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("folder", "index")]
    assert rights[0] == rights[1]


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RetrievalError, match=r"index could not be built \(.*may you write there"):
        build_bm25(SEA, tmp_path / "file" / "index")
