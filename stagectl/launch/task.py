"""A recipe as the SkyPilot task that carries it: plain data, which `sky.Task.from_yaml_config` takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stagectl.errors import UsageError
from stagectl.job.torchrun import starts_ranks
from stagectl.launch.git import Code
from stagectl.recipe import Recipe

LUGGAGE = "~/.stagectl-launch"  # what travels beside the code, on the cluster: a folder a run
ENVIRONMENT = "~/stagectl-env"  # the training environment that is made where the recipe names none
HIDDEN = "<hidden>"
AUTOSTOP = {"idle_minutes": 10, "down": True}


def task_data(
    recipe: Recipe, run_id: str, code: Code, luggage: Path, wheel: str, environ: Mapping[str, str]
) -> dict[str, Any]:
    """The task. Values of secrets are in its `secrets` and nowhere else: show it by `redacted`.

    Args:
        recipe: Its launch block says what the task wants.
        run_id: The task's name, too.
        code: What travels as the task's workdir, unless the recipe names one.
        luggage: A folder here with the wheel and the resolved recipe, which travels as a file mount.
        wheel: The wheel's file name in it.
        environ: Where the secrets' values are.

    Raises:
        UsageError: A secret has no value, a managed job nowhere to keep its run, or several nodes no trainer for them.
    """
    launch, task = recipe.launch, dict(recipe.launch.task)
    if task.get("num_nodes", 1) > 1:
        _check_nodes(task["num_nodes"], recipe.trainer.command)
    envs = dict(task.pop("envs", {}))
    if launch.managed and "STAGECTL_HOME" not in envs:
        raise UsageError(
            "a managed job that is recovered begins anew, since its run lies on a machine that is gone",
            hint="keep it on a folder that stays: launch.envs.STAGECTL_HOME=/shared/stagectl",
        )
    there = f"{LUGGAGE}/{run_id}"
    python = launch.python or f"{ENVIRONMENT}/bin/python"
    named = {"workdir": str(code.folder), **task}
    inside = code.inside if "workdir" not in task else Path()
    data = {
        "name": run_id,
        **named,
        "resources": _resources(recipe),
        "envs": {**envs, **({"STAGECTL_COMMIT": code.commit} if code.commit else {})},
        "secrets": named_secrets(recipe, environ),
        "file_mounts": {**task.get("file_mounts", {}), there: str(luggage)},
        "setup": _setup(launch.python, task.get("setup"), f"{there}/{wheel}", _extra(recipe)),
        "run": f"cd {_quoted(f'~/sky_workdir/{inside}')}\n"
        f"exec {_quoted(python)} -P -m stagectl.job.cluster {_quoted(there)}\n",
    }
    return {key: value for key, value in data.items() if value not in ({}, None)}


def redacted(task: Mapping[str, Any]) -> dict[str, Any]:
    """The task as it may be shown or kept."""
    shown = dict(task)
    if "secrets" in shown:
        shown["secrets"] = dict.fromkeys(shown["secrets"], HIDDEN)
    return shown


def cluster_name(run_id: str) -> str:
    """The name of a run's own cluster: its id, made to begin with a letter and to end with a letter or digit."""
    name = run_id.rstrip("._-")
    return name if name[0].isalpha() else f"s-{name}"


def named_secrets(recipe: Recipe, environ: Mapping[str, str]) -> dict[str, str]:
    """The values of the secrets that travel. Raises UsageError where one that the recipe names has none."""
    named = list(recipe.launch.task.get("secrets", ()))
    missing = [name for name in named if not environ.get(name)]
    if missing:
        message = f"launch.secrets names {', '.join(missing)}, which your environment does not have"
        raise UsageError(message, hint=f"export {missing[0]}=…")
    if recipe.wandb.enabled and environ.get("WANDB_API_KEY"):
        named.append("WANDB_API_KEY")
    return {name: environ[name] for name in named}


def _check_nodes(nodes: int, command: Sequence[str]) -> None:
    """Refuse a trainer that cannot train on several nodes."""
    if not command:
        hint = "take one node, or give a script of yours that torch.distributed connects: trainer.command"
        raise UsageError(f"num_nodes: {nodes}: the bundled trainer trains in one process", hint=hint)
    if starter := starts_ranks(command):
        message = f"num_nodes: {nodes}: trainer.command starts {starter}, and so does stagectl, on every node"
        raise UsageError(message, hint="give the script alone: command: [python, train.py]")


def _resources(recipe: Recipe) -> dict[str, Any]:
    """As the recipe has them; a run's own cluster goes by itself, too, in case nobody is there to give it back."""
    launch = recipe.launch
    stays = launch.managed or launch.cluster or "autostop" in launch.resources
    knows = not str(launch.resources.get("infra", "")).lower().startswith("slurm")  # which has no autostop
    return {**launch.resources, **({} if stays or not knows else {"autostop": AUTOSTOP})}


def _setup(python: str | None, own: str | None, wheel: str, extra: str) -> str:
    """The user's setup, then an environment where none is named, then stagectl into it.

    Nodes that share a home take turns. SkyPilot brings `uv` to every machine, and not always onto its path.
    """
    turns = "exec 9> ~/.stagectl-setup.lock\n! command -v flock > /dev/null || flock 9\n"
    users = f"(\n{own.rstrip()}\n) 9>&-\nfailed=$?; [ $failed = 0 ] || exit $failed\n" if own else ""
    made = f"{ENVIRONMENT}/bin/python"
    make = f"""[ -x {made} ] || if uv=$(PATH="$PATH:$HOME/.local/bin" command -v uv); then
  "$uv" venv --quiet --seed --python '>=3.11' {ENVIRONMENT}
else
  python3 -m venv {ENVIRONMENT}
fi
"""
    install = f"{_quoted(python or made)} -m pip install --quiet {_quoted(wheel)}{extra}\n"
    return "".join([turns, users, "set -e\n", "" if python else make, install])


def _extra(recipe: Recipe) -> str:
    """The bundled trainer needs its libraries; a user's own brings what it needs."""
    extras = [*([] if recipe.trainer.command else ["train"])]
    return f"'[{','.join(extras)}]'" if extras else ""


def _quoted(path: str) -> str:
    """The path as one word of a shell, with the home that a leading ~ means."""
    home, slash, rest = path.partition("/")
    if re.fullmatch(r"~\w*", home):
        return home + slash + (shlex.quote(rest) if rest else "")
    return shlex.quote(path)
