"""One call of SkyPilot's, in a process of its own: a JSON object in, one out (see `sky.py`).

Where no API server is named, SkyPilot starts one on this machine, as its own command does.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import os
import re
import sys
import time
from collections.abc import Callable
from typing import IO, Any

from stagectl.launch.sky_look import look, managed_jobs

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class TaskError(Exception):
    """SkyPilot cannot read the task."""


def main() -> int:
    """0 with `{"value": …}` on standard output, 1 with `{"error": …}`; `tail` prints the job's output instead."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # SkyPilot prints as it likes
    asked = sys.stdin.read()
    if not asked:  # whoever was about to ask has ended
        return 1
    request = json.loads(asked)
    call = request.pop("call")
    try:
        if call == "tail":
            return tail(answers, **request)
        answer = {"value": CALLS[call](**request)}
    except Exception as error:
        answer = {**_failure(error), "kind": _kind(error, call)}
    _say(answers, json.dumps(answer) + "\n")
    return int("error" in answer)


def check(task: dict[str, Any]) -> None:
    _read(task)


def offer(task: dict[str, Any]) -> str:
    """The optimizer's table; it is only printed, and comes back in no other form."""
    import sky

    with sky.Dag() as dag:
        _read({key: task[key] for key in ("name", "resources", "num_nodes") if key in task})
    table = io.StringIO()
    sky.stream_and_get(sky.optimize(dag), output_stream=table)
    return COLOUR.sub("", table.getvalue())


def launch(task: dict[str, Any], place: dict[str, Any]) -> str:
    import sky

    made = _read(task)
    if place["cluster"] is None:
        return str(sky.jobs.launch(made, name=place["name"], **_top_level()))
    return str(sky.launch(made, cluster_name=place["cluster"]))


def result(request: str) -> int:
    import sky

    job, _ = sky.get(request)
    return int(job[0] if isinstance(job, list) else job)


def cancel_launch(request: str) -> None:
    import sky

    sky.get(sky.api_cancel([request], silent=True))


def find(place: dict[str, Any]) -> int | None:
    """Launches that are under way are waited for first: one of them may be the one whose answer was lost."""
    import sky

    while under_way := [
        request.request_id
        for request in sky.api_status()
        if request.name.endswith("launch") and (place["cluster"] in (None, request.cluster_name))
    ]:
        for request in under_way:
            try:
                sky.get(request)
            except Exception as error:
                if _is_unreachable(error):
                    raise
        time.sleep(0.5)
    jobs = managed_jobs(name_match=place["name"]) if place["cluster"] is None else _cluster_jobs(place["cluster"])
    return min((job.job_id for job in jobs if job.job_name == place["name"]), default=None)


def tail(answers: IO[str], place: dict[str, Any], job: int) -> int:
    import sky

    if place["cluster"] is None:
        pieces = sky.jobs.tail_logs(job_id=job, follow=True, preload_content=False)
    else:
        pieces = sky.tail_logs(place["cluster"], job, follow=True, preload_content=False)
    for piece in pieces:
        if piece is not None:
            _say(answers, piece)
    return 0


def bring(place: dict[str, Any], folder: str) -> None:
    """A task that runs nothing: its working folder travels, and no job is queued, so that it needs no room there."""
    import sky

    sky.get(sky.exec(sky.Task(name="stagectl-request", workdir=folder), cluster_name=place["cluster"]))


def cancel(place: dict[str, Any], job: int) -> None:
    import sky

    if place["cluster"] is None:
        sky.get(sky.jobs.cancel(job_ids=[job]))
    else:
        sky.get(sky.cancel(place["cluster"], job_ids=[job]))


def down(place: dict[str, Any]) -> None:
    import sky

    with contextlib.suppress(sky.exceptions.ClusterDoesNotExist):
        sky.get(sky.down(place["cluster"]))


def _read(task: dict[str, Any]) -> Any:
    import sky

    try:
        return sky.Task.from_yaml_config(task)
    except Exception as error:
        raise TaskError(str(error)) from error


def _say(answers: IO[str], text: str) -> None:
    try:
        answers.write(text)
        answers.flush()
    except BrokenPipeError:  # whoever asked is gone
        os._exit(1)


def _cluster_jobs(cluster: str) -> list[Any]:
    import sky

    if not sky.get(sky.status(cluster_names=[cluster])):
        return []
    try:
        return list(sky.get(sky.queue(cluster, all_users=True)))
    except (sky.exceptions.ClusterDoesNotExist, sky.exceptions.ClusterNotUpError):
        return []


def _top_level() -> dict[str, Any]:
    """Within a job group's task, a launch joins the group unless told not to."""
    import sky

    return {"job_group": None} if "job_group" in inspect.signature(sky.jobs.launch).parameters else {}


def _failure(error: Exception) -> dict[str, str]:
    if isinstance(error, ModuleNotFoundError) and error.name == "sky":
        message, hint = "SkyPilot is not installed", "pip install 'stagectl[sky]'"
        return {"error": message, "hint": hint}
    text = " ".join(COLOUR.sub("", str(error)).split()) or type(error).__name__
    if _is_unreachable(error):
        message, hint = f"SkyPilot's API server does not answer: {text}", "sky api info tells how its server is"
        return {"error": message, "hint": hint}
    return {"error": f"SkyPilot says: {text}", "hint": ""}


def _kind(error: Exception, call: str) -> str:
    """One of `sky.FAILURES`. A launch that failed in a way that is no word of SkyPilot's may have been taken."""
    if isinstance(error, TaskError):
        return "recipe"
    unknown = _is_unreachable(error) or (call == "launch" and not _is_refusal(error))
    return "unreachable" if unknown else "failed"


def _is_unreachable(error: Exception) -> bool:
    """Whether it is no word of SkyPilot's server: all that `requests` raises, a gateway's 502 too, is none."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"ApiServerConnectionError", "ConnectionError", "RequestException", "RequestInterruptedError"})


def _is_refusal(error: Exception) -> bool:
    """Whether nothing is launched for sure: by its type, one of SkyPilot's own among them, it says what was wrong."""
    return isinstance(error, ImportError | ValueError | TypeError) or type(error).__module__.startswith("sky.")


CALLS: dict[str, Callable[..., Any]] = {
    "check": check,
    "offer": offer,
    "launch": launch,
    "result": result,
    "cancel_launch": cancel_launch,
    "find": find,
    "look": look,
    "bring": bring,
    "cancel": cancel,
    "down": down,
}

if __name__ == "__main__":
    sys.exit(main())
