"""What a run's folder keeps for those who carry it: its recipe, its submission, and the process that trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stagectl.errors import JobError
from stagectl.recipe import Recipe, fingerprint, read_resolved, write_resolved
from stagectl.runs import RunPaths, is_same_process, read_json, read_status, write_json, write_whole

SUBMISSION_VARIABLE = "STAGECTL_SUBMISSION"  # tells a job on a cluster the name under which it was submitted


def stored_recipe(paths: RunPaths, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe that the run keeps, with `KEY=VALUE` laid over it. Raises RecipeError."""
    folder = read_json(paths.identity).get("folder", paths.folder)
    return read_resolved(paths.recipe, folder=Path(folder), overrides=overrides)


def go_on_under(paths: RunPaths, recipe: Recipe) -> None:
    """Have the run go on in the recipe's folder, and under it where it is another one; checkpoints stay good."""
    before, identity = stored_recipe(paths), read_json(paths.identity)
    identity["folder"] = str(recipe.folder)
    recipe = replace(recipe, run=before.run)
    if write_resolved(recipe) != write_resolved(before):
        identity["accepted_recipes"] = [fingerprint(before), *identity.get("accepted_recipes", [])]
        write_whole(paths.recipe, write_resolved(recipe))
    write_json(paths.identity, identity)


def note_submission(paths: RunPaths, name: str, now: float) -> float:
    """Keep which submission to its cluster the run is carried by; since when it is, on whatever machine."""
    identity = read_json(paths.identity)
    if identity.get("submission", {}).get("name") != name:
        identity["submission"] = {"name": name, "time": round(now, 3), "after": read_status(paths).seq}
        write_json(paths.identity, identity)
    return float(identity["submission"]["time"])


def submission_ended(paths: RunPaths) -> bool:
    """Whether the run has ended since it was submitted to its cluster last; a run that is not on one has not."""
    ended, submission = read_status(paths).ended, read_json(paths.identity).get("submission")
    return ended is not None and submission is not None and ended["seq"] > submission["after"]


def stored_trainer(paths: RunPaths) -> dict[str, Any]:
    """Who the training process is that the run's job started, and that still lives.

    Raises:
        JobError: What trains is not that process.
    """
    trainer = read_json(paths.identity).get("trainer") or {}
    if not is_same_process(trainer):
        message = f"{paths.run_id}: its job process is gone, and the process that trains is not the one that it started"
        raise JobError(message, hint=f"end whatever holds {paths.events}")
    return trainer
