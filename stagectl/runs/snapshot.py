"""What a run's events come to, up to one of them: kept beside the log, so that nobody need read a month of it again."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import fields
from typing import Any

from stagectl.curriculum import Stage, members_of
from stagectl.errors import StagectlError
from stagectl.runs.data import term_data
from stagectl.runs.events import Place
from stagectl.runs.files import read_json, write_whole
from stagectl.runs.paths import RunPaths
from stagectl.runs.status import RunStatus, StageStatus, read_term

SCHEMA = 1  # another one, of an older or a newer stagectl, is passed over


def save_snapshot(paths: RunPaths, status: RunStatus, place: Place) -> None:
    """Keep the status as of a place in the log, in place of the one before. Raises StorageError."""
    data = {
        "schema": SCHEMA,
        "place": _fields_of(place),
        "status": _status_data(status),
    }
    write_whole(paths.snapshot, json.dumps(data, allow_nan=False, separators=(",", ":")) + "\n")


def load_snapshot(paths: RunPaths) -> tuple[RunStatus, Place] | None:
    """The status that is kept, and as of where; None where there is none that can be read: the log has all of it."""
    try:
        data = read_json(paths.snapshot)
        if data.get("schema") != SCHEMA:
            return None
        return _status(paths.run_id, data["status"]), Place(**data["place"])
    except (StagectlError, AttributeError, LookupError, TypeError, ValueError):
        return None


def _status_data(status: RunStatus) -> dict[str, Any]:
    return {
        **_fields_of(status, "run_id"),
        "curriculum": [stage.to_dict() for stage in status.curriculum],
        "stages": [_fields_of(entry, "stage") for entry in status.stages],
        "waiting": [term_data(term) for term in status.waiting],
        "pace": list(status.pace),
    }


def _status(run_id: str, data: dict[str, Any]) -> RunStatus:
    """The status that `_status_data` told, after JSON, which knows no tuples."""
    curriculum = tuple(Stage.from_dict(stage) for stage in data["curriculum"])
    members = [stage for _, stage in members_of(curriculum)]
    if data.keys() != _fields_of(RunStatus(""), "run_id").keys():
        raise ValueError("it is another stagectl's")
    return RunStatus(
        run_id,
        **{
            **data,
            "curriculum": curriculum,
            "stages": [_stage(stage, entry) for stage, entry in zip(members, data["stages"], strict=True)],
            "waiting": tuple(map(read_term, data["waiting"])),
            "pace": deque(map(tuple, data["pace"]), maxlen=RunStatus("").pace.maxlen),
            "metrics": {name: tuple(told) for name, told in data["metrics"].items()},
        },
    )


def _stage(stage: Stage, data: dict[str, Any]) -> StageStatus:
    pairs = {key: list(map(tuple, data[key])) for key in ("history", "times")}
    return StageStatus(stage, **{**data, **pairs})


def _fields_of(value: Any, *without: str) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value) if field.name not in without}
