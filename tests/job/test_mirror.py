"""The W&B mirror, with the real wandb package: what it wrote is read back, offline from its file, online from a server
of ours on this machine. Nothing here reaches the network or the user's own key."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import stagectl
from stagectl.adapters.wandb import Standing, is_point, point
from stagectl.curriculum import Stage
from stagectl.runs import RunPaths, read_events, read_json
from stagectl.session import Session

pytest.importorskip("wandb")

SECONDS = 60.0  # for whatever has to come on a machine that others use, too
SECRET = "5ec2e7" + "0123456789abcdef" * 3
RECIPE = """
run: {run}
trainer: {{command: [python, train.py], total_timesteps: 6k}}
curriculum:
  stages:
    - {{name: navigation, curriculum: nav, min_episodes: 4}}
    - {{name: sequence, curriculum: seq, transition_criteria: time, time_threshold_steps: 2k}}
    - tasks
wandb: {{enabled: true, project: metta, entity: metta-research, group: night, tags: [staged_progressive, two]}}
"""


# ── an event becomes a point ────────────────────────────────────────────────────────────────────────────────────


STAGES = (Stage("a", "env/a"), Stage("b", "env/b"))
STANDING = Standing(STAGES, 0, (0.5, None))


def test_episodes_become_the_documents_four_keys() -> None:
    event = {"event": "episodes", "step": 300, "performance": [0.75, None]}
    assert point(STANDING.after(event), event) == {
        "curriculum/current_stage": 0,
        "curriculum/stage_name": "a",
        "curriculum/stage_probs": {"a": 1.0, "b": 0.0},
        "curriculum/stage_performance": {"a": 0.75},
        "global_step": 300,
    }


def test_a_transition_adds_its_own_key_and_shows_the_stage_entered() -> None:
    transition = {"from_stage": 0, "to_stage": 1, "from_name": "a", "to_name": "b", "step": 400, "performance": 0.9}
    event = {"event": "stage_transition", "seq": 7, "attempt": 1, "time": 0.0, "reason": "performance", **transition}
    logged = point(STANDING.after(event), event)
    assert logged["curriculum/stage_transition"] == transition
    assert logged["curriculum/current_stage"] == 1
    assert logged["curriculum/stage_probs"] == {"a": 0.0, "b": 1.0}


def test_metrics_are_logged_as_they_are_with_the_step_of_their_event() -> None:
    event = {"event": "metrics", "step": 5, "metrics": {"loss": 0.25, "global_step": 9.0}}
    assert point(STANDING, event) == {"loss": 0.25, "global_step": 5}


def test_a_resumed_attempt_stands_in_the_stage_that_it_starts() -> None:
    later = Standing(STAGES, 1, (0.5, None)).after({"event": "attempt_started", "after": 3, "stage": 0})
    assert later.current == 0


# ── offline, read back from the file ────────────────────────────────────────────────────────────────────────────


def test_everything_is_written_offline_once_and_in_order(make_run: MakeRun) -> None:
    paths = make_run("whole")
    done = mirror(paths, WANDB_API_KEY=SECRET, WANDB_MODE="offline")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert done.stdout.startswith("stagectl: W&B: offline")
    assert done.stderr == ""

    (written,) = read_offline(paths)
    assert written.rows == expected(paths)
    assert written.steps == list(range(1, len(written.rows) + 1))
    assert (written.run_id, written.project, written.entity) == ("whole", "metta", "metta-research")
    assert (written.group, written.tags) == ("night", ["staged_progressive", "two"])
    assert written.config["curriculum"]["stages"][0]["name"] == "navigation"
    assert written.config["wandb"]["project"] == "metta"
    assert written.metrics == {"global_step": "", "*": "global_step"}
    assert written.exit_code == 0

    transitions = [row["curriculum/stage_transition"] for row in written.rows if "curriculum/stage_transition" in row]
    assert [(t["from_name"], t["to_name"], t["step"]) for t in transitions] == [
        ("navigation", "sequence", 1000),
        ("sequence", "tasks", 3000),
    ]
    assert read_json(paths.mirror_cursor) == {
        "seq": len(read_events(paths.events)),
        "sent": len(written.rows),
        "finished": True,
    }
    assert planted_in(paths) == []
    assert [path for path in paths.folder.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o077] == []

    again = mirror(paths)
    assert (again.returncode, again.stdout) == (0, "")
    assert len(read_offline(paths)) == 1


def test_without_a_key_it_is_offline_and_says_so(make_run: MakeRun) -> None:
    done = mirror(make_run("keyless", episodes=1), WANDB_MODE="")
    assert done.returncode == 0
    assert "offline, for want of a key" in done.stdout


def test_wandb_mode_disabled_writes_nothing(make_run: MakeRun) -> None:
    paths = make_run("switched-off", episodes=1)
    done = mirror(paths, WANDB_MODE="disabled")
    assert (done.returncode, done.stdout) == (0, "stagectl: W&B: off, as WANDB_MODE says\n")
    assert not (paths.folder / "wandb").exists()


def test_killed_midway_and_started_again_it_sends_the_rest_only(make_run: MakeRun) -> None:
    session = make_run.begin("killed")
    paths = session.paths
    play(session, 60)
    first = start(paths)
    wait_for(lambda: read_json(paths.mirror_cursor).get("sent", 0) >= 120)
    play(session, 1)  # a live run: what is added is followed
    wait_for(lambda: read_json(paths.mirror_cursor)["sent"] >= 122)
    first.kill()
    first.wait()
    sent = read_json(paths.mirror_cursor)["sent"]
    play(session, 2)
    session.__exit__(None, None, None)
    assert mirror(paths).returncode == 0

    before, after = read_offline(paths)
    kept = len(before.rows)  # wandb-core wrote the whole blocks that it had; the rest died with it
    assert 0 < kept < sent
    assert before.steps + after.steps == list(range(1, len(expected(paths)) + 1))
    assert before.rows + after.rows == expected(paths)
    assert read_json(paths.mirror_cursor)["sent"] == len(expected(paths))


def test_a_job_that_died_without_a_word_ends_the_mirror_as_failed(make_run: MakeRun) -> None:
    session = make_run.begin("crashed")
    play(session, 1)
    session.close()
    done = mirror(session.paths, "--gone-seconds", "0.5")
    assert done.returncode == 0
    assert read_offline(session.paths)[0].exit_code == 1


def test_sigterm_finishes_quickly_and_sigint_and_sighup_do_nothing(make_run: MakeRun) -> None:
    session = make_run.begin("asked")
    play(session, 1)
    process = start(session.paths)
    wait_for(lambda: read_json(session.paths.mirror_cursor).get("sent"))
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.7)
    assert process.poll() is None
    process.terminate()
    assert process.wait(timeout=5) == 0
    assert read_offline(session.paths)[0].rows == expected(session.paths)
    session.close()


# ── a server that is away, slow, or down midway ─────────────────────────────────────────────────────────────────


def test_an_unreachable_server_blocks_nothing_and_leaves_the_backlog(make_run: MakeRun) -> None:
    paths = make_run("away")
    began = time.monotonic()
    online = {"WANDB_MODE": "online", "WANDB_API_KEY": SECRET, "WANDB_BASE_URL": "http://127.0.0.1:9"}
    done = mirror(paths, "--finish-seconds", "2", **online)
    assert time.monotonic() - began < 10
    assert done.returncode == 1
    assert f"{len(expected(paths))} events are unsent" in done.stdout
    assert read_json(paths.mirror_cursor) == {}
    assert planted_in(paths) == []

    assert mirror(paths).returncode == 0  # later, and offline: nothing is lost
    assert read_offline(paths)[0].rows == expected(paths)


def test_what_a_server_missed_is_sent_later_in_order_and_once(make_run: MakeRun, server: Server) -> None:
    session = make_run.begin("outage")
    paths = session.paths
    play(session, 2)
    process = start(paths, **server.environment)
    wait_for(lambda: read_json(paths.mirror_cursor).get("sent", 0) >= 5)
    process.terminate()
    assert process.wait(timeout=10) == 0
    assert len(server.rows) == 5

    server.takes_rows = False
    process = start(paths, "--finish-seconds", "1.5", **server.environment)
    play(session, 1)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("stagectl: W&B: http")
    server.is_up = False
    play(session, 1)
    session.__exit__(None, None, None)
    assert process.wait(timeout=10) == 1  # handed over, never confirmed
    assert "the last events may be unsent" in process.stdout.read()
    assert read_json(paths.mirror_cursor)["finished"] is False
    assert len(server.rows) == 5

    server.is_up = server.takes_rows = True
    done = mirror(paths, **server.environment)
    assert done.returncode == 0, done.stdout
    rows = [server.rows[line] for line in sorted(server.rows)]
    assert [row["_step"] for row in rows] == list(range(1, len(rows) + 1))
    assert [{k: v for k, v in row.items() if not k.startswith("_")} for row in rows] == expected(paths)
    assert [row["_timestamp"] for row in rows] == [e["time"] for e in read_events(paths.events) if is_point(e)]
    assert server.exit_codes[-1] == 0
    assert planted_in(paths) == []


# ── what the tests stand on ─────────────────────────────────────────────────────────────────────────────────────


class MakeRun:
    """Runs made by `attach()` outside a job, with 1 in 5 episodes failed and a metric beside each step."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, run_id: str) -> Session:
        recipe = self._folder / f"{run_id}.yaml"
        recipe.write_text(RECIPE.format(run=run_id))
        return stagectl.attach(recipe)

    def __call__(self, run_id: str, episodes: int = 6) -> RunPaths:
        with self.begin(run_id) as session:
            play(session, episodes)
        return session.paths


def play(session: Session, rounds: int) -> None:
    for _ in range(rounds):
        for index in range(5):
            session.curriculum.get_task().complete(float(index != 0))
        step = session.curriculum.total_steps + 1000
        session.update_step_count(step)
        session.log({"loss": 1 / step, "lr": 3e-4}, step)


def expected(paths: RunPaths) -> list[dict[str, Any]]:
    """The points that a run's events make."""
    standing, rows = Standing(), []
    for event in read_events(paths.events):
        standing = standing.after(event)
        if is_point(event):
            rows.append({key: value for key, value in point(standing, event).items() if value != {}})
    return rows


started: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def _end_what_was_started() -> Iterator[None]:
    yield
    while started:
        process = started.pop()
        process.kill()
        process.communicate()


def environment(**variables: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_") and key != "NETRC"}
    given = {"WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false", **variables}
    return kept | {key: value for key, value in given.items() if value}


def command(paths: RunPaths, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "stagectl.job.mirror", str(paths.folder), *arguments]


def mirror(paths: RunPaths, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The mirror of a run, to its end."""
    return subprocess.run(
        command(paths, *arguments),
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def start(paths: RunPaths, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        command(paths, *arguments), env=environment(**variables), stdout=subprocess.PIPE, text=True
    )
    started.append(process)
    return process


def wait_for(condition: Callable[[], Any], seconds: float = SECONDS) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come")
        time.sleep(0.05)
    return value


def planted_in(paths: RunPaths) -> list[Path]:
    return [path for path in paths.folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


@dataclass
class Written:
    """What one offline run's file holds."""

    run_id: str = ""
    project: str = ""
    entity: str = ""
    group: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, str] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    exit_code: int | None = None


def read_offline(paths: RunPaths) -> list[Written]:
    """What wandb wrote into its own files, the oldest first."""
    files = sorted((paths.folder / "wandb").glob("offline-run-*/*.wandb"), key=lambda path: path.stat().st_ctime_ns)
    return [_read_file(path) for path in sorted(files, key=lambda path: path.parent.name)]


def _read_file(path: Path) -> Written:
    from wandb.proto.wandb_internal_pb2 import Record
    from wandb.sdk.internal.datastore import DataStore

    store, written = DataStore(), Written()
    store.open_for_scan(str(path))
    try:
        while (data := store.scan_data()) is not None:
            record = Record()
            record.ParseFromString(data)
            _collect(record, written)
    except AssertionError:  # a record that is still being written
        pass
    finally:
        store.close()
    return written


def _collect(record: Any, written: Written) -> None:
    match record.WhichOneof("record_type"):
        case "run":
            run = record.run
            written.run_id, written.project, written.entity = run.run_id, run.project, run.entity
            written.group, written.tags = run.run_group, list(run.tags)
            written.config = {item.key: json.loads(item.value_json) for item in run.config.update}
        case "metric" if not record.metric.expanded_from_glob:
            written.metrics[record.metric.name or record.metric.glob_name] = record.metric.step_metric
        case "history":
            row = _nested(record.history.item)
            written.steps.append(row["_step"])
            written.rows.append({key: value for key, value in row.items() if not key.startswith("_")})
        case "exit":
            written.exit_code = record.exit.exit_code


def _nested(items: Any) -> dict[str, Any]:
    """wandb keeps a dict's values apart, each under the path of its keys."""
    row: dict[str, Any] = {}
    for item in items:
        *above, last = list(item.nested_key) or [item.key]
        inside = row
        for key in above:
            inside = inside.setdefault(key, {})
        inside[last] = json.loads(item.value_json)
    return row


@dataclass
class Server:
    """As much of W&B's server as wandb-core needs to upload a run's history, and to take it up again."""

    url: str = ""
    is_up: bool = True
    takes_rows: bool = True
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    exit_codes: list[int] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "WANDB_MODE": "online",
            "WANDB_API_KEY": SECRET,
            "WANDB_BASE_URL": self.url,
        }

    def stream(self, body: dict[str, Any]) -> dict[str, Any]:
        history = body.get("files", {}).get("wandb-history.jsonl", {"offset": 0, "content": []})
        self.rows |= {history["offset"] + n: json.loads(line) for n, line in enumerate(history["content"])}
        if body.get("complete"):
            self.exit_codes.append(body["exitcode"])
        return {}

    def graphql(self, body: dict[str, Any]) -> dict[str, Any]:
        named = re.search(r"(?:query|mutation)\s+(\w+)", body.get("query", ""))
        variables, count = body.get("variables", {}), len(self.rows)
        project = {"id": "p", "name": "metta", "entity": {"id": "e", "name": "metta-research"}}
        bucket = {"id": "b", "name": variables.get("name"), "displayName": "", "historyLineCount": count}
        match named and named[1]:
            case "UpsertBucket":
                bucket |= {"description": "", "config": "{}", "sweepName": None, "project": project}
                return {"upsertBucket": {"bucket": bucket, "inserted": count == 0}}
            case "RunResumeStatus" if count:
                bucket |= {"logLineCount": 0, "eventsLineCount": 0, "eventsTail": "[]", "config": "{}", "tags": []}
                bucket |= {"summaryMetrics": "{}", "notes": "", "wandbConfig": '{"t": 1}'}
                bucket |= {"historyTail": json.dumps([json.dumps(self.rows[count - 1])])}
                return {"model": project | {"bucket": bucket}}
            case "RunResumeStatus":
                return {"model": project | {"bucket": None}}
            case "CreateRunFiles":
                files = [{"name": name, "uploadUrl": f"{self.url}/{name}"} for name in variables["files"]]
                return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
            case "ServerFeaturesQuery":
                return {"serverInfo": {"features": []}}
        return {}


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Content-Encoding") == "gzip":
                raw = gzip.decompress(raw)
            if not server.is_up or (not server.takes_rows and self.path.endswith("file_stream")):
                self._answer({}, 503)
            elif self.path.endswith("file_stream"):
                self._answer(server.stream(json.loads(raw)))
            else:
                self._answer({"data": server.graphql(json.loads(raw))})

        do_PUT = do_GET = lambda self: self._answer({})  # noqa: N815

        def _answer(self, data: dict[str, Any], status: int = 200) -> None:
            raw = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    return MakeRun(tmp_path)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    state.url = f"http://127.0.0.1:{http.server_address[1]}"
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield state
    http.shutdown()
    http.server_close()
