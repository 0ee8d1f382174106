"""The recipe's `launch:` block: where the job runs, and any field of a SkyPilot task and its resources.

Its fields are SkyPilot 0.14's. SkyPilot's own schema looks at them once more before anything is sent; what is checked
here is what it lets through and a run then suffers from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stagectl.curriculum.fields import (
    Reader,
    check_plain,
    flag,
    list_of_text,
    mapping,
    number,
    one_of,
    optional,
    plain_mapping,
    read_fields,
    record,
    sequence,
    text,
    whole,
)
from stagectl.errors import Fault, nearest


@dataclass(frozen=True)
class Launch:
    """Where the job runs, and how many seconds a stop waits for the trainer before it is killed.

    With `backend: sky`: whether SkyPilot manages the job, on which standing cluster it runs (None: one of its own), the
    training environment's interpreter there (None: one that is made), the hours after which the run is stopped, and the
    fields of SkyPilot's task and of its resources, as the recipe writes them.
    """

    backend: str = "local"
    stop_grace: float = 60.0
    managed: bool = False
    cluster: str | None = None
    python: str | None = None
    timeout_hours: float | None = None
    task: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)

    def to_data(self) -> dict[str, Any]:
        """As a recipe writes it; secrets are names, and their values are nowhere in it."""
        own: dict[str, Any] = {
            "managed": self.managed,
            "cluster": self.cluster,
            "python": self.python,
            "timeout_hours": self.timeout_hours,
        }
        named = {key: value for key, value in own.items() if value not in (None, False)}
        data = {"backend": self.backend, "stop_grace": self.stop_grace, **named, **self.task, **self.resources}
        return {**data, "secrets": list(data["secrets"])} if "secrets" in data else data


def read_launch(block: Mapping[str, Any], faults: list[Fault]) -> Launch:
    """The block, read; what is wrong is added to `faults`."""
    values = read_fields(_KNOWN, block, ("launch",), faults)
    away = next((key for key in values if key not in _COMMON), None)
    if away and "backend" not in block:
        faults.append(
            Fault(("launch", away), "is for a cluster: add `backend: sky`, or `backend: local` to do without")
        )
    if values.get("managed") and values.get("cluster"):
        faults.append(Fault(("launch", "cluster"), "a managed job has a cluster of its own; leave one of them out"))
    if "job_recovery" in values and not values.get("managed"):
        faults.append(Fault(("launch", "job_recovery"), "only a managed job is recovered; add `managed: true`"))
    own = {key: values[key] for key in _OWN if key in values}
    task = {key: values[key] for key in _TASK if key in values}
    return Launch(**own, task=task, resources={key: values[key] for key in _RESOURCES if key in values})


def _cluster_name(value: Any) -> str:
    if not re.fullmatch(r"[a-zA-Z]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?", text(value)):
        raise ValueError(f"{value!r} cannot name a cluster; use letters, digits, '-', '_' and '.', a letter first")
    return str(value)


def _variables(value: Any) -> dict[str, str]:
    named = {str(name): "" if item is None else str(item) for name, item in plain_mapping(value).items()}
    for name in named:
        _variable(name)
    home = named.get("STAGECTL_HOME", "/")
    if not home.startswith(("/", "~")):
        raise ValueError(f"STAGECTL_HOME: {home} has no place on another machine; give an absolute path")
    return named


def _secrets(value: Any) -> tuple[str, ...]:
    if isinstance(value, Mapping):
        raise ValueError("expected a list of names, as in [WANDB_API_KEY]; the values come from your environment")
    return tuple(_variable(name) for name in list_of_text(value))


def _variable(name: str) -> str:
    if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name):
        raise ValueError(f"{name!r} cannot name an environment variable")
    if name.startswith("STAGECTL_") and name != "STAGECTL_HOME":
        raise ValueError(f"{name} is stagectl's own; choose another name")
    return name


def _recovery(value: Any) -> str | dict[str, Any]:
    """SkyPilot takes misspelt keys and unknown strategies in silence; what it recovers is a machine that is lost."""
    table: dict[str, Reader] = {
        "strategy": one_of("FAILOVER", "EAGER_NEXT_REGION"),
        "max_restarts_on_errors": _stagectls,
        "recover_on_exit_codes": _stagectls,
    }
    return table["strategy"](value) if isinstance(value, str) else record(table, value)


def _stagectls(value: Any) -> Any:
    raise ValueError("stagectl itself restarts a training that dies, and SkyPilot would restart a run that has ended")


def _choices(value: Any) -> list[dict[str, Any]]:
    """`any_of` and `ordered`: a list of resources."""
    table = {key: reader for key, reader in _RESOURCES.items() if key not in ("any_of", "ordered")}
    return [record(table, choice) for choice in sequence(value)]


def _infra(value: Any) -> str:
    cloud, *_ = text(value).split("/")
    if cloud.lower() not in _CLOUDS and cloud != "*":
        raise ValueError(f"{cloud!r} is no infrastructure of SkyPilot's; {nearest(cloud.lower(), _CLOUDS)}")
    return str(value)


def _as_it_is(value: Any) -> Any:
    """A field whose forms are many: SkyPilot's schema knows them."""
    check_plain(value)
    return value


_CLOUDS = re.findall(
    r"\w+",
    """aws azure cudo do fluidstack gcp hyperbolic ibm k8s kubernetes lambda mithril nebius oci paperspace
    primeintellect runpod scp seeweb shadeform slurm ssh vast verda vsphere yotta""",
)

_COMMON: dict[str, Reader] = {"backend": one_of("local", "sky"), "stop_grace": number(0)}
_OWN: dict[str, Reader] = {
    **_COMMON,
    "managed": flag,
    "cluster": optional(_cluster_name),
    "python": optional(text),
    "timeout_hours": optional(number(above=0)),
}
_TASK: dict[str, Reader] = {
    "workdir": text,
    "num_nodes": whole(1),
    "setup": text,
    "envs": _variables,
    "secrets": _secrets,
    "file_mounts": mapping,
    "volumes": _as_it_is,
    "config": mapping,
}
_RESOURCES: dict[str, Reader] = {
    "infra": _infra,
    "accelerators": _as_it_is,
    "accelerator_args": mapping,
    "cpus": _as_it_is,
    "memory": _as_it_is,
    "instance_type": text,
    "use_spot": flag,
    "max_hourly_cost": number(above=0),
    "disk_size": _as_it_is,
    "disk_tier": text,
    "local_disk": text,
    "ephemeral_storage": _as_it_is,
    "network_tier": text,
    "ports": _as_it_is,
    "labels": mapping,
    "image_id": _as_it_is,
    "autostop": _as_it_is,
    "priority": whole(-1000),
    "priority_class": text,
    "job_recovery": _recovery,
    "any_of": _choices,
    "ordered": _choices,
}
_KNOWN = {**_OWN, **_TASK, **_RESOURCES}
