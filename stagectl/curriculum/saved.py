"""A saved curriculum held against the recipe's: what changed between them, and what of it still fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stagectl.curriculum.stages import END, Stage, active, members_of
from stagectl.errors import CurriculumError, Fault, nearest

STATE_VERSION = 3


def fitting(state: Mapping[str, Any], stages: tuple[Stage, ...], *, accept_changes: bool) -> dict[str, Any]:
    """The state as a curriculum with these stages can go on from it.

    Raises:
        CurriculumError: It is of another version, or of other stages or settings; with `accept_changes`: the stage in
            which it stands is gone.
    """
    if state.get("version") != STATE_VERSION:
        message = f"the state is of version {state.get('version')!r}; this stagectl reads {STATE_VERSION}"
        raise CurriculumError(Fault((), message))
    changes = differences(state["stages"], [stage.to_dict() for stage in stages])
    if not changes:
        return dict(state)
    if not accept_changes:
        raise CurriculumError(*changes)
    names = [stage.name for stage in stages]
    if state["stage"] not in names:
        where = f"the saved curriculum stands in stage '{state['stage']}', which is gone"
        what = "keep a stage of that name, or begin a new run with `start:` at another"
        raise CurriculumError(Fault(("stages",), f"{where}; {nearest(state['stage'], names)}; {what}"))
    played = [member.name for _, member in members_of(stages)]
    before = {s["name"]: plain(s) for top in state["stages"] for s in (top, *top["parallel"])}
    as_before = [
        s.name for s in active(stages[names.index(state["stage"])]) if plain(s.to_dict()) == before.get(s.name)
    ]
    return {
        **state,
        "visits": {name: state["visits"].get(name, 0) for name in names},
        "done": [name for name in state["done"] if name in as_before],
        "finished": [episode for episode in state["finished"] if episode[0] in played],
        "manual": state["manual"] if state["manual"] in (*names, END) else None,
        "shares": None,
        "end": None,  # it goes on until it is over by its new criteria
    }


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


def plain(value: Any) -> Any:
    """A value as JSON gives it back: tuples are lists there."""
    if isinstance(value, Mapping):
        return {str(key): plain(below) for key, below in value.items()}
    return [plain(below) for below in value] if isinstance(value, (list, tuple)) else value
