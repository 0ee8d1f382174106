"""A run on a cluster: where it is, and what SkyPilot said of it last.

It stands in the run's identity, where the process that submits and follows the run keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stagectl.errors import DamagedRunError
from stagectl.runs.events import Event

KEY = "sky"  # in the identity: place, request, job, seen, machines, …
ENDED_STATES = frozenset({"SUCCEEDED", "CANCELLED", "GONE"})  # and all that begin with FAILED
KNOWN_STATES = ENDED_STATES | {
    *("UP", "STOPPED"),  # a cluster, before the job is there
    *("INIT", "PENDING", "SETTING_UP", "STARTING", "RUNNING", "WINDING_DOWN", "RECOVERING", "CANCELLING"),
    *("FAILED", "FAILED_SETUP", "FAILED_DRIVER", "FAILED_PRECHECKS", "FAILED_NO_RESOURCE", "FAILED_CONTROLLER"),
}


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run's job is on, `since` when, in seconds since the epoch.

    `hourly`: dollars an hour for all its nodes together; None where no price is known, 0 where it is free.
    """

    infra: str
    cluster: str | None
    region: str | None
    hourly: float | None
    since: float


@dataclass(frozen=True, slots=True)
class Away:
    """A run that was submitted to a cluster.

    Attributes:
        name: The job's.
        cluster: The cluster that it was sent to; None where SkyPilot manages the job.
        own: The cluster is the run's own, to be given back.
        job: The job's number, once SkyPilot has told it.
        submitted: When.
        state: What SkyPilot said of the job last, in its words; empty before the first word.
        seen: When it said that.
        unreachable: Since when it has not answered; 0 where it has.
        followed: When the process that follows the run began to.
        machines: One after the other; a recovery brings another one.
        over: Whether its end was seen, and what it held given back.
        after: The event that was the run's last one when it was submitted: an end up to there is an earlier one's.
    """

    name: str
    cluster: str | None
    own: bool
    job: int | None
    submitted: float
    state: str
    seen: float
    unreachable: float
    followed: float
    machines: tuple[Machine, ...]
    over: bool
    after: int

    @property
    def machine(self) -> Machine | None:
        """The one that it is on, or was on last."""
        return self.machines[-1] if self.machines else None


def read_away(identity: Mapping[str, Any]) -> Away | None:
    """What a run's identity tells of its cluster; None for a run of this machine. Raises DamagedRunError."""
    record = identity.get(KEY)
    if not record:
        return None
    try:
        return Away(
            name=record["place"]["name"],
            cluster=record["place"]["cluster"],
            own=bool(record["place"].get("own")),
            job=record.get("job"),
            submitted=float(record["time"]),
            state=_said(record),
            seen=float(record.get("seen", {}).get("time", 0)),
            unreachable=float(record.get("unreachable") or 0),
            followed=float(record.get("followed", 0)),
            machines=tuple(Machine(**machine) for machine in record.get("machines", ())),
            over="over" in record,
            after=int(record.get("after", 0)),
        )
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        message = f"the run {identity.get('run')}: what its run.json tells of its cluster makes no sense: {error!r}"
        raise DamagedRunError(message) from error


def standing(away: Away, ended: Event | None) -> Literal["going", "ended", "over"]:
    """Where a run stands whose last end is that one, if it has any; the end of an earlier submission is none.

    It is over once what it held there is given back, too.
    """
    if ended is None or ended["seq"] <= away.after:
        return "going"
    return "over" if away.over else "ended"


def has_ended(state: str) -> bool:
    """Whether SkyPilot says of a job that it is over."""
    return state in ENDED_STATES or state.startswith("FAILED")


def shown_state(state: str) -> str:
    """The state as people are told it: one of a SkyPilot newer than this is named, and not guessed at."""
    return state if state in KNOWN_STATES else f"unknown ({state})"


def _said(record: Mapping[str, Any]) -> str:
    """What SkyPilot said last; nothing while it has no job: a cluster that is not there yet is not GONE."""
    state = str(record.get("seen", {}).get("state", ""))
    return "" if "job" not in record and has_ended(state) else state
