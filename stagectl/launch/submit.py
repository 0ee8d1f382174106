"""A run is submitted once, whatever dies in between.

Before the launch the intent is on disk, then the launch goes out under the run's name, then its ids are kept. SkyPilot
takes the same launch twice without a word, so that after a crash the job is looked for by its name before anything is
sent again; and the process that sends holds the run's launch lock, so that none can still send behind one's back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from stagectl.errors import JobError, RunExistsError
from stagectl.launch.sky import Place, Sky, UnreachableError
from stagectl.runs import FileLock, RunPaths, read_json, write_json
from stagectl.runs.away import KEY


def submit(paths: RunPaths, place: Place, task: Callable[[], Mapping[str, Any]], sky: Sky) -> int | None:
    """See to it that the run's job is submitted; its number, where SkyPilot has told it already.

    Args:
        paths: The run.
        place: Where it is to run.
        task: Makes the task; asked only where it has to be sent.
        sky: SkyPilot.

    Raises:
        UnreachableError: The API server does not answer; a later call finds out what became of it.
        JobError: SkyPilot refused the task.
        RunExistsError: Another process is submitting it.
    """
    with FileLock(paths.folder / "launch.lock") as lock:
        if not lock.acquire():
            raise RunExistsError(f"another process is submitting the run {paths.run_id}")
        record = submission(paths)
        if "job" in record or "request" in record:
            return record.get("job")
        if record and (job := sky.find(place)) is not None:
            _keep(paths, {**record, "job": job})
            return job
        record = {"place": asdict(place), "time": round(time.time(), 3)}
        _keep(paths, record)
        try:
            request = sky.launch(task(), place, lock.fd)
        except UnreachableError:
            raise
        except JobError:  # it was refused, so that nothing is on its way
            _keep(paths, {})
            raise
        _keep(paths, {**record, "request": request})
        return None


def await_job(paths: RunPaths, sky: Sky) -> tuple[Place, int]:
    """Wait until the submitted launch is done; where the job runs, and its number.

    Raises:
        UnreachableError: The API server does not answer.
        JobError: The launch failed, or the run was never submitted; it may be submitted again.
    """
    record = submission(paths)
    if not record:
        raise JobError(f"the run {paths.run_id} was not submitted", hint=f"stagectl run --resume {paths.run_id}")
    place = Place(**record["place"])
    if "job" in record:
        return place, int(record["job"])
    try:
        job = sky.result(record["request"]) if "request" in record else sky.find(place)
    except UnreachableError:
        raise
    except JobError:  # the server may have forgotten the request, and have the job
        job = sky.find(place)
        if job is None:
            _keep(paths, {})
            raise
    if job is None:
        raise JobError(f"SkyPilot has no job named {place.name}", hint=f"stagectl run --resume {paths.run_id}")
    _keep(paths, {**record, "job": job})
    return place, job


def submission(paths: RunPaths) -> dict[str, Any]:
    """What is known of the run's submission; empty before the first."""
    return dict(read_json(paths.identity).get(KEY, {}))


def note(paths: RunPaths, **facts: Any) -> None:
    """Keep what SkyPilot said last, beside the submission."""
    _keep(paths, {**submission(paths), "seen": facts})


def note_following(paths: RunPaths) -> None:
    """Keep that the following begins now: what did not come before is no silence of the job's."""
    _keep(paths, {**submission(paths), "followed": round(time.time(), 3)})


def _keep(paths: RunPaths, record: dict[str, Any]) -> None:
    write_json(paths.identity, {**read_json(paths.identity), KEY: record})
