"""Node 0 and the others, without torchrun: what they tell each other, and how an attempt ends on all of them."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stagectl.errors import JobError
from stagectl.job.channel import LONGEST, PIECE, Channel
from stagectl.job.leader import STRANGERS, Leader
from stagectl.job.member import work
from stagectl.job.torchrun import NODES_PORT, Nodes, port_of
from stagectl.job.training import Patience
from stagectl.recipe import Recipe, load_recipe, write_resolved
from stagectl.runs import RUN_VARIABLE, Beginning, Checkpoint, Ending, RunPaths, create_run, living, write_json

HOSTS = ("127.0.0.1", "127.0.0.2")
SECRETS = ("question", "answer")
WAITS = [sys.executable, "-c", "import time; time.sleep(600)"]


class Run:
    """A run of two nodes in this process, each with a command of its own."""

    def __init__(self, tmp_path: Path, *commands: Sequence[str]) -> None:
        self.run_id = f"r-{uuid.uuid4().hex[:12]}"  # ports come from it
        file = tmp_path / "recipe.yaml"
        file.write_text(f"run: {self.run_id}\ntrainer: {{command: [none]}}\ncurriculum: {{stages: [a]}}\n")
        self.recipe: Recipe = load_recipe(file)
        self.paths = create_run(self.run_id, write_resolved(self.recipe), tmp_path, self.recipe.facts())
        self.folder = tmp_path / self.run_id
        self.folder.mkdir()
        (self.folder / "recipe.yaml").write_text(write_resolved(self.recipe))
        self.others = RunPaths(self.folder / "node-1" / self.run_id)
        self._commands = commands

    def leader(self, seconds: float = 60.0) -> Leader:
        return Leader(Nodes(HOSTS, 0, SECRETS), self.run_id, seconds=seconds, command=self._command)

    def work(self, seconds: float = 60.0) -> int:
        return work(self.folder, self.recipe, Nodes(HOSTS, 1, SECRETS), seconds=seconds, command=self._command)

    def attempt(self, leader: Leader, start: Beginning | None = None) -> Ending:
        return leader.run_attempt(self.paths, self.recipe, 1, start or Beginning())

    def call(self) -> Channel:
        """A connection to node 0."""
        return Channel(socket.create_connection((HOSTS[0], port_of(self.run_id, NODES_PORT)), timeout=10))

    def come(self) -> Channel:
        """A connection of node 1's."""
        channel = self.call()
        channel.tell(**self.hello)
        return channel

    @property
    def hello(self) -> dict[str, Any]:
        return {"run": self.run_id, "rank": 1, "secret": "question"}

    def _command(self, _: object, __: object, nodes: Nodes, *___: object) -> tuple[str, ...]:
        files = {"LOG": self.others.log, "STOP": self.paths.stop_request}
        words = self._commands[nodes.rank]
        return tuple(re.sub("LOG|STOP", lambda named: str(files[named[0]]), word) for word in words)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Run]:
    return lambda *commands: Run(tmp_path, *commands)


@pytest.fixture
def beside() -> Iterator[Callable[[Callable[[], Any]], list[Any]]]:
    """Does something in a thread; what it came to is in the list once the test is over, or `join` was called."""
    threads = []

    def start(act: Callable[[], Any]) -> list[Any]:
        results: list[Any] = []
        thread = threading.Thread(target=lambda: results.append(act()))
        thread.start()
        threads.append(thread)
        return results

    start.join = lambda: [thread.join(60) for thread in threads]  # type: ignore[attr-defined]
    yield start
    start.join()  # type: ignore[attr-defined]
    assert not any(thread.is_alive() for thread in threads)


def test_a_node_that_does_not_come_ends_the_run_by_its_name(make: Any) -> None:
    run = make(["true"], ["true"])
    leader = run.leader(seconds=0.0)
    ending = run.attempt(leader)
    assert ending == Ending(None, failure="node 1 (127.0.0.2) did not come within 0 s")
    with run.come() as node:  # it is too late, and learns that the run is over
        leader.close()
        assert node.hear(60) == {"secret": "answer"}
        assert node.hear(60) == {"over": True}


def test_who_is_asked_to_stop_waits_no_longer_for_a_node_than_the_grace_time(make: Any) -> None:
    run = make(["true"], ["true"])
    leader = run.leader()
    write_json(run.paths.stop_request, {"grace": 0.0})
    assert run.attempt(leader) == Ending(None, killed_after=0.0)
    with run.come():
        leader.close()


def test_where_node_0_is_not_there_the_others_say_so(make: Any) -> None:
    with pytest.raises(JobError, match=r"node 0 \(127.0.0.1\) could not be reached for 0 s"):
        make(["true"], ["true"]).work(seconds=0.0)


def test_a_node_learns_that_the_run_is_over_where_nothing_was_trained(make: Any, beside: Any) -> None:
    run = make(["true"], ["true"])
    with run.leader():
        done = beside(run.work)
    beside.join()
    assert done == [0]


def test_what_ends_on_node_0_ends_on_all_nodes_whole(make: Any, beside: Any) -> None:
    forks = "import os, time; os.fork() or os.setsid(); time.sleep(600)"
    run = make(["sh", "-c", "exit 3"], [sys.executable, "-c", forks])
    with run.leader() as leader:
        done = beside(run.work)
        assert run.attempt(leader) == Ending(3)
        assert living(-1, RUN_VARIABLE, str(run.others.folder)) == []
        assert run.paths.log.read_text() == ""  # it was ended, and that is no failure to be told
    beside.join()
    assert done == [0]


def test_what_fails_on_another_node_is_told_with_its_last_lines_and_ends_the_attempt_here(
    make: Any, beside: Any
) -> None:
    run = make(WAITS, ["sh", "-c", "seq 100; exit 3"])
    with run.leader() as leader:
        beside(run.work)
        assert run.attempt(leader) == Ending(3, node="node 1 (127.0.0.2)")
    lines = run.paths.log.read_text().splitlines()
    assert lines == ["stagectl: the last lines of node 1 (127.0.0.2):", *map(str, range(81, 101))]
    assert run.others.log.read_text().splitlines()[0] == "1"


def test_another_node_may_be_through_before_node_0(make: Any, beside: Any) -> None:
    run = make(["sh", "-c", "until grep -qs through LOG; do sleep 0.01; done"], ["echo", "through"])
    with run.leader() as leader:
        beside(run.work)
        assert run.attempt(leader) == Ending(0)


def test_a_node_that_cannot_start_the_training_says_why(make: Any, beside: Any) -> None:
    run = make(WAITS, ["/no/such/program"])
    with run.leader() as leader:
        beside(run.work)
        ending = run.attempt(leader)
    assert ending.failure == "node 1 (127.0.0.2): cannot start /no/such/program: No such file or directory"


def test_a_node_that_does_not_have_the_checkpoint_says_what_it_must_share(
    make: Any, beside: Any, tmp_path: Path
) -> None:
    run = make(WAITS, ["true"])
    there = Beginning(Checkpoint(tmp_path / "step-1", 1, "a", 5, ""))  # node 1 looks in its own home
    with run.leader() as leader:
        beside(run.work)
        ending = run.attempt(leader, there)
    assert ending.failure.startswith(f"node 1 (127.0.0.2): {run.paths.checkpoints / 'step-1'} has no MANIFEST.json")
    assert ending.failure.endswith("STAGECTL_HOME must lie on a file system that all nodes mount")


def test_a_node_that_is_lost_ends_the_attempt_by_its_name(make: Any, beside: Any) -> None:
    run = make(WAITS, ["true"])

    def come_and_go() -> None:
        with run.come() as node:
            assert node.hear(60) == {"secret": "answer"}
            assert node.hear(60) == {"attempt": 1, "checkpoint": ""}

    leader = run.leader()
    beside(come_and_go)
    assert run.attempt(leader) == Ending(None, node="node 1 (127.0.0.2)")
    with run.come() as again:  # only its connection had broken; it learns of the run's end
        leader.close()
        assert again.hear(60) == {"secret": "answer"}
        assert again.hear(60) == {"over": True}


def test_a_node_whose_connection_broke_comes_back(make: Any, beside: Any) -> None:
    run = make(["true"], ["true"])
    door = socket.create_server((HOSTS[0], port_of(run.run_id, NODES_PORT)))
    done = beside(run.work)
    with Channel(door.accept()[0]) as first:
        assert first.hear(60) == run.hello
        first.tell(secret="answer")
    with Channel(door.accept()[0]) as second:
        assert second.hear(60) == run.hello
        second.tell(secret="guessed")  # it is not node 0, and has nothing to say
        second.tell(attempt=1, checkpoint="")
        second.tell(over=True)
    with Channel(door.accept()[0]) as third:
        assert third.hear(60) == run.hello
        third.tell(secret="answer")
        third.tell(over=True)
        beside.join()
    door.close()
    assert done == [0]
    assert not run.others.log.exists()


STRANGE = {
    "another protocol": b"GET / HTTP/1.1\r\n\r\n",
    "another run": b'{"run": "another", "rank": 1, "secret": "question"}\n',
    "no secret": b'{"run": "RUN", "rank": 1}\n',
    "another secret": b'{"run": "RUN", "rank": 1, "secret": "\\ud800"}\n',
    "no node": b'{"run": "RUN", "rank": 2, "secret": "question"}\n',
    "no object": b"[1]\n",
    "nothing": b"",
    "too deep": b"[" * 100_000 + b"\n",
    "no end": b"x" * (LONGEST + 2 * PIECE),
}


@pytest.mark.parametrize("said", STRANGE.values(), ids=STRANGE)
def test_a_stranger_at_the_port_is_no_node(make: Any, beside: Any, said: bytes) -> None:
    run = make(["true"], ["true"])
    with run.leader() as leader, run.call() as stranger:

        def speak() -> None:
            with contextlib.suppress(OSError):  # nobody listens for ever
                stranger.socket.sendall(said.replace(b"RUN", run.run_id.encode()))
                stranger.socket.shutdown(socket.SHUT_WR)

        beside(speak)
        beside(run.work)
        assert run.attempt(leader) == Ending(0)


def test_strangers_who_stay_silent_hold_nobody_up(make: Any, beside: Any) -> None:
    run = make(["true"], ["true"])
    with contextlib.ExitStack() as strangers, run.leader() as leader:
        for _ in range(STRANGERS + 4):
            strangers.enter_context(run.call())
        beside(run.work)
        assert run.attempt(leader) == Ending(0)


@pytest.mark.parametrize("managed", [False, True])
def test_a_node_that_is_lost_is_waited_for_where_skypilot_replaces_it(
    make: Any, beside: Any, monkeypatch: pytest.MonkeyPatch, managed: bool
) -> None:
    run = make(WAITS, ["sh", "-c", "exit 3"])
    run.recipe = replace(run.recipe, launch=replace(run.recipe.launch, backend="sky", managed=managed))

    def come_and_go() -> None:
        with run.come() as node:
            assert node.hear(60) == {"secret": "answer"}
            assert node.hear(60) == {"attempt": 1, "checkpoint": ""}

    with run.leader() as leader:
        beside(come_and_go)
        assert run.attempt(leader) == Ending(None, node="node 1 (127.0.0.2)")
        monkeypatch.setattr(leader, "_seconds", 0.0)
        beside(run.work)
        late = Ending(None, failure="node 1 (127.0.0.2) did not come within 0 s")
        assert run.attempt(leader) == (Ending(3, node="node 1 (127.0.0.2)") if managed else late)


def test_a_port_that_another_has_is_said(make: Any) -> None:
    run = make(["true"], ["true"])
    said = r"node 0 \(127.0.0.1\) cannot wait for the others on port \d+: Address already in use"
    with socket.create_server((HOSTS[0], port_of(run.run_id, NODES_PORT))), pytest.raises(JobError, match=said):
        run.leader()


def test_what_does_not_stop_in_time_is_killed_on_all_nodes(make: Any, beside: Any) -> None:
    asks = "import json, os, time; json.dump({'grace': 0}, open('S', 'w')); os.replace('S', 'STOP'); time.sleep(600)"
    run = make([sys.executable, "-c", asks], WAITS)
    with run.leader() as leader:
        beside(run.work)
        assert run.attempt(leader) == Ending(-signal.SIGTERM, killed_after=0.0)
        assert living(-1, RUN_VARIABLE, str(run.others.folder)) == []


def test_a_killed_rank_counts_by_its_signal(make: Any, beside: Any) -> None:
    run = make(WAITS, ["sh", "-c", "kill -9 $$"])
    with run.leader() as leader:
        beside(run.work)
        assert run.attempt(leader) == Ending(-signal.SIGKILL, node="node 1 (127.0.0.2)")


def test_patience_is_endless_until_a_stop_is_asked_for(make: Any) -> None:
    run = make()
    patience = Patience(run.paths, 5.0)
    assert patience.deadline() == float("inf")
    write_json(run.paths.stop_request, {"grace": 1.0})
    assert patience.deadline() < float("inf")
    assert patience.given == 1.0
