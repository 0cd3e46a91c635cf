"""The fast ALFWorld engine: textworld's `PddlEnv` over the same C++ state, without its repeated work.

| the stock engine | here |
| --- | --- |
| translates the PDDL four times a load and reset | once a game, kept in memory and on disk (translation.py) |
| parses the grammar at every load and its templates at every step | once a process (grammar.py) |
| derives the text of every admissible command at every step | once for each operator of a game |
| builds the initial facts and the intro at every reset | once a game, then copies them |
| collects every piece of information | what was asked for |

Observations, admissible commands, facts, scores and `won` are equal, which
`tests/envs/alfworld/test_engine_equivalence.py` checks by random walks over all task types. Left out: the
planner (`policy_commands`), which the stock engine has.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import fast_downward
from textworld.core import EnvInfos, Environment, GameState
from textworld.envs.pddl.pddl import PddlEnv
from textworld.generator.game import EntityInfo
from textworld.logic import Placeholder, Type, Variable

from skill0.envs.alfworld.games import PLACEHOLDER, split_grammar
from skill0.envs.alfworld.grammar import Grammar, Scene, grammar_for
from skill0.envs.alfworld.library import borrow_library
from skill0.envs.alfworld.state import Facts, FastState, new_fact, parse_atom
from skill0.envs.alfworld.translation import Translation, cache_in, translate
from skill0.envs.alfworld.upstream import ENGINE_LOCK, upstream
from skill0.errors import EnvError, GameError

NOTHING_HAPPENS = "Nothing happens."
# Loaded games that a process keeps, 1-5 MB each: enough for all groups that one worker plays side by side.
LOADED_GAMES = 32


class Command(NamedTuple):
    """An operator as the player sees it: what to type, which rule answers, which entities it is about."""

    text: str
    feedback: str
    mapping: dict[Placeholder, Variable]


class LoadedGame:
    """All that can be known of a game before it is played, and what was learnt while playing it."""

    def __init__(self, translation: Translation, grammar: Grammar):
        self.translation = translation
        self.grammar = grammar
        self.entities: dict[str, EntityInfo] = {}
        self._initial: Facts | None = None
        self._intro = ""
        self._commands: dict[bytes, Command] = {}
        for name, supertypes in translation.types:
            if name not in {known.name for known in grammar.logic.types}:
                grammar.logic.types.add(Type(name, list(supertypes)))
        self._texts: dict[tuple[str, ...], str] = {}
        self._needed = {name: self._needed_arguments(name) for name in grammar.actions}

    def start(self, library: Any) -> FastState:
        """The initial state, which is also loaded into the C++ library."""
        library.load_sas(self.translation.sas)
        if self._initial is None:
            facts = self._read_initial_facts(library)
            self.entities = self._name_entities(facts)
            self._initial = facts  # last: another thread that sees it finds the entities too
        return FastState(library, self.grammar, self.translation.object_types, self._initial.copy())

    def intro(self, state: FastState) -> str:
        """The text of the first observation, with the placeholder for the instruction in it."""
        if not self._intro:
            self._intro = self.grammar.derive("#intro#", Scene(state, self.entities, {}))
        return self._intro

    def command(self, operator_name: bytes, state: FastState) -> Command:
        """The command of a ground operator such as b"openobject agent1 loc_bar_3 cabinet_bar_1"."""
        known = self._commands.get(operator_name)
        if known is not None:
            return known
        name, *arguments = operator_name.decode("cp1252").split()
        action = self.grammar.actions[name]
        parameters = self.translation.parameters[name]
        mapping = {
            Placeholder(parameter, kind): Variable(argument, kind)
            for (parameter, kind), argument in zip(parameters, arguments, strict=False)
        }
        scene = Scene(state, self.entities, mapping)
        needed = self._needed[name]
        if needed is None:
            return Command(self.grammar.derive(action.template, scene), action.feedback, mapping)
        key = (name, *(arguments[position] for position in needed))
        if key not in self._texts:
            self._texts[key] = self.grammar.derive(action.template, scene)
        self._commands[operator_name] = Command(self._texts[key], action.feedback, mapping)
        return self._commands[operator_name]

    def _needed_arguments(self, name: str) -> tuple[int, ...] | None:
        """Which arguments of an action its command's text depends on ("go to" has 4, its text needs 2);
        `None` when it also depends on facts that actions change, so that it cannot be kept."""
        asked = self.grammar.asks(self.grammar.actions[name].template)
        if asked is None or asked.predicates & self.translation.changing:
            return None
        parameters = [parameter for parameter, _ in self.translation.parameters.get(name, ())]
        # A query's other placeholders stand for anything that no argument stands for: then all count.
        closed = asked.placeholders <= set(parameters)
        return tuple(i for i, name in enumerate(parameters) if not closed or name in asked.placeholders)

    def _read_initial_facts(self, library: Any) -> Facts:
        types = self.translation.object_types
        facts = Facts(defaultdict(set), {}, defaultdict(set), Counter())
        state = FastState(library, self.grammar, types, facts)
        for name, arguments in self.translation.initial_facts:
            state.add_fact(
                new_fact(name, tuple(Variable(argument, types[argument]) for argument in arguments))
            )
        atoms = (fast_downward.Atom * library.get_state_size())()
        library.get_state(atoms)
        for atom in atoms:
            fact = new_fact(*parse_atom(atom.name, types))
            if not fact.is_negation:
                state.add_fact(fact)
        return facts

    def _name_entities(self, facts: Facts) -> dict[str, EntityInfo]:
        """Every entity that a true fact mentions, named as alfworld names it ("cabinet 2")."""
        entities = {
            variable.name: EntityInfo(variable.name, variable.type)
            for same in facts.by_signature.values()
            for fact in same
            for variable in fact.arguments
        }
        demangler = upstream().demangler(game_infos=entities, shuffle=False)
        entity: Any
        for entity in entities.values():
            entity.name = demangler.demangle_alfred_name(entity.id)
            entity.definite, entity.indefinite = "the", "a"
        return entities


@lru_cache(maxsize=LOADED_GAMES)
def load_game(domain: str, template: str, problem: str, cache_dir: str | None) -> LoadedGame:
    """The game, translated and ready, shared by all engines of the process. Hold `ENGINE_LOCK`.

    Raises:
        GameError: see `translate` and `Grammar`.
    """
    grammar = grammar_for(template, domain)
    translation = cache_in(cache_dir).get(domain, problem) if cache_dir else translate(domain, problem)
    return LoadedGame(translation, grammar)


class FastPddlEnv(PddlEnv):
    """Takes the place of `AlfredDemangler(PddlEnv(infos), shuffle=False)`.

    Args:
        infos: The information wanted in the state; `policy_commands` is refused.
        cache_dir: Folder for translations; `None` keeps them in memory only.

    Raises:
        EnvError: the planner was asked for.
    """

    def __init__(self, infos: EnvInfos | None = None, cache_dir: str | None = None):
        # Not the parent's constructor, which would load one more copy of the library.
        Environment.__init__(self, infos)
        if self.request_infos.policy_commands:
            raise EnvError("the fast engine has no planner: drop policy_commands, or use the stock engine")
        self._cache_dir = cache_dir
        self.downward_lib = borrow_library()

    def load(self, filename_or_data: str | Mapping[str, Any]) -> None:
        """Load a `game.tw-pddl` file, or the dictionary in it.

        Raises:
            GameError: the game is corrupt or unsolvable.
        """
        if isinstance(filename_or_data, Mapping):
            data, self._game_file = filename_or_data, None
        else:
            with open(filename_or_data, encoding="utf-8") as file:
                data = json.load(file)
            self._game_file = filename_or_data
        missing = {"pddl_domain", "grammar", "pddl_problem"} - set(data)
        if missing:
            raise GameError(f"the game has no {', '.join(sorted(missing))}")
        template, self._instruction = split_grammar(data["grammar"])
        with ENGINE_LOCK:
            self._game = load_game(data["pddl_domain"], template, data["pddl_problem"], self._cache_dir)
        self._game_data = data
        self.walkthrough = data.get("walkthrough")
        self._start()

    def _start(self) -> None:
        self._pddl_state = self._game.start(self.downward_lib)
        self._entity_infos = self._game.entities
        self._at_start = True

    def reset(self) -> GameState:
        if not self._at_start:
            self._start()
        self._at_start = False
        self.prev_state = None
        self._last_action = None
        self._moves = 0
        self.state = GameState()
        self._describe(self._game.intro(self._pddl_state).replace(PLACEHOLDER, self._instruction))
        if "walkthrough" in self.request_infos.extras:
            self.state["extra.walkthrough"] = self.walkthrough
        return self.state

    def step(self, command: str) -> tuple[GameState, int, bool]:
        command = command.strip()
        self.prev_state, self.state = self.state, GameState()
        self.state.last_command = command
        self._at_start = False
        feedback = NOTHING_HAPPENS
        chosen = self._valid.get(command)
        if chosen is not None:
            operator, action = chosen
            self._pddl_state.apply(operator)
            scene = Scene(self._pddl_state, self._entity_infos, action.mapping)
            feedback = self._game.grammar.derive(action.feedback, scene)
            self._moves += 1
        self._describe(feedback)
        if "walkthrough" in self.request_infos.extras:
            self.state["extra.walkthrough"] = self.walkthrough
        self.state["score"] = int(self.state["won"])
        self.state["done"] = self.state["won"]
        return self.state, self.state["score"], self.state["done"]

    def _describe(self, feedback: str) -> None:
        """Fill the state after a move."""
        wanted = self.request_infos
        self.state.feedback = self.state.raw = feedback
        self.state["won"] = self._pddl_state.check_goal()
        self.state["lost"] = False
        self._valid: dict[str, tuple[Any, Command]] = {}
        for name, operator in self._pddl_state.applicable_operators().items():
            command = self._game.command(name, self._pddl_state)
            self._valid.setdefault(command.text, (operator, command))
        self.state["admissible_commands"] = sorted(self._valid)
        if wanted.facts:
            self.state["_facts"] = list(self._pddl_state.facts)
            self.state["facts"] = [self._get_human_readable_fact(fact) for fact in self.state["_facts"]]
        if wanted.moves:
            self.state["moves"] = self._moves
        if wanted.command_templates:
            self.state["command_templates"] = sorted(
                {a.template for a in self._game.grammar.actions.values()}
            )
