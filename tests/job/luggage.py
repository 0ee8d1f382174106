"""What travels with a cluster's task, as a launch packs it."""

from __future__ import annotations

from pathlib import Path

from stagectl.recipe import Recipe, write_resolved
from stagectl.runs import EventLog, RunPaths


def pack(folder: Path, recipe: Recipe) -> Path:
    """The folder, with the recipe and the run's first event in it."""
    folder.mkdir(parents=True)
    made = RunPaths(folder)
    made.recipe.write_text(write_resolved(recipe))
    with EventLog(made.events, attempt=0) as log:
        log.append("run_created", run=made.run_id, **recipe.facts())
    return folder
