"""What a recipe says, as immutable values, and how it reads from and writes to plain data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from stagectl.curriculum import Stage, can_end, metrics_named, metrics_never_logged, read_stages, warnings_of
from stagectl.curriculum.config import CURRICULUM_FIELDS
from stagectl.curriculum.fields import (
    flag,
    list_of_text,
    mapping,
    one_of,
    optional,
    read_fields,
    sequence,
    text,
    whole,
)
from stagectl.errors import CurriculumError, Fault, RecipeError
from stagectl.recipe.launch import Launch, read_launch
from stagectl.recipe.source import Source

SEED_TARGETS = (
    "mettagrid.curriculum.StagedProgressiveCurriculum",
    "stagectl.StagedProgressiveCurriculum",
)


@dataclass(frozen=True)
class Trainer:
    """What trains: the bundled trainer of that name, or the user's own command.

    `arguments` are the bundled trainer's, as the recipe writes them. `keep_checkpoints`: how many of the newest,
    besides the first of each stage; None: all.
    """

    name: str = "sb3"
    command: tuple[str, ...] = ()
    total_timesteps: int | None = None
    seed: int = 0
    checkpoint_every: int = 100_000
    keep_checkpoints: int | None = 10
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Wandb:
    """The mirror of the run to Weights & Biases."""

    enabled: bool = False
    project: str | None = None
    entity: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """One recipe, checked. `curriculum` is its block as written, `stages` what it says, `folder` the file's own."""

    name: str
    folder: Path
    stages: tuple[Stage, ...]
    curriculum: Mapping[str, Any]
    trainer: Trainer = Trainer()
    launch: Launch = field(default_factory=Launch)
    wandb: Wandb = Wandb()
    run: str | None = None
    source: Source | None = field(default=None, repr=False, compare=False)

    def error(self, *faults: Fault) -> RecipeError:
        """A RecipeError that places each fault in the recipe's file."""
        return (self.source or Source(self.name, {})).error(*faults)

    def warnings(self) -> list[str]:
        """What makes no sense though it is well formed, each in a line with its place."""
        found = warnings_of(self.stages, self.trainer.total_timesteps)
        faults = [Fault(("curriculum", *fault.path), fault.message) for fault in found]
        faults += [
            Fault(("curriculum", "stages", index), "0.8 is a threshold for successes: name one for `score: return`")
            for index in self._unnamed_thresholds()
        ]
        scripts = [word for word in self.trainer.command[1:2] if word.endswith(".py")]
        if scripts and self.launch.backend == "local" and not (self.folder / scripts[0]).exists():
            faults.append(Fault(("trainer", "command"), f"there is no {scripts[0]} in {self.folder}"))
        if self.trainer.total_timesteps is None and self.target is None and not can_end(self.stages):
            message = "nothing but the script itself ends this run: give it a step budget, `total_timesteps:`"
            faults.append(Fault(("trainer",), f"{message}, or its last stage a criterion"))
        return self.error(*faults).message.splitlines()

    def _unnamed_thresholds(self) -> list[int]:
        """The stages that are left when their returns reach a threshold that nobody wrote."""
        if "performance_threshold" in self.curriculum:
            return []
        return [
            index
            for index, (stage, written) in enumerate(zip(self.stages, self.curriculum["stages"], strict=True))
            if stage.transition_criteria in ("performance", "both", "either")
            and not (stage.score.bounded or stage.advance_when)
            and "performance_threshold" not in (written if isinstance(written, Mapping) else ())
        ]

    @property
    def target(self) -> str | None:
        """The user's own curriculum class, `module.Class`; None where it is the plain one."""
        named = self.curriculum.get("_target_")
        return None if named in (None, *SEED_TARGETS) else str(named)

    def facts(self) -> dict[str, Any]:
        """What a run's first event tells of its recipe."""
        return {
            "recipe": self.name,
            "backend": self.launch.backend,
            "target": self.target,
            "total_timesteps": self.trainer.total_timesteps,
            "stages": [stage.to_dict() for stage in self.stages],
            "metrics": sorted(metrics_named(self.stages)),
            "start": [stage.name for stage in self.stages].index(self.curriculum.get("start", self.stages[0].name)),
        }

    def to_data(self) -> dict[str, Any]:
        """The recipe as plain data, with everything resolved; `recipe_from_data` reads it back."""
        trainer: dict[str, Any] = {
            **({"command": list(self.trainer.command)} if self.trainer.command else {"name": self.trainer.name}),
            "total_timesteps": self.trainer.total_timesteps,
            "seed": self.trainer.seed,
            "checkpoint_every": self.trainer.checkpoint_every,
            "keep_checkpoints": "all" if self.trainer.keep_checkpoints is None else self.trainer.keep_checkpoints,
            **self.trainer.arguments,
        }
        return {
            "run": self.run,
            "trainer": trainer,
            "curriculum": dict(self.curriculum),
            "launch": self.launch.to_data(),
            "wandb": {
                "enabled": self.wandb.enabled,
                "project": self.wandb.project,
                "entity": self.wandb.entity,
                "group": self.wandb.group,
                "tags": list(self.wandb.tags),
            },
        }


def recipe_from_data(data: Mapping[str, Any], *, name: str, folder: Path, own_keys: set[str] | None = None) -> Recipe:
    """Check plain data and make a Recipe of it.

    `own_keys` are the top-level keys that the recipe's file has itself: others came with `defaults:` and are
    somebody else's where they are not ours.

    Raises:
        CurriculumError: Everything that is wrong, with paths.
    """
    faults: list[Fault] = []
    ours = {key: value for key, value in data.items() if key in _FIELDS or own_keys is None or key in own_keys}
    strayed = {key: block for block, fields in _BLOCKS.items() for key in ours.keys() & fields if key not in _FIELDS}
    faults += [Fault((key,), f"unknown key; did you mean '{block}.{key}'?") for key, block in strayed.items()]
    values = read_fields(_FIELDS, {key: ours[key] for key in ours if key not in strayed}, (), faults)
    curriculum = values.get("curriculum", {})
    if "curriculum" not in data:
        faults.append(Fault((), "there is no `curriculum:`; it names the stages"))
    recipe = Recipe(
        name=name,
        folder=folder,
        stages=_stages(curriculum, faults) if "curriculum" in values else (),
        curriculum=curriculum,
        trainer=_trainer(values.get("trainer", {}), faults),
        launch=read_launch(values.get("launch", {}), faults),
        wandb=Wandb(**read_fields(_WANDB_FIELDS, values.get("wandb", {}), ("wandb",), faults)),
        run=values.get("run"),
    )
    if not recipe.trainer.command:  # a script of one's own may log what it likes
        faults += [Fault(("curriculum", *fault.path), fault.message) for fault in metrics_never_logged(recipe.stages)]
    if faults:
        raise CurriculumError(*faults)
    return recipe


def read_run_id(value: Any) -> str:
    """A run's id: letters, digits, `.`, `_` and `-`, at most 40, the first a letter or digit."""
    name = str(value) if type(value) is int else text(value)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", name) or name == "latest":
        raise ValueError(f"{name!r} cannot name a run; use up to 40 letters, digits, '.', '_' and '-', not 'latest'")
    return name


def _stages(curriculum: Mapping[str, Any], faults: list[Fault]) -> tuple[Stage, ...]:
    block = {key: value for key, value in curriculum.items() if key != "_target_"}
    target = curriculum.get("_target_")
    if target is not None and (not isinstance(target, str) or "." not in target):
        faults.append(Fault(("curriculum", "_target_"), f"expected module.Class, found {target!r}"))
    elif target not in (None, *SEED_TARGETS):
        block = {key: value for key, value in block.items() if _is_ours(key, CURRICULUM_FIELDS)}
    try:
        return read_stages(block)
    except CurriculumError as error:
        faults += [Fault(("curriculum", *fault.path), fault.message) for fault in error.faults]
        return ()


def _is_ours(key: str, known: Mapping[str, Any]) -> bool:
    """Whether a key is one of ours, or is so near to one that it must be a slip and not somebody else's."""
    return key in known or bool(get_close_matches(key, known, n=1, cutoff=0.85))


def _trainer(block: Mapping[str, Any], faults: list[Fault]) -> Trainer:
    own = {key: value for key, value in block.items() if "command" in block or _is_ours(key, _TRAINER_FIELDS)}
    values = read_fields(_TRAINER_FIELDS, own, ("trainer",), faults)
    if "name" in values and "command" in values:
        faults.append(Fault(("trainer", "command"), "`name:` is there too; a recipe has one trainer"))
    return Trainer(**values, arguments={key: value for key, value in block.items() if key not in own})


def _command(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        raise ValueError("expected a list of words, as in [python, train.py]; no shell reads it")
    command = tuple(str(word) for word in sequence(value))
    if not command:
        raise ValueError("is empty")
    return command


def _kept(value: Any) -> int | None:
    return None if value in (None, "all") else whole(1)(value)


_FIELDS = {
    "run": optional(read_run_id),
    "trainer": mapping,
    "curriculum": mapping,
    "launch": mapping,
    "wandb": mapping,
}
_TRAINER_FIELDS = {
    "name": one_of("sb3"),
    "command": _command,
    "total_timesteps": optional(whole(1)),
    "seed": whole(),
    "checkpoint_every": whole(1),
    "keep_checkpoints": _kept,
}
_BLOCKS = {"curriculum": CURRICULUM_FIELDS, "trainer": _TRAINER_FIELDS}  # where a key belongs that stands outside
_WANDB_FIELDS = {
    "enabled": flag,
    "project": optional(text),
    "entity": optional(text),
    "group": optional(text),
    "tags": list_of_text,
}
