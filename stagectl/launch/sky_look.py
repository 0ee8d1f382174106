"""What SkyPilot says of a job and of the machine that it is on, as plain data; runs where `sky_worker.py` does.

What its records leave out, or a newer one says in another way, is left out here: a look fails for no such thing.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

MANAGED = [
    *("job_id", "job_name", "status", "cloud", "region", "zone", "cluster_resources_full"),
    *("current_cluster_name", "cluster_name_on_cloud", "last_recovered_at", "start_at"),
]


def look(place: dict[str, Any], job: int | None) -> dict[str, Any]:
    """`state` and `machine`, as `sky.Look` has them."""
    if place["cluster"] is None:
        return _look_at_managed(job)
    return _look_at_cluster(place["cluster"], job)


def managed_jobs(**which: Any) -> list[Any]:
    """`name_match` finds parts of names and knows wild cards, so that the caller compares."""
    import sky

    known = inspect.signature(sky.jobs.queue_v2).parameters
    records = sky.get(sky.jobs.queue_v2(refresh=False, **{key: which[key] for key in which if key in known}))[0]
    return list(records)


def _look_at_cluster(cluster: str, job: int | None) -> dict[str, Any]:
    import sky

    record = _cluster(cluster)
    if record is None:
        return {"state": "PENDING" if job is None else "GONE", "machine": None}
    if job is None:
        return {"state": _word(record.status), "machine": _machine_of_cluster(record)}
    try:
        state = sky.get(sky.job_status(cluster, [job])).get(job)
    except Exception:  # it does not answer: whether it is still there its cloud knows
        record = _cluster(cluster, refresh=sky.StatusRefreshMode.FORCE)
        if record is None or _word(record.status) == "STOPPED":  # whose job has ended with it
            return {"state": "GONE", "machine": None}
        if _word(record.status) == "UP":
            raise
        return {"state": _word(record.status), "machine": None}
    return {"state": "GONE" if state is None else _word(state), "machine": _machine_of_cluster(record)}


def _cluster(name: str, **how: Any) -> Any:
    import sky

    return next(iter(sky.get(sky.status(cluster_names=[name], **how))), None)


def _machine_of_cluster(record: Any) -> dict[str, Any] | None:
    resources = getattr(getattr(record, "handle", None), "launched_resources", None)
    if resources is None or _word(record.status) != "UP":
        return None
    return {
        "infra": str(resources.infra.to_str()),
        "cluster": record.name,
        "region": resources.region or "",
        "hourly": _hourly(resources, record.handle.launched_nodes),
        "since": record.launched_at,
    }


def _look_at_managed(job: int | None) -> dict[str, Any]:
    try:
        found = [record for record in managed_jobs(job_ids=[job], fields=MANAGED) if record.job_id == job]
    except ValueError as error:
        state = _unknown_state(error)
        if state is None:
            raise
        return {"state": state, "machine": None}
    if job is None or not found:
        return {"state": "GONE", "machine": None}
    state = _word(found[0].status)
    return {"state": state, "machine": _machine_of_managed(found[0]) if state == "RUNNING" else None}


def _unknown_state(error: ValueError) -> str | None:
    """A state that this SkyPilot does not know: a newer server said it, and the record was refused for it."""
    faults = error.errors() if hasattr(error, "errors") else []
    return next((str(fault["input"]) for fault in faults if "status" in fault["loc"]), None)


def _machine_of_managed(record: Any) -> dict[str, Any] | None:
    """The controller's records hold no handle: the machine is built again from what they tell."""
    import sky

    cloud, region, zone = (_told(record, field) for field in ("cloud", "region", "zone"))
    if not cloud:
        return None
    infra = "/".join(part for part in (cloud.lower(), region, zone) if part)
    nodes, spot, inner = re.fullmatch(
        r"(?:(\d+)x)?(\[spot\])?\(?(.*?)\)?", _told(record, "cluster_resources_full"), re.IGNORECASE | re.DOTALL
    ).groups()  # type: ignore[union-attr]  # it matches anything
    kinds = [part for part in inner.split(", ") if part and "=" not in part and part != "..."]
    hourly = None
    try:
        if cloud.lower() in ("slurm", "kubernetes", "ssh"):  # theirs have no price
            hourly = 0.0
        elif kinds:
            made = sky.Resources(infra=infra, instance_type=kinds[0], use_spot=bool(spot))
            hourly = _hourly(made, int(nodes or 1))
    except Exception:
        hourly = None
    since = max(_told(record, "last_recovered_at") or 0, _told(record, "start_at") or 0)
    cluster = _told(record, "current_cluster_name") or _told(record, "cluster_name_on_cloud")
    return {"infra": infra, "cluster": cluster, "region": region, "hourly": hourly, "since": since or None}


def _told(record: Any, field: str) -> Any:
    """A field's value; empty where there is none."""
    value = getattr(record, field, None)
    return "" if value in (None, "-") else value


def _hourly(resources: Any, nodes: int | None) -> float | None:
    try:
        return round(float(resources.get_cost(3600)) * (nodes or 1), 6)
    except Exception:  # no catalogue has it
        return None


def _word(state: Any) -> str:
    return str(getattr(state, "value", state))
