"""`run`'s options for a cluster, and what they do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from stagectl.cli.options import say

if TYPE_CHECKING:
    from stagectl.recipe import Recipe
    from stagectl.runs import RunPaths

GpusOption = Annotated[
    int | None, typer.Option("--gpus", help="GPUs a node, of the kind that the recipe names.", metavar="N")
]
NodesOption = Annotated[int | None, typer.Option("--nodes", help="How many nodes.", metavar="N")]
CpusOption = Annotated[int | None, typer.Option("--cpus", help="CPUs a node, at least.", metavar="N")]
SpotOption = Annotated[bool | None, typer.Option("--spot/--no-spot", help="Machines that may be taken away.")]
HoursOption = Annotated[
    float | None, typer.Option("--timeout-hours", help="Stop the run after so long, in good order.", metavar="H")
]
GitRefOption = Annotated[
    str | None, typer.Option("--git-ref", help="Send that commit's code, not the folder's.", metavar="REF")
]
SkipGitOption = Annotated[bool, typer.Option("--skip-git-check", help="Launch what is not committed and pushed.")]
CopiesOption = Annotated[
    int, typer.Option("--copies", help="Launch N runs, each with a seed of its own.", metavar="N", min=1)
]
ConfirmOption = Annotated[bool, typer.Option("-c", "--confirm", help="Tell the machine and its price, and ask.")]


def with_cluster_options(
    recipe: Recipe, given: tuple[int | None, int | None, int | None, bool | None, float | None]
) -> Recipe:
    """The recipe with --gpus, --nodes, --cpus, --spot and --timeout-hours in its launch block."""
    if given == (None,) * 5:
        return recipe
    from dataclasses import replace

    from stagectl.launch.options import LaunchOptions, with_options

    return replace(recipe, launch=with_options(recipe.launch, LaunchOptions(*given)))


def start_on_cluster(recipe: Recipe, code: tuple[str | None, bool]) -> RunPaths:
    """Submit the recipe's run and have it followed. `code`: --git-ref and --skip-git-check."""
    from stagectl.launch.cluster import CodeOptions, start
    from stagectl.launch.sky import SkyPilot

    say("submitting …")
    return start(recipe, SkyPilot(), CodeOptions(*code))


def ask(recipe: Recipe) -> None:
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


def goes_on_on_cluster(paths: RunPaths) -> bool:
    """Go on with a run that is on a cluster, or was about to be: found there by its name, else submitted.

    False: the run is one of this machine's.

    Raises:
        UsageError: It is over.
    """
    from stagectl.errors import UsageError
    from stagectl.job.stored import stored_recipe
    from stagectl.launch.cluster import resubmit
    from stagectl.launch.sky import SkyPilot
    from stagectl.runs import read_status

    recipe = stored_recipe(paths)
    if recipe.launch.backend != "sky":
        return False
    status = read_status(paths)
    if status.ended is not None:
        message = f"the run {paths.run_id} is over on its cluster: {status.ended['outcome']}"
        raise UsageError(message, hint="begin a new one: stagectl run RECIPE")
    resubmit(paths, recipe, SkyPilot())
    say(f"{paths.run_id} goes on, on its cluster")
    return True


def follow_if_away(paths: RunPaths) -> None:
    """Have a run on a cluster followed, so that its files here catch up; nothing for a run of this machine."""
    from stagectl.runs import read_json
    from stagectl.runs.away import KEY

    if KEY in read_json(paths.identity):
        from stagectl.launch.follow import ensure_followed

        ensure_followed(paths)


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
