"""`stagectl validate`: check a recipe and start nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stagectl.cli.options import OverridesArgument, say, warn


def command(
    recipe: Annotated[Path, typer.Argument(help="The recipe's YAML file.", metavar="RECIPE", show_default=False)],
    overrides: OverridesArgument = None,
    imports: Annotated[
        bool, typer.Option("--import", help="Also import what it names: the class, the environments, SkyPilot.")
    ] = False,
) -> None:
    """Check a recipe and start nothing.

    Everything that is wrong is told with file, line and column."""
    from stagectl.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    if loaded.launch.backend == "sky":
        from stagectl.launch.cluster import planned_task

        task = planned_task(loaded)
        if imports:
            from stagectl.launch.sky import SkyPilot

            SkyPilot().check(task)
    if imports:
        from stagectl.launch import local

        local.check(loaded)
    warn(loaded)
    names = [stage.name for stage in loaded.stages]
    say(f"{recipe} is fine: {len(names)} stage{'s' * (len(names) > 1)}, {', '.join(names)}")
    if not imports:
        taken = ", and whether SkyPilot takes the task" if loaded.launch.backend == "sky" else ""
        say(f"what it names was not imported: whether the environments are there{taken}, --import tells")
