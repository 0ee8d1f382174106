"""Options that several commands share, and how data is printed."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from stagectl.recipe import Recipe

Output = Literal["table", "json"]
WatchOutput = Literal["table", "json", "jsonl"]
Shown = Literal["auto", "rich", "plain", "quiet"]

OutputOption = Annotated[Output, typer.Option("-o", "--output", help="What to print.")]
ProgressOption = Annotated[
    Shown, typer.Option("--progress", help="How to show progress; auto is plain lines off a terminal.")
]


def complete_run(beginning: str) -> list[str]:
    """The ids that the shell offers; folders' names alone, so that it answers at once."""
    from stagectl.runs import run_names

    return [*(["latest"] if "latest".startswith(beginning) else []), *sorted(run_names(beginning))]


RUN_HELP = "A run's id, the beginning of one, or `latest`."
RunArgument = Annotated[str, typer.Argument(help=RUN_HELP, metavar="RUN_ID", autocompletion=complete_run)]
OverridesArgument = Annotated[
    list[str] | None,
    typer.Argument(help="Values laid over the recipe's: trainer.seed=3.", metavar="KEY=VALUE"),
]


def given(context: typer.Context) -> set[str]:
    """The options that stand on the command line, by their long names."""
    sources = {param: context.get_parameter_source(param.name) for param in context.command.params if param.name}
    return {param.opts[-1] for param, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


def print_json(data: dict[str, Any], *, line: bool = False) -> None:
    """One JSON object with its schema's version; nothing else goes to standard output."""
    text = json.dumps({"schema": 1, **data}, allow_nan=False, indent=None if line else 2)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def warn(recipe: Recipe) -> None:
    """Tell a recipe's criteria that make no sense."""
    for line in recipe.warnings():
        say(f"warning: {line}")


def say(text: str) -> None:
    """A line for the person at the terminal; standard output is kept for results."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
