"""`run`'s options for a cluster, and what they do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from stagectl.cli.options import say

if TYPE_CHECKING:
    from stagectl.launch.cluster import CodeOptions
    from stagectl.launch.options import LaunchOptions
    from stagectl.recipe import Recipe
    from stagectl.runs import RunPaths

PANEL = "On a cluster (launch: {backend: sky})"

GpusOption = Annotated[
    int | None, typer.Option(help="GPUs a node, of the kind that the recipe names.", rich_help_panel=PANEL)
]
NodesOption = Annotated[int | None, typer.Option(help="How many nodes.", rich_help_panel=PANEL)]
CpusOption = Annotated[int | None, typer.Option(help="CPUs a node, at least.", rich_help_panel=PANEL)]
SpotOption = Annotated[
    bool | None, typer.Option("--spot/--no-spot", help="Machines that may be taken away.", rich_help_panel=PANEL)
]
HoursOption = Annotated[
    float | None, typer.Option(help="Stop the run after so many hours, in good order.", rich_help_panel=PANEL)
]
GitRefOption = Annotated[
    str | None, typer.Option(help="Send the code of this commit, not the folder's.", rich_help_panel=PANEL)
]
SkipGitOption = Annotated[
    bool, typer.Option("--skip-git-check", help="Launch what is not committed and pushed.", rich_help_panel=PANEL)
]
CopiesOption = Annotated[
    int, typer.Option(help="Launch so many runs, each with a seed of its own.", min=1, rich_help_panel=PANEL)
]
ConfirmOption = Annotated[
    bool, typer.Option("-c", "--confirm", help="Show the machine and its price, and ask.", rich_help_panel=PANEL)
]


def start_on_cluster(recipe: Recipe, code: CodeOptions) -> RunPaths:
    """Submit the recipe's run and have it followed."""
    from stagectl.launch.cluster import start
    from stagectl.launch.sky import SkyPilot

    say("submitting …")
    return start(recipe, SkyPilot(), code)


def confirm(recipe: Recipe) -> None:
    """Tell what the launch would take and ask whether to; typer.Abort where not."""
    from stagectl.launch.cluster import planned_task
    from stagectl.launch.sky import SkyPilot

    say(SkyPilot().offer(planned_task(recipe)).strip())
    typer.confirm(f"launch {recipe.run or recipe.name}?", abort=True, err=True)


def show_task(recipe: Recipe) -> None:
    """Print the task that would be sent, as YAML; its secrets are hidden."""
    import yaml

    from stagectl.launch.cluster import planned_task

    class Plain(yaml.SafeDumper):
        """Scripts as they are read: a line a line."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Plain.add_representer(str, text)
    yaml.dump(planned_task(recipe), sys.stdout, Plain, sort_keys=False, allow_unicode=True)


def laid_over(recipe: Recipe, options: LaunchOptions) -> Recipe:
    """The recipe with the command line's options in its launch block."""
    from dataclasses import replace

    from stagectl.launch.options import with_options

    return replace(recipe, launch=with_options(recipe.launch, options))


def copies_of(recipe: Recipe, number: int) -> list[Recipe]:
    """So many recipes, which differ in their seed, and in their run's id where they name one."""
    from dataclasses import replace

    if number == 1:
        return [recipe]
    seeds = [recipe.trainer.seed + index for index in range(number)]
    names = [recipe.run and f"{recipe.run[:36]}.{seed}" for seed in seeds]
    return [
        replace(recipe, run=name, trainer=replace(recipe.trainer, seed=seed))
        for name, seed in zip(names, seeds, strict=True)
    ]
