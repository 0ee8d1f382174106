"""What `run` would do: the resolved plan, as plain data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from stagectl.curriculum import Stage, members_of, probabilities
from stagectl.curriculum.criteria import describe
from stagectl.curriculum.stages import Ramp, Score
from stagectl.job.training import training_command
from stagectl.launch.cluster import planned_task
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
        "imports": _imports(recipe),
        "total_timesteps": recipe.trainer.total_timesteps,
        "seed": recipe.trainer.seed,
        "checkpoint_every": recipe.trainer.checkpoint_every,
        "keep_checkpoints": recipe.trainer.keep_checkpoints,
        "trainer": dict(recipe.trainer.arguments),
        "start": recipe.curriculum.get("start", recipe.stages[0].name),
        "stages": [
            {**_stage_plan(stage, recipe.target), "plays": _plays(recipe.stages, index), "index": index}
            for index, stage in enumerate(recipe.stages)
        ],
        "task": planned_task(recipe) if recipe.launch.backend == "sky" else None,
        "wandb": "/".join(filter(None, [wandb.entity, wandb.project or "default project"])) if wandb.enabled else "off",
    }


def _imports(recipe: Recipe) -> list[str]:
    """What of the user's the training process imports: the curriculum's class, and environments by their module."""
    played = [member.curriculum for _, member in members_of(recipe.stages)]
    return list(dict.fromkeys([*filter(None, [recipe.target]), *(name for name in played if ":" in name)]))


def _stage_plan(stage: Stage, target: str | None) -> dict[str, Any]:
    return {
        "name": stage.name,
        "curriculum": stage.curriculum,
        "criterion": _criterion(stage, target),
        "members": [_stage_plan(member, None) for member in stage.parallel],
        "rehearse": dict(stage.rehearse),
        "max_steps": stage.max_steps,
        "on_timeout": None if stage.max_steps is None else f"goto {stage.goto}" if stage.goto else stage.on_timeout,
        "max_visits": stage.max_visits,
        "score": _score(stage.score),
        "transition_smoothing": stage.transition_smoothing,
        "ema": stage.ema,
        "env_overrides": dict(stage.env_overrides),
        "trainer": {key: _setting(value) for key, value in stage.trainer.items()},
        "on_enter": {"reset": list(stage.on_enter.reset), "warmup_steps": stage.on_enter.warmup_steps},
        "evaluate": None if stage.evaluate is None else asdict(stage.evaluate),
    }


def _plays(stages: tuple[Stage, ...], index: int) -> dict[str, float]:
    """The shares of the episodes, by the name of what is played."""
    names = [member.name for _, member in members_of(stages)]
    shares = zip(names, probabilities(stages, index), strict=True)
    return {name: round(share, 6) for name, share in shares if share}


def _score(score: Score) -> Any:
    """As the recipe writes it."""
    return score.kind if score.low is None else {score.kind: [score.low, score.high]}


def _setting(value: Any) -> Any:
    return {"from": value.start, "to": value.end, "over": value.over} if isinstance(value, Ramp) else value


def _criterion(stage: Stage, target: str | None) -> str:
    """When the stage is left, and where that leads if not to the next one."""
    ways = [f"{edge.to} when {edge.when or describe(stage)}" for edge in stage.next]
    if stage.demote is not None:
        low = f"{stage.demote.below:g}" if stage.demote.below is not None else f"best - {stage.demote.margin:g}"
        ways.append(f"{stage.demote.to} when performance < {low} for {stage.demote.patience:,} steps")
    own = f"decided by {target}" if target and stage.transition_criteria else describe(stage)
    return "; ".join([*([] if stage.next else [own]), *ways])
