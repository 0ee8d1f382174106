"""A saved curriculum held against the recipe's: what changed between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stagectl.curriculum.stages import Stage
from stagectl.errors import Fault, nearest


def differences(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[Fault]:
    """What changed between two lists of stages, stage by stage and key by key."""
    old, new = ({stage["name"]: stage for stage in stages} for stages in (before, now))
    faults = [Fault(("stages",), f"stage '{name}' is gone") for name in old if name not in new]
    faults += [Fault(("stages",), f"stage '{name}' is new") for name in new if name not in old]
    if old.keys() == new.keys() and list(old) != list(new):
        faults.append(Fault(("stages",), f"were in the order {', '.join(old)} and are in the order {', '.join(new)}"))
    for name in (name for name in new if name in old):
        for key in new[name]:
            if plain(old[name].get(key)) != plain(new[name][key]):
                message = f"stage '{name}' had {old[name].get(key)!r} and has {new[name][key]!r}"
                faults.append(Fault(("stages", name, key), message))
    return faults


def unchanged(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> set[str]:
    """The names of the stages, members of groups included, that are as they were."""
    old, new = (
        {stage["name"]: plain(stage) for top in tops for stage in (top, *top["parallel"])} for tops in (before, now)
    )
    return {name for name in new if old.get(name) == new[name]}


def current_gone(name: str, stages: Sequence[Stage]) -> str:
    """What is said of a state that stands in a stage which is no more."""
    names = [stage.name for stage in stages]
    where = f"the saved curriculum stands in stage '{name}', which is gone; {nearest(name, names)}"
    return f"{where}; keep a stage of that name, or begin anew with `start:` at another"


def plain(value: Any) -> Any:
    """A value as JSON gives it back: tuples are lists there."""
    if isinstance(value, Mapping):
        return {str(key): plain(below) for key, below in value.items()}
    return [plain(below) for below in value] if isinstance(value, (list, tuple)) else value
