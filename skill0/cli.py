"""The `skill0` command: train, warmup, evaluate, render, skills, data, serve-retriever, doctor.

Commands are thin: each checks its arguments, calls one library function and prints what it returns.
Heavy imports happen inside the commands, so that `skill0 --help` is instant.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from skill0.commands import data, render, skills
from skill0.errors import ConfigError, Skill0Error, tell

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train agents with skills in context until they act without them.",
)
app.add_typer(skills.app, name="skills", help="Show, check and convert skill banks.")
app.add_typer(data.app, name="data", help="Generate, verify and import games.")
app.add_typer(render.app, name="render", help="Write what the model sees as PNG.")


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A YAML recipe, for instance curricula/household_cpu.yaml.")],
    games: Annotated[
        Path | None,
        typer.Option(help="Official games instead of the recipe's: a packed store or $ALFWORLD_DATA."),
    ] = None,
    skills: Annotated[Path | None, typer.Option(help="Another skill bank.")] = None,
    output: Annotated[Path | None, typer.Option(help="Another run folder.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Another number of optimizer steps.")] = None,
) -> None:
    """Run a whole recipe: warm-up, curriculum, evaluation before and after. Resumes an unfinished run."""
    from skill0.training.processes import run_as_program
    from skill0.training.recipe import load_recipe
    from skill0.training.run import run_recipe

    def run() -> None:
        run_recipe(
            load_recipe(
                recipe,
                games=str(games) if games else None,
                skills=str(skills) if skills else None,
                output_dir=str(output) if output else None,
                seed=seed,
                max_steps=max_steps,
            )
        )

    raise typer.Exit(run_as_program(run))


@app.command()
def warmup(
    recipe: Annotated[Path, typer.Argument(help="A YAML recipe with a warmup section.")],
    output: Annotated[Path, typer.Option(help="The policy folder to write; empty or missing.")],
    games: Annotated[
        Path | None, typer.Option(help="A packed store or $ALFWORLD_DATA, instead of the recipe's games.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed than the recipe's.")] = None,
    check: Annotated[
        int, typer.Option(min=0, help="Held-out households to measure reading with; 0 for none.")
    ] = 0,
    resume: Annotated[bool, typer.Option(help="Take up an unfinished warm-up into this folder.")] = True,
) -> None:
    """Run only the warm-up of a recipe: a tiny policy learns to read and to act, by imitation."""
    from skill0.commands.warmup import warm_up_policy

    warm_up_policy(recipe, output, games, seed, check, resume)


_ENVIRONMENTS = ("alfworld", "search", "almanac")
_EVALUATE_ONLY_IN = {
    **dict.fromkeys(("games", "split", "kind", "convention_seed"), ("alfworld",)),
    **dict.fromkeys(("questions", "corpus", "server_form", "server_patience"), ("search",)),
    **dict.fromkeys(("compiled", "passages", "published"), ("search",)),
    "arms": ("alfworld", "almanac"),
}
"""Options of `evaluate` that mean nothing in other environments than these."""


def _refuse_unused(context: typer.Context, env: str) -> None:
    """An option that was given and means nothing here is an error."""
    if env not in _ENVIRONMENTS:
        raise ConfigError(f"--env {env}: must be one of {', '.join(_ENVIRONMENTS)}")
    for option, where in _EVALUATE_ONLY_IN.items():
        source = context.get_parameter_source(option)
        if env not in where and source is not None and source.name == "COMMANDLINE":
            name = option.replace("_", "-")
            raise ConfigError(
                f"--{name} means nothing with --env {env}, only with {' or '.join(where)}: leave it out"
            )


@app.command()
def evaluate(
    context: typer.Context,
    policy: Annotated[
        str,
        typer.Argument(
            help="A model folder, shipped/household, a Hub name, or 'random', the baseline; in search "
            "'scripted', or one of scripted/random, /title, /question and /gold."
        ),
    ],
    env: Annotated[str, typer.Option(help="alfworld (the default), search or almanac.")] = "alfworld",
    games: Annotated[
        Path | None,
        typer.Option(help="A packed store or $ALFWORLD_DATA; generated households when not given."),
    ] = None,
    split: Annotated[str, typer.Option(help="Which split of the games.")] = "valid_seen",
    skills: Annotated[
        Path | None, typer.Option(help="A skill bank; adds the arm with all of its files.")
    ] = None,
    tasks: Annotated[int | None, typer.Option(help="Only this many tasks (of households: 48).")] = None,
    kind: Annotated[
        str, typer.Option(help="Generated households: 'facts' (where things are) or 'procedure'.")
    ] = "facts",
    arms: Annotated[
        str | None,
        typer.Option(
            help="Does it read? Any of right,blank,wrong,half,shuffled,text and cells such as 6x12, with "
            "commas: what the page of a household tells. Random and a blind expert stand beside them."
        ),
    ] = None,
    convention_seed: Annotated[
        int | None,
        typer.Option(help="One convention for all households; else 0, with --arms a new one for each."),
    ] = None,
    questions: Annotated[
        list[str] | None,
        typer.Option(
            help="In search: a file of questions, may be repeated; else held-out facts. nq=FILE says which "
            "set it is, where neither its rows nor its name do."
        ),
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(help="In search: their passages, a file, a folder with an index, or a server's URL."),
    ] = None,
    server_form: Annotated[str, typer.Option(help="The server's wire form.")] = "search_r1",
    server_patience: Annotated[
        float, typer.Option(help="Seconds that a search of the server may take, repetitions and all.")
    ] = 120.0,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="In search: BM25 compiled by numba, the same in less time.")
    ] = False,
    passages: Annotated[int, typer.Option(help="In search: passages for a query.")] = 3,
    published: Annotated[
        bool, typer.Option("--published", help="In search: score, show and sort questions as published.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of households and sampling.")] = 0,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.0,
    workers: Annotated[int, typer.Option(help="Environment processes; 0 runs them in this one.")] = 2,
    batch_size: Annotated[int, typer.Option(help="Episodes side by side.")] = 48,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the whole report here.")] = None,
) -> None:
    """Every task of a split exactly once: without skills and, given a bank, with them; or under --arms."""
    _refuse_unused(context, env)
    if env == "search":
        from skill0.commands.evaluate_search import SearchEvaluation, evaluate_search, search_settings
        from skill0.retrieval.http_settings import HttpSettings

        server = HttpSettings(form=server_form, patience_s=server_patience)  # type: ignore[arg-type]
        wanted = SearchEvaluation(
            tuple(questions or ()), corpus, skills, tasks, published, server, compiled,
            search_settings(passages, published), seed, temperature, workers, batch_size,
        )  # fmt: skip
        return evaluate_search(policy, wanted, json_file)
    told = arms.split(",") if arms else ()
    if env == "almanac":
        from skill0.commands.evaluate_almanac import evaluate_almanac

        return evaluate_almanac(
            policy, skills=skills, tasks=tasks, arms=told, seed=seed, temperature=temperature,
            workers=workers, batch_size=batch_size, json_file=json_file,
        )  # fmt: skip
    from skill0.commands.evaluate import evaluate_policy

    return evaluate_policy(
        policy, games=games, split=split, skills=skills, tasks=tasks,
        kind=kind, arms=told, convention_seed=convention_seed, seed=seed,
        temperature=temperature, workers=workers, batch_size=batch_size, json_file=json_file,
    )  # fmt: skip


@app.command("serve-retriever")
def serve_retriever(
    source: Annotated[
        Path, typer.Argument(help="An index (skill0 data index), or a small corpus to index in memory.")
    ],
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines ask.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    topk: Annotated[int, typer.Option(help="Passages for a query that does not say how many.")] = 3,
    workers: Annotated[int, typer.Option(help="Processes that search.")] = 1,
    queue: Annotated[int, typer.Option(help="Queries that may wait in each; more get status 503.")] = 1024,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="BM25 search compiled by numba: the same answers in less time.")
    ] = False,
    access_log: Annotated[
        str | None, typer.Option(help="A file for one JSON line about each request; '-' is standard output.")
    ] = None,
) -> None:
    """Answer searches over HTTP, as Search-R1's and SkillZero's servers do: POST /retrieve, GET /health."""
    from skill0.commands.serve_retriever import serve_source

    serve_source(source, host, port, workers, compiled, topk=topk, queue=queue, access_log=access_log)


@app.command()
def doctor(
    recipe: Annotated[Path | None, typer.Argument(help="A recipe, whose data are looked for, too.")] = None,
) -> None:
    """Print versions, devices, compilers and data, and what would fail, with the fix.

    Exit code: 1 when training could not start.
    """
    from skill0.commands.doctor import print_report

    raise typer.Exit(0 if print_report(recipe) else 1)


def main() -> None:
    """Errors that skill0 raises on purpose are messages, not tracebacks."""
    try:
        app()
    except Skill0Error as error:
        sys.exit(tell(error))


if __name__ == "__main__":
    main()
