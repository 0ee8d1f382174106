"""What the command line says of a launch, laid over what the recipe says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from stagectl.errors import UsageError
from stagectl.recipe import Launch


@dataclass(frozen=True, slots=True)
class LaunchOptions:
    """`run`'s options for a cluster; None where the recipe's value stands."""

    gpus: int | None = None
    nodes: int | None = None
    cpus: int | None = None
    spot: bool | None = None
    timeout_hours: float | None = None


def with_options(launch: Launch, options: LaunchOptions) -> Launch:
    """The launch with the options laid over it, in each of its choices (`any_of`, `ordered`) too.

    Raises:
        UsageError: An option needs what the recipe does not say.
    """
    given = {name: getattr(options, name) for name in LaunchOptions.__slots__ if getattr(options, name) is not None}
    if given and launch.backend != "sky":
        option = next(iter(given)).replace("_", "-")
        raise UsageError(
            f"--{option} is for a cluster", hint="the recipe says launch.backend: local; give backend: sky"
        )
    for name in ("gpus", "nodes", "cpus", "timeout_hours"):
        low = 0 if name == "gpus" else 1e-9
        if name in given and given[name] < low:
            raise UsageError(f"--{name.replace('_', '-')} {given[name]} makes no sense")
    resources = dict(launch.resources)
    if options.gpus is not None:
        resources = _each(resources, lambda choice: _with_gpus(choice, options.gpus or 0))
        if options.gpus and not _has_accelerators(resources):
            raise UsageError("--gpus says how many, and nothing says which", hint="name them: launch.accelerators=L4:1")
    if options.cpus is not None:
        resources = _each(resources, lambda choice: {**choice, "cpus": f"{options.cpus}+"}, always=True)
    if options.spot is not None:
        resources = _each(resources, lambda choice: {**choice, "use_spot": options.spot}, always=True)
    task = {**launch.task, **({} if options.nodes is None else {"num_nodes": options.nodes})}
    hours = launch.timeout_hours if options.timeout_hours is None else options.timeout_hours
    return replace(launch, task=task, resources=resources, timeout_hours=hours)


Change = Callable[[dict[str, Any]], dict[str, Any]]


def _each(resources: Mapping[str, Any], change: Change, *, always: bool = False) -> dict[str, Any]:
    """The change made to the resources themselves, or to each of the choices where there are any."""
    choices = [key for key in ("any_of", "ordered") if key in resources]
    changed = {key: [change(dict(choice)) for choice in resources[key]] for key in choices}
    return {**(dict(resources) if choices and always else change(dict(resources))), **changed}


def _with_gpus(choice: dict[str, Any], count: int) -> dict[str, Any]:
    named = choice.pop("accelerators", None)
    if not named or not count:
        return choice
    if isinstance(named, str):
        return {**choice, "accelerators": f"{named.split(':')[0]}:{count}"}
    if isinstance(named, Mapping):
        return {**choice, "accelerators": dict.fromkeys(named, count)}
    return {**choice, "accelerators": [f"{one.split(':')[0]}:{count}" for one in named]}


def _has_accelerators(resources: Mapping[str, Any]) -> bool:
    choices = [*resources.get("any_of", []), *resources.get("ordered", [])]
    return any("accelerators" in choice for choice in (resources, *choices))
