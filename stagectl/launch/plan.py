"""What `run` would do: the resolved plan, as plain data."""

from __future__ import annotations

from typing import Any

from stagectl.curriculum import Stage
from stagectl.curriculum.criteria import describe
from stagectl.job.training import training_command
from stagectl.recipe import Recipe


def plan_data(recipe: Recipe) -> dict[str, Any]:
    """The plan that `run --dry-run` shows (docs/json.md). Nothing that the recipe names is imported for it."""
    wandb = recipe.wandb
    return {
        "recipe": recipe.name,
        "run": recipe.run,
        "backend": recipe.launch.backend,
        "command": list(training_command(recipe)),
        "folder": str(recipe.folder),
        "imports": [recipe.target] if recipe.target else [],
        "total_timesteps": recipe.trainer.total_timesteps,
        "seed": recipe.trainer.seed,
        "trainer": dict(recipe.trainer.arguments),
        "stages": [_stage_plan(index, stage, recipe.target) for index, stage in enumerate(recipe.stages)],
        "wandb": "/".join(filter(None, [wandb.entity, wandb.project or "default project"])) if wandb.enabled else "off",
    }


def _stage_plan(index: int, stage: Stage, target: str | None) -> dict[str, Any]:
    return {
        "index": index,
        "name": stage.name,
        "curriculum": stage.curriculum,
        "criterion": _criterion(stage, target),
        "plays": [member.name for member in stage.parallel],
        "rehearse": dict(stage.rehearse),
        "max_steps": stage.max_steps,
        "on_timeout": None if stage.max_steps is None else f"goto {stage.goto}" if stage.goto else stage.on_timeout,
        "env_overrides": dict(stage.env_overrides),
    }


def _criterion(stage: Stage, target: str | None) -> str:
    """When the stage is left, and where that leads if not to the next one."""
    ways = [f"{edge.to} when {edge.when or describe(stage)}" for edge in stage.next]
    if stage.demote is not None:
        low = f"{stage.demote.below:g}" if stage.demote.below is not None else f"best - {stage.demote.margin:g}"
        ways.append(f"{stage.demote.to} when performance < {low} for {stage.demote.patience:,} steps")
    own = f"decided by {target}" if target and stage.transition_criteria else describe(stage)
    return "; ".join([*([] if stage.next else [own]), *ways])
