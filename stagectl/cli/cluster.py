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
YesOption = Annotated[bool, typer.Option("-y", "--yes", help="Ask nothing: -c tells, and goes on.")]


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


def ask_first(recipe: Recipe, copies: int, git_ref: str | None, *, confirm: bool, yes: bool) -> None:
    """With --confirm: tell what the launch would take, and ask whether to; typer.Exit(3) where not.

    Raises:
        UsageError: An option would do nothing, or wait for an answer for ever.
    """
    from stagectl.errors import UsageError

    if recipe.launch.backend != "sky":
        for option in [*(["--git-ref"] if git_ref else []), *(["--confirm"] if confirm else [])]:
            raise UsageError(f"{option} is for a cluster", hint="the recipe says launch.backend: local")
    if yes and not confirm:
        raise UsageError("--yes goes with --confirm", hint="without --confirm nothing is asked")
    if confirm and not yes and not sys.stdin.isatty():
        raise UsageError("--confirm asks, and there is no terminal", hint="leave --confirm out, or add --yes")
    if confirm:
        runs = f"{copies} runs" if copies > 1 else recipe.run or recipe.name
        _tell_price(recipe, runs)
        if not yes and not _agreed(f"launch {runs}?"):
            raise typer.Exit(3)


def _agreed(question: str) -> bool:
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:  # Ctrl-C or Ctrl-D
        return False


def _tell_price(recipe: Recipe, runs: str) -> None:
    from stagectl.launch.cluster import planned_task
    from stagectl.launch.sky import SkyPilot
    from stagectl.view.words import steps

    stages, budget = len(recipe.stages), recipe.trainer.total_timesteps
    size = f"{stages} stage{'' if stages == 1 else 's'}{'' if budget is None else f', {steps(budget)} steps'}"
    say(f"{runs}: {size}; the machine:")
    say(SkyPilot().offer(planned_task(recipe)).strip())


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


def say_what_stops(recipe: Recipe, code: tuple[str | None, bool]) -> None:
    """Tell what would stop a launch now. Raises RefusedTaskError. `code`: --git-ref and --skip-git-check."""
    from stagectl.launch.cluster import CodeOptions, hindrances
    from stagectl.launch.sky import SkyPilot

    for error in hindrances(recipe, SkyPilot(), CodeOptions(*code)):
        say(f"a launch would stop now: {error}")


def resume_on_cluster(paths: RunPaths, recipe: Recipe, code: tuple[str | None, bool], *, accept: bool) -> None:
    """Go on with a run that is on a cluster, or was about to be. `code`: --git-ref and --skip-git-check."""
    from stagectl.launch.cluster import CodeOptions
    from stagectl.launch.resume_away import resume_away
    from stagectl.launch.sky import SkyPilot

    say("submitting …")
    resume_away(paths, recipe, SkyPilot(), CodeOptions(*code), accept_changes=accept)
    say(f"{paths.run_id} goes on, on its cluster")


def follow_if_away(paths: RunPaths) -> bool:
    """Whether the run was submitted to a cluster; if so it is followed from here on, so that its files catch up."""
    from stagectl.runs import read_json
    from stagectl.runs.away import KEY

    if KEY not in read_json(paths.identity):
        return False
    from stagectl.launch.follow import ensure_followed

    ensure_followed(paths)
    return True


def refuse_if_managed(paths: RunPaths) -> None:
    """Raises UsageError for a managed job's run, which takes no requests."""
    from stagectl.errors import UsageError
    from stagectl.runs import read_away, read_json

    away = read_away(read_json(paths.identity))
    if away is not None and away.cluster is None:
        message = f"{paths.run_id} is a managed job, and SkyPilot has no way to bring it a request"
        raise UsageError(message, hint="only a recipe's criteria move it on; without `managed: true` there is a way")


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
