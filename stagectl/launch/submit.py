"""A run is submitted once, whatever dies in between.

Before the launch the intent is on disk, then the launch goes out under a name of its own, then its ids are kept.
SkyPilot takes the same launch twice without a word, so that after a crash the job is looked for by its name before
anything is sent again; and the process that sends holds the run's launch lock, so that none can still send behind one's
back. Only where SkyPilot says no is nothing on its way. A run that goes on after its end is submitted again, under
another name.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from stagectl.errors import JobError, RunExistsError, StagectlError
from stagectl.launch.sky import Look, Place, Sky, UnreachableError
from stagectl.runs import Event, FileLock, RunPaths, read_away, read_json, read_status, write_json
from stagectl.runs.away import KEY, standing

_writing = threading.RLock()  # a follower keeps what its looks tell and what its launch comes to at the same time


def submit(
    paths: RunPaths, place: Place, task: Callable[[], Mapping[str, Any]], sky: Sky, *, again: bool = False
) -> int | None:
    """See to it that the run's job is submitted; its number, where SkyPilot has told it already.

    Args:
        paths: The run.
        place: Where it is to run.
        task: Makes the task; asked only where it has to be sent.
        sky: SkyPilot.
        again: The run has ended, and goes on by another job.

    Raises:
        UnreachableError: What became of it is not known; a later call finds out.
        JobError: SkyPilot refused the task; the run is as it was before.
        RunExistsError: Another process is submitting it, or has.
    """
    with FileLock(paths.launch_lock) as lock:
        if not lock.acquire():
            raise RunExistsError(f"another process is submitting the run {paths.run_id}")
        before = submission(paths)
        if not again and before and before["place"] != asdict(place):
            raise RunExistsError(f"another process has submitted the run {paths.run_id} meanwhile")
        if not again and ("job" in before or "request" in before):
            return before.get("job")
        if not again and before and (job := _find(sky, place)) is not None:
            note(paths, job=job)
            return job
        made = task()
        record = {
            "place": asdict(place),
            "time": round(time.time(), 3),
            "after": read_status(paths).seq,
            "machines": _given_back(before),
        }
        _keep(paths, record)
        try:
            request = sky.launch(made, place, lock.fd)
        except UnreachableError:
            raise
        except JobError:
            _keep(paths, before)
            raise
        try:
            note(paths, request=request)
        except StagectlError as error:
            raise UnreachableError(f"the job was launched, and {error.message}") from None
        return None


def await_job(paths: RunPaths, sky: Sky) -> tuple[Place, int]:
    """Wait until the submitted launch is done; where the job runs, and its number.

    Raises:
        UnreachableError: It is not known yet, or the launch is only being sent.
        JobError: The launch failed, or the run was never submitted; it may be submitted again.
    """
    with FileLock(paths.launch_lock) as lock:
        if not {"job", "request"} & submission(paths).keys() and not lock.acquire():
            raise UnreachableError(f"the run {paths.run_id} is only being submitted")
        record = submission(paths)
        if not record:
            raise JobError(f"the run {paths.run_id} was not submitted", hint=f"stagectl run --resume {paths.run_id}")
        place = Place(**record["place"])
        if "job" in record:
            return place, int(record["job"])
        try:
            job = sky.result(record["request"]) if "request" in record else _find(sky, place)
        except UnreachableError:
            raise
        except JobError:  # the server may have forgotten the request, and have the job
            job = _find(sky, place)
            if job is None:
                _keep(paths, {key: value for key, value in submission(paths).items() if key != "request"})
                raise
        if job is None:
            raise JobError(f"SkyPilot has no job named {place.name}", hint=f"stagectl run --resume {paths.run_id}")
        note(paths, job=job)
        return place, job


def submission(paths: RunPaths) -> dict[str, Any]:
    """What is known of the run's submission; empty before the first."""
    return dict(read_json(paths.identity).get(KEY, {}))


def end_of(paths: RunPaths) -> Event | None:
    """The run's end, if it came since it was submitted last."""
    away, ended = read_away(read_json(paths.identity)), read_status(paths).ended
    return None if away is not None and standing(away, ended) == "going" else ended


def note(paths: RunPaths, **facts: Any) -> None:
    """Keep facts beside what is known of the submission."""
    with _writing:
        _keep(paths, {**submission(paths), **facts})


def note_look(paths: RunPaths, look: Look, now: float) -> None:
    """Keep what SkyPilot says of the job, and the machine, if it is another one than before."""
    with _writing:
        record = submission(paths)
        machines = record.get("machines", [])
        if look.machine is not None:
            machines = _with(machines, {**look.machine, "since": max(look.machine.get("since") or now, record["time"])})
        note(paths, seen={"state": look.state, "time": now}, machines=machines, unreachable=None)


def note_unreachable(paths: RunPaths, now: float) -> None:
    """Keep since when SkyPilot has not answered, until it does."""
    with _writing:
        note(paths, unreachable=submission(paths).get("unreachable") or now)


def _find(sky: Sky, place: Place) -> int | None:
    """The job of that name; that SkyPilot cannot say whether there is one does not say that there is none."""
    try:
        return sky.find(place)
    except JobError as error:
        raise UnreachableError(error.message, hint=error.hint) from None


def _with(machines: list[dict[str, Any]], machine: Mapping[str, Any]) -> list[dict[str, Any]]:
    last = machines[-1] if machines else None
    if last is not None and all(last[key] == machine[key] for key in ("infra", "cluster", "region")):
        if machine["hourly"] in (None, last["hourly"]):
            return machines
        if last["hourly"] is None:  # its price is known only now
            return [*machines[:-1], {**last, "hourly": machine["hourly"]}]
    return [*machines, dict(machine)]


def _given_back(before: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The machines of the submission before; since the last one was given back the run is on none, for nothing."""
    machines = list(before.get("machines", []))
    if machines and machines[-1]["hourly"] and "over" in before:
        machines.append({**machines[-1], "cluster": None, "hourly": 0.0, "since": before["over"]})
    return machines


def _keep(paths: RunPaths, record: dict[str, Any]) -> None:
    with _writing:
        write_json(paths.identity, {**read_json(paths.identity), KEY: record})
