"""What `run` would do: the resolved plan, as plain data."""

from __future__ import annotations

from typing import Any

from stagectl.curriculum import Stage
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
        "max_steps": stage.max_steps,
        "on_timeout": stage.on_timeout if stage.max_steps is not None else None,
        "env_overrides": dict(stage.env_overrides),
    }


def _criterion(stage: Stage, target: str | None) -> str:
    if stage.transition_criteria is None:
        return "until the step budget is spent"
    if target is not None:
        return f"decided by {target}"
    if stage.transition_criteria == "performance":
        return f"performance >= {stage.performance_threshold:g} after {stage.min_episodes} episodes"
    return f"steps >= {stage.time_threshold_steps:,}"
