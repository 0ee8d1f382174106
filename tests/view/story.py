"""A made-up run, told event by event by the real curriculum, at a clock of its own."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stagectl.curriculum import CurriculumEnd, StagedProgressiveCurriculum
from stagectl.runs import Event, Liveness, RunPaths, RunStatus, read_away, sifted, superseded_in, term_data

START = 1_795_597_397.0
ALIVE = Liveness(job=True, trainer=True, suspended=False)
GONE = Liveness(job=False, trainer=False, suspended=False)
NODE = {"infra": "aws", "cluster": "doorkey-20261125-k7mq-a1b2", "region": "us-east-1", "hourly": 24.8, "since": START}
DOORKEY = (
    {"name": "empty", "curriculum": "MiniGrid-Empty-Random-6x6-v0"},
    {"name": "doorkey_6", "curriculum": "MiniGrid-DoorKey-6x6-v0"},
    {"name": "doorkey_8", "curriculum": "MiniGrid-DoorKey-8x8-v0", "max_steps": 300_000},
    {"name": "doorkey_16", "curriculum": "MiniGrid-DoorKey-16x16-v0", "performance_threshold": 0.8},
)


def on_cluster(state: str = "RUNNING", *, followed: bool = True, **more: Any) -> Liveness:
    """A run on a cluster, of which SkyPilot said that as the story began."""
    record = {"place": {"name": "r", "cluster": NODE["cluster"]}, "time": START, "job": 3, "machines": [NODE], **more}
    away = read_away({"sky": {**record, "seen": {"state": state, "time": START}}})
    return Liveness(job=followed, trainer=followed, suspended=False, away=away)


class Story:
    """Events of a run, as the session writes them; `rollout` trains on, `tell` adds any other event."""

    def __init__(
        self,
        stages: Sequence[str | Mapping[str, Any]] = DOORKEY,
        total: int | None = 400_000,
        *,
        run: str = "doorkey-20261125-k7mq",
        rate: float = 1_700,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        self.target = settings.pop("target", None)
        self.curriculum = StagedProgressiveCurriculum(stages, **settings)
        self.curriculum.decide_between_steps()
        self.events: list[Event] = []
        self.run, self.rate, self.now, self.attempt, self.step = run, rate, START, 0, 0
        self._chance = random.Random(seed)
        self._applied: int | None = None
        facts = {"recipe": "doorkey", "backend": "local", "target": self.target, "total_timesteps": total}
        self.tell("run_created", run=run, **facts, stages=[stage.to_dict() for stage in self.curriculum.stages])

    def tell(self, event: str, **fields: Any) -> Story:
        head = {"seq": len(self.events) + 1, "attempt": self.attempt, "step": self.step, "time": round(self.now, 3)}
        self.events.append({**head, "event": event, **fields})
        return self

    def begin(self) -> Story:
        self.attempt, self.now = 1, self.now + 2
        self.tell("attempt_started")
        self.now += 3
        return self.tell("ready")

    def rollout(self, scores: Sequence[float], steps: int = 2_048) -> Story:
        """Episodes of these scores in the current stage, and the decision after them."""
        curriculum = self.curriculum
        for value in scores:
            curriculum.get_task().complete(value)
        if scores and self._applied != curriculum._current_stage:
            self._applied = curriculum._current_stage
            self.tell("stage_started", stage=self._applied, name=curriculum.stages[self._applied].name)
        self.step, self.now = self.step + steps, self.now + steps / self.rate
        finished = list(curriculum.finished)
        decision = curriculum.update_step_count(self.step)
        numbers = {"episodes": curriculum.episodes(), "performance": curriculum.performance()}
        waiting = [term_data(term) for term in curriculum.waiting_for()]
        if finished:
            self.tell("episodes", scores=[[e.stage, e.score] for e in finished], **numbers, waiting_for=waiting)
        else:
            self.tell("progress", waiting_for=waiting)
        if decision is not None:
            kind = "curriculum_ended" if isinstance(decision, CurriculumEnd) else "stage_transition"
            fields = {key: value for key, value in decision.to_dict().items() if key != "step"}
            self.tell(kind, **fields)
        return self

    def learn(self, rollouts: int, speed: float = 12.0, episodes: int = 9) -> Story:
        """Rollouts whose success rises in every stage as a sigmoid."""
        for _ in range(rollouts):
            inside = (self.step - self.curriculum._stage_start_step) / 2_048
            chance = 1 / (1 + math.exp(-(inside - speed) / (speed / 3)))
            self.rollout([float(self._chance.random() < chance) for _ in range(episodes)])
            if self.curriculum.end is not None:
                break
        return self

    def end(self, outcome: str = "completed", message: str = "") -> Story:
        self.now += 1
        return self.tell("run_ended", outcome=outcome, message=message)

    @property
    def told(self) -> Iterator[tuple[Event, bool]]:
        """Each event with whether it is in force, as a report is told it."""
        return sifted(self.events, superseded_in(self.events))

    @property
    def status(self) -> RunStatus:
        status = RunStatus(self.run)
        for event in self.events:
            status.apply(event)
        return status

    def lines(self, first: int = 0) -> str:
        return "".join(json.dumps(event) + "\n" for event in self.events[first:])

    def write(self, folder: Path) -> RunPaths:
        """The run's folder under `folder`, with what is told so far."""
        paths = RunPaths(folder / self.run)
        paths.folder.mkdir(parents=True, exist_ok=True)
        paths.events.write_text(self.lines())
        return paths
