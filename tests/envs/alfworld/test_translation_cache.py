"""The translation cache on disk: found again, never trusted blindly, never in the way."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

import pytest

from skill0.envs.alfworld import AlfWorldEnv, Game
from skill0.envs.alfworld import translation as translation_module
from skill0.envs.alfworld.replay import replay
from skill0.envs.alfworld.translation import TranslationCache, default_cache_dir, translate

pytestmark = pytest.mark.integration


@pytest.fixture
def game(six_games: list[Game]) -> Game:
    return six_games[0]


@pytest.fixture
def filled(game: Game, tmp_path: Path) -> TranslationCache:
    cache = TranslationCache(tmp_path / "cache")
    cache.get(game.domain, game.problem)
    return cache


def test_what_is_read_back_equals_what_was_translated(filled: TranslationCache, game: Game) -> None:
    assert dict(filled.counts) == {"misses": 1}
    again = TranslationCache(filled.folder)
    assert again.get(game.domain, game.problem) == translate(game.domain, game.problem)
    assert dict(again.counts) == {"hits": 1}


def test_a_hit_does_not_translate(filled: TranslationCache, game: Game, monkeypatch) -> None:
    monkeypatch.setattr(translation_module, "translate", None)
    assert filled.get(game.domain, game.problem).sas.startswith(b"begin_version")


def checksummed(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: b"\xff\xfe not a checksum\n" + content,
        lambda content: checksummed(b"not compressed"),
        lambda content: checksummed(zlib.compress(b'{"sas": ""}')),
        lambda content: checksummed(zlib.compress(b"[1, 2]")),
        lambda content: checksummed(zlib.compress(b"\xff")),
    ],
    ids=["empty", "cut off", "bit flip", "head", "not zlib", "fields missing", "other JSON", "not text"],
)
def test_a_corrupt_entry_is_counted_and_written_anew(filled: TranslationCache, game: Game, damage) -> None:
    path = filled.path_of(game.domain, game.problem)
    good = path.read_bytes()
    path.write_bytes(damage(good))
    cache = TranslationCache(filled.folder)
    assert cache.get(game.domain, game.problem) == translate(game.domain, game.problem)
    assert cache.counts["corrupt"] == 1
    assert path.read_bytes() == good


def test_nothing_but_the_entry_is_left_behind(filled: TranslationCache, game: Game) -> None:
    files = [path for path in filled.folder.rglob("*") if path.is_file()]
    assert files == [filled.path_of(game.domain, game.problem)]


def test_entries_of_other_versions_and_problems_are_other_files(
    filled: TranslationCache, game: Game, monkeypatch
) -> None:
    here = filled.path_of(game.domain, game.problem)
    assert filled.path_of(game.domain, game.problem + " ") != here
    assert filled.path_of(game.domain + " ", game.problem) != here
    monkeypatch.setattr(translation_module.metadata, "version", lambda package: "99")
    assert filled.path_of(game.domain, game.problem) != here


def test_a_folder_that_cannot_be_written_is_told_once(
    game: Game, six_games: list[Game], tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    cache = TranslationCache(tmp_path / "taken")
    with pytest.warns(RuntimeWarning, match="cannot write the translation cache"):
        assert cache.get(game.domain, game.problem).sas
    assert cache.get(six_games[1].domain, six_games[1].problem).sas  # a second warning would be an error
    assert cache.counts["unwritable"] == 2


def test_an_environment_plays_from_the_cache(six_games: list[Game], tmp_path: Path) -> None:
    for _ in range(2):
        env = AlfWorldEnv(cache_dir=str(tmp_path))
        assert all(replay(env, game).won for game in six_games[:2])
        env.close()
    assert len(list(tmp_path.rglob("*.sas"))) == 2


def test_where_the_cache_is_by_default(monkeypatch) -> None:
    monkeypatch.delenv("SKILL0_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache_dir() == "/somewhere/skill0/alfworld"
    monkeypatch.setenv("SKILL0_CACHE", "/fast/disk")
    assert default_cache_dir() == "/fast/disk/alfworld"
