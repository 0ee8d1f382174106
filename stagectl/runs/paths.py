"""Where a run's files are. Every path on disk has its one answer here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

RUN_VARIABLE = "STAGECTL_RUN"  # tells a training process its run's folder
ATTEMPT_VARIABLE = "STAGECTL_ATTEMPT"  # and which start of it this is
CHECKPOINT_VARIABLE = "STAGECTL_CHECKPOINT"  # and the folder of the checkpoint from which it goes on


def home() -> Path:
    """`$STAGECTL_HOME`, else `~/.stagectl`; absolute, since processes in other folders are told it."""
    return Path(os.environ.get("STAGECTL_HOME") or "~/.stagectl").expanduser().absolute()


def runs_folder() -> Path:
    return home() / "runs"


@dataclass(frozen=True, slots=True)
class RunPaths:
    """The files of one run."""

    folder: Path

    @property
    def run_id(self) -> str:
        return self.folder.name

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.folder / "recipe.yaml"

    @property
    def identity(self) -> Path:
        """Who the run is and which processes carry it: `run.json`."""
        return self.folder / "run.json"

    @property
    def events(self) -> Path:
        """The truth: one JSON object a line."""
        return self.folder / "events.jsonl"

    @property
    def snapshot(self) -> Path:
        """What the events come to, up to one of them; the log's writer keeps it."""
        return self.folder / "status.json"

    @property
    def log(self) -> Path:
        """Standard output and error of the training process."""
        return self.folder / "train.log"

    @property
    def lock(self) -> Path:
        """Held by the job process as long as it lives."""
        return self.folder / "lock"

    @property
    def launch_lock(self) -> Path:
        """Held as long as the run's launch on a cluster may still be sent."""
        return self.folder / "launch.lock"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def requests(self) -> Path:
        """Requests from outside, a file each."""
        return self.folder / "requests"

    @property
    def stop_request(self) -> Path:
        return self.requests / "stop.json"

    @property
    def advance_request(self) -> Path:
        return self.requests / "advance.json"

    @property
    def mirror_lock(self) -> Path:
        """Held by the W&B mirror as long as it lives."""
        return self.folder / "mirror.lock"

    @property
    def mirror_cursor(self) -> Path:
        """How far the W&B mirror has come."""
        return self.folder / "mirror.json"
