"""Weights & Biases: what an event of a run becomes there, and the run there that is written to."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from stagectl.curriculum import Stage, members_of
from stagectl.curriculum.metrics import document_metrics

Mode = Literal["online", "offline", "disabled"]

TRANSITION_KEYS = ("from_stage", "to_stage", "from_name", "to_name", "step", "performance")
_PATIENCE = 1_000_000  # wandb-core's own count of retries before it gives a request up
_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Standing:
    """What the events so far say: the stages, the current one, the performance of each that is played."""

    stages: tuple[Stage, ...] = ()
    current: int = 0
    performance: tuple[float | None, ...] = ()

    def after(self, event: Mapping[str, Any]) -> Standing:
        match event["event"]:
            case "run_created":
                stages = tuple(Stage.from_dict(stage) for stage in event["stages"])
                return Standing(stages, event.get("start", 0), (None,) * len(list(members_of(stages))))
            case "episodes":
                return replace(self, performance=tuple(event["performance"]))
            case "stage_transition":
                return replace(self, current=event["to_stage"])
            case "attempt_started" if "after" in event:
                return self._going_on(event)
        return self

    def _going_on(self, event: Mapping[str, Any]) -> Standing:
        """At a later attempt's beginning: in what stage it begins, and under what recipe."""
        stages = tuple(Stage.from_dict(stage) for stage in event["stages"]) if "stages" in event else self.stages
        before = dict(zip((m.name for _, m in members_of(self.stages)), self.performance, strict=True))
        return Standing(stages, event["stage"], tuple(before.get(member.name) for _, member in members_of(stages)))


def is_point(event: Mapping[str, Any]) -> bool:
    """Whether the event is something to send."""
    return event["event"] in ("episodes", "stage_transition", "metrics")


def point(standing: Standing, event: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics to log for an event that `is_point`, by the seed document's keys.

    Args:
        standing: Where the run stands after the event.
        event: One event of the run.
    """
    if event["event"] == "metrics":
        return {**event["metrics"], "global_step": event["step"]}
    logged = document_metrics(standing.stages, standing.current, standing.performance)
    if event["event"] == "stage_transition":
        logged["curriculum/stage_transition"] = {key: event[key] for key in TRANSITION_KEYS}
    return {**logged, "global_step": event["step"]}


def find_mode() -> Mode:
    """`online` where wandb finds a key (environment, netrc, settings) and WANDB_MODE does not say otherwise.

    Raises:
        ValueError: WANDB_MODE or another of wandb's settings makes no sense.
    """
    import wandb

    settings = wandb.setup(wandb.Settings(silent=True)).settings  # silent: standard output is the run's log
    if settings.mode == "disabled":
        return "disabled"
    if settings.mode in ("offline", "dryrun"):
        return "offline"
    return "online" if settings.identity_token_file or wandb.api.api_key else "offline"


def last_stored(folder: Path) -> int:
    """The number of the last point that offline runs in that folder hold on disk; 0 where they hold none.

    wandb-core writes 32 KiB at a time and the rest at the end: killed, it loses what it had taken.
    """
    from wandb.proto.wandb_internal_pb2 import Record
    from wandb.sdk.internal.datastore import DataStore

    last = 0
    for path in folder.glob("wandb/offline-run-*/*.wandb"):
        store = DataStore()
        with contextlib.suppress(AssertionError):  # the torn end of a file whose writer was killed
            store.open_for_scan(str(path))
            while (data := store.scan_data()) is not None:
                record = Record()
                record.ParseFromString(data)
                last = max(last, record.history.step.num)
        store.close()
    return last


class WandbRun:
    """The run at W&B. Made by `open`; every method may raise what wandb raises when its process is gone."""

    def __init__(self, run: Any) -> None:
        self._run = run

    @classmethod
    def open(
        cls,
        run_id: str,
        *,
        mode: Mode,
        folder: Path,
        config: Mapping[str, Any],
        project: str | None = None,
        entity: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
    ) -> WandbRun:
        """Begin the run, or take it up again. While W&B cannot be reached this waits, and wandb-core tries again."""
        import wandb

        run = wandb.init(
            id=run_id,
            name=run_id,
            project=project,
            entity=entity,
            group=group,
            tags=list(tags),
            config=dict(config),
            dir=str(folder),
            mode=mode,
            resume="allow" if mode == "online" else None,  # offline, wandb ignores it and warns
            settings=wandb.Settings(**_SETTINGS),
        )
        run.define_metric("global_step")
        run.define_metric("*", step_metric="global_step")
        return cls(run)

    @classmethod
    def forget(cls) -> None:
        """Let go of a wandb-core that died, so that `open` starts another."""
        import wandb

        with contextlib.suppress(Exception):  # what is torn down is broken already
            wandb.teardown(exit_code=1)

    @property
    def first_missing(self) -> int | None:
        """The number of the first point that the server does not have; None offline, where no server tells."""
        return None if self._run.offline else max(1, int(self._run.starting_step))

    @property
    def place(self) -> str:
        """Where to look at it: an address, or the folder that `wandb sync` takes."""
        return str(self._run.url or Path(self._run.dir).parent)

    def log(self, metrics: Mapping[str, Any], *, number: int, time: float) -> None:
        """Hand over one point. Numbers grow strictly: W&B drops one that does not. `time` is the event's."""
        self._run.log({**metrics, "_timestamp": time}, step=number, commit=True)

    def confirm(self, number: int) -> None:
        """Wait until wandb-core has taken every point up to that number: from then on our death loses none.

        Raises:
            ConnectionError: It does not answer, or not with that number.
        """
        taken = self._run.summary.get("_step")
        if taken != number:
            raise ConnectionError(f"wandb-core answers with point {taken}, not {number}")

    def finish(self, exit_code: int) -> None:
        """Wait until everything is sent, as long as that takes."""
        self._run.finish(exit_code=exit_code)


# the mirror's own console, program, packages and load say nothing of the training
_SETTINGS: dict[str, Any] = {
    "console": "off",
    "silent": True,
    "disable_code": True,
    "disable_git": True,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_disable_viewer": True,
    "x_save_requirements": False,
    "init_timeout": _DAY,
    "summary_timeout": 30,
    "x_graphql_retry_max": _PATIENCE,
    "x_graphql_retry_wait_max_seconds": 15.0,
    "x_file_stream_retry_max": _PATIENCE,
    "x_file_stream_retry_wait_max_seconds": 15.0,
}
