"""Sets of games on disk: what is written is read back, and a set that is not whole is an error."""

from __future__ import annotations

import dataclasses
import json
import lzma
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill0.envs.alfworld import Game, find_splits, load_games, sample_games, write_games
from skill0.envs.alfworld.games import PLACEHOLDER, TASK_SENTENCE, split_grammar
from skill0.envs.alfworld.store import verify_checksums
from skill0.errors import GameError, GameStoreError


@pytest.fixture
def store(six_games: list[Game], tmp_path: Path) -> Path:
    """The six games as the split "tests" of a new folder."""
    write_games(six_games, tmp_path / "store", made_by={"seed": 7})
    return tmp_path / "store"


@pytest.fixture
def tree(six_games: list[Game], tmp_path: Path) -> Path:
    """The six games as alfworld's download would leave them."""
    root = tmp_path / "alfworld_data"
    for game in six_games:
        folder = root / "json_2.1.1" / "tests" / game.id
        folder.mkdir(parents=True)
        (folder / "game.tw-pddl").write_text(json.dumps(game.engine_data()))
    return root


def edit_lines(store: Path, edit) -> None:
    path = store / "tests.jsonl.xz"
    lines = lzma.decompress(path.read_bytes()).decode().splitlines()
    path.write_bytes(lzma.compress("".join(line + "\n" for line in edit(lines)).encode()))


def test_what_is_written_is_read_back(store: Path, six_games: list[Game]) -> None:
    assert find_splits(store) == ("tests",)
    games = load_games(store, "tests", checksums=True)
    assert games == six_games
    assert [game.convention for game in games] == [game.convention for game in six_games]
    facts = json.loads((store / "manifest.json").read_text())["splits"]["tests"]
    assert (facts["games"], facts["made_by"]) == (6, {"seed": 7})


def test_the_same_games_make_the_same_bytes(store: Path, six_games: list[Game], tmp_path: Path) -> None:
    write_games(six_games, tmp_path / "again", made_by={"seed": 7})
    for path in store.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_limit_takes_the_first(store: Path, six_games: list[Game]) -> None:
    assert load_games(store, "tests", limit=2) == six_games[:2]
    with pytest.raises(GameStoreError, match="limit must be at least 1"):
        load_games(store, "tests", limit=0)
    with pytest.raises(GameStoreError, match="leave out either limit or checksums"):
        load_games(store, "tests", limit=2, checksums=True)


def test_alfworlds_own_tree_is_read(tree: Path, six_games: list[Game]) -> None:
    by_id = sorted(six_games, key=lambda game: game.id)
    for folder in (tree, tree / "json_2.1.1"):
        games = load_games(folder, "tests")
        assert [dataclasses.replace(game, convention={}) for game in by_id] == games
    # One copy of the texts that all games share.
    assert len({id(game.grammar) for game in games}) == 1


def test_in_a_tree_what_alfworld_leaves_out_is_left_out(tree: Path) -> None:
    split = tree / "json_2.1.1" / "tests"
    folders = sorted(split.iterdir())
    folders[0].rename(split / "pick_and_place_with_movable_recep-Mug-Pan-Shelf-1")
    folders[1].rename(split / "pick_and_place_simple-AppleSliced-None-Fridge-1")
    path = next(folders[2].glob("*/game.tw-pddl"))
    path.write_text(json.dumps({**json.loads(path.read_text()), "solvable": False}))
    assert len(load_games(tree, "tests")) == 3


def test_a_second_split_joins_the_first(store: Path, six_games: list[Game]) -> None:
    write_games([dataclasses.replace(game, split="more") for game in six_games[:2]], store)
    assert find_splits(store) == ("more", "tests")
    assert len(load_games(store, "more", checksums=True)) == 2
    assert load_games(store, "tests", checksums=True) == six_games


def test_nothing_is_overwritten(store: Path, six_games: list[Game]) -> None:
    with pytest.raises(GameStoreError, match="already has the split 'tests'"):
        write_games(six_games, store)
    other = dataclasses.replace(six_games[0], split="other", domain=six_games[0].domain + "\n")
    with pytest.raises(GameStoreError, match=r"pddl_domain\.pddl: differs"):
        write_games([other], store)
    (store / "manifest.json").unlink()
    with pytest.raises(GameStoreError, match="holds the official games, or was not finished"):
        write_games([dataclasses.replace(six_games[0], split="other")], store)


def test_games_that_cannot_share_a_folder(six_games: list[Game], tmp_path: Path) -> None:
    with pytest.raises(GameStoreError, match="no games to write"):
        write_games([], tmp_path)
    with pytest.raises(GameStoreError, match="two games of split 'tests' have the id"):
        write_games([six_games[0], six_games[0]], tmp_path)
    with pytest.raises(GameStoreError, match="differ in domain or grammar"):
        write_games([six_games[0], dataclasses.replace(six_games[1], grammar="another")], tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(GameStoreError, match="cannot write the games"):
        write_games(six_games, tmp_path / "file" / "inside")


def test_no_games(tmp_path: Path) -> None:
    with pytest.raises(GameStoreError, match="no such folder"):
        load_games(tmp_path / "nowhere", "train")
    with pytest.raises(GameStoreError, match=r"holds no games.*skill0 data generate"):
        load_games(tmp_path, "train")
    (tmp_path / "pddl_domain.pddl").write_text("")
    with pytest.raises(GameStoreError, match=r"no <split>\.jsonl\.xz"):
        load_games(tmp_path, "train")


def test_an_unknown_split_lists_those_there(store: Path) -> None:
    with pytest.raises(GameStoreError, match="no split 'train'; there is tests"):
        load_games(store, "train")


def test_a_short_split_is_an_error(store: Path) -> None:
    edit_lines(store, lambda lines: lines[:-1])
    with pytest.raises(GameStoreError, match="split 'tests' has 5 games, but 6 belong to it"):
        load_games(store, "tests")
    assert len(load_games(store, "tests", limit=5)) == 5


def test_official_names_stand_for_official_counts(store: Path, tree: Path) -> None:
    """Without a manifest, and in alfworld's own tree, "valid_seen" means all 140 games."""
    (store / "manifest.json").unlink()
    (store / "tests.jsonl.xz").rename(store / "valid_seen.jsonl.xz")
    (tree / "json_2.1.1" / "tests").rename(tree / "json_2.1.1" / "valid_seen")
    for folder in (store, tree):
        with pytest.raises(GameStoreError, match="split 'valid_seen' has 6 games, but 140 belong to it"):
            load_games(folder, "valid_seen")


def test_a_split_that_the_manifest_does_not_list_was_not_finished(store: Path) -> None:
    shutil.copy(store / "tests.jsonl.xz", store / "other.jsonl.xz")
    with pytest.raises(GameStoreError, match="does not list the split 'other'"):
        load_games(store, "other")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda line: line[:100], "not a JSON object"),
        (lambda line: "[]", "needs the texts"),
        (lambda line: line.replace('"task":', '"tusk":'), "needs the texts"),
        (lambda line: line.replace('"walkthrough": [', '"walkthrough": [3, '), "needs a walkthrough"),
        (lambda line: line.replace('"task_type": "', '"task_type": "un'), "unknown task type"),
        (lambda line: line.replace('"solvable": true', '"solvable": false'), "not marked as solvable"),
    ],
    ids=["cut off", "no object", "key missing", "number in plan", "task type", "unsolvable"],
)
def test_a_corrupt_line_is_named_with_its_number(store: Path, edit, message: str) -> None:
    edit_lines(store, lambda lines: [*lines[:2], edit(lines[2]), *lines[3:]])
    with pytest.raises(GameStoreError, match=rf"tests\.jsonl\.xz:3: .*{message}"):
        load_games(store, "tests")


def test_a_file_cut_off_is_named(store: Path) -> None:
    path = store / "tests.jsonl.xz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
        GameStoreError, match=r"tests\.jsonl\.xz:\d+: cannot be read on.*fetch the file again"
    ):
        load_games(store, "tests")


def test_a_missing_domain_is_named(store: Path) -> None:
    (store / "pddl_domain.pddl").unlink()
    with pytest.raises(GameStoreError, match=r"pddl_domain\.pddl: cannot be read"):
        load_games(store, "tests")


@pytest.mark.parametrize("content", ["", "[]", '{"format": "other", "splits": {}}', '{"splits": 3}'])
def test_a_corrupt_manifest_is_named(store: Path, content: str) -> None:
    (store / "manifest.json").write_text(content)
    with pytest.raises(GameStoreError, match=r"manifest\.json: "):
        load_games(store, "tests")


def test_an_id_twice_is_an_error(store: Path) -> None:
    edit_lines(store, lambda lines: [*lines[:5], lines[0]])
    with pytest.raises(GameStoreError, match="more than once"):
        load_games(store, "tests")


def test_a_changed_game_fails_its_checksum(store: Path, six_games: list[Game]) -> None:
    edit_lines(store, lambda lines: [lines[0].replace("go to", "run to"), *lines[1:]])
    games = load_games(store, "tests")
    with pytest.raises(GameStoreError, match=f"1 of 6 games .* first {six_games[0].id!r}"):
        verify_checksums(store, "tests", games)


def test_a_changed_convention_fails_the_files_checksum(store: Path) -> None:
    """A game file does not hold the convention, so the game's own checksum cannot tell."""
    edit_lines(store, lambda lines: [lines[0].replace('"mug": "', '"mug": "side'), *lines[1:]])
    with pytest.raises(GameStoreError, match="is not the one that was written"):
        verify_checksums(store, "tests", load_games(store, "tests"))


def test_a_set_without_checksums_says_so(tree: Path) -> None:
    assert verify_checksums(tree, "tests", load_games(tree, "tests")) == ""
    with pytest.raises(GameStoreError, match="no checksums for split 'tests'"):
        load_games(tree, "tests", checksums=True)


def test_a_corrupt_game_file_is_named(tree: Path) -> None:
    path = next(tree.rglob("game.tw-pddl"))
    path.write_text("{}")
    with pytest.raises(GameStoreError, match=r"game\.tw-pddl: not a game file"):
        load_games(tree, "tests")


def test_samples_depend_on_the_seed_only(six_games: list[Game]) -> None:
    sample = sample_games(six_games, 3, seed=1)
    assert sample_games(six_games[::-1], 3, seed=1) == sample
    assert len({game.id for game in sample}) == 3
    assert any(sample_games(six_games, 3, seed=seed) != sample for seed in range(2, 9))
    with pytest.raises(GameError, match="7 games were asked for, but there are only 6"):
        sample_games(six_games, 7, seed=1)


@given(st.text(st.characters(blacklist_characters='"\\', blacklist_categories=("Cs",)), min_size=1))
def test_a_grammar_splits_into_template_and_instruction(instruction: str) -> None:
    if TASK_SENTENCE in instruction:
        return
    grammar = f'before "{TASK_SENTENCE}{instruction}" after'
    assert split_grammar(grammar) == (f'before "{TASK_SENTENCE}{PLACEHOLDER}" after', instruction)


@pytest.mark.parametrize(
    "grammar", ["", TASK_SENTENCE, f'"{TASK_SENTENCE}"', f'"{TASK_SENTENCE}a" "{TASK_SENTENCE}b"']
)
def test_a_grammar_without_one_task_sentence_is_refused(grammar: str) -> None:
    with pytest.raises(GameError, match="no single rule"):
        split_grammar(grammar)
